"""The client of `orchestrator run` against an API that answers badly."""

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from rich.console import Console

from api.v1.rendering import job_detail
from orchestrator.commandline.run.client import ApiClient, NoAnswer
from orchestrator.commandline.run.command import read_object, summarise
from orchestrator.commandline.run.job_view import FollowedJob, Used
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job, JobState

AT = datetime(2026, 1, 1, tzinfo=UTC)


def job(state: JobState) -> str:
    closed = AT if state.terminal else None
    found = Job(
        id="wf_job_1",
        run_id="r",
        kind=JobKind.WORKFLOW,
        definition="w",
        name="W",
        owner="o",
        state=state,
        progress=100 if closed else 0,
        input={},
        config={},
        created_at=AT,
        closed_at=closed,
    )
    return job_detail(found, None, "http://ui/1").model_dump_json()


class BrokenStream(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"event: snapshot\ndata: {}\n\nid: r:7\nevent: agent_event\ndata: {}\n\n"
        raise httpx2.ReadError("connection lost")


class Api:
    """Answers from a list, then keeps the last answer; remembers what it was asked."""

    def __init__(self, **answers: list[httpx2.Response | Exception]) -> None:
        self.answers = answers
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        name = "events" if request.url.path.endswith("/events") else request.method.lower()
        left = self.answers[name]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> ApiClient:
        return ApiClient("http://127.0.0.1:8000", "key", httpx2.MockTransport(self))


def problem(status: int, message: str) -> httpx2.Response:
    body = {"error": {"code": "x", "message": message, "details": {"expected": "string"}}}
    return httpx2.Response(status, json=body)


async def test_a_start_is_tried_again_under_the_same_key() -> None:
    accepted = httpx2.Response(202, json={"job_id": "wf_job_1"})
    api = Api(post=[httpx2.ReadTimeout("lost"), problem(503, "starting"), accepted])
    assert await api.client().start(JobKind.WORKFLOW, "w", {"input": {}, "async": True}) == "wf_job_1"
    keys = {request.headers["Idempotency-Key"] for request in api.asked}
    assert (len(api.asked), len(keys)) == (3, 1)
    assert all(request.headers["Authorization"] == "Bearer key" for request in api.asked)
    assert json.loads(api.asked[0].content) == {"input": {}, "async": True}


async def test_wrong_input_is_not_tried_again() -> None:
    api = Api(post=[problem(400, "Missing required field: name")])
    with pytest.raises(Refused, match=r"Missing required field: name \(expected: string\)") as refused:
        await api.client().start(JobKind.AGENT, "a", {})
    assert (refused.value.code, len(api.asked)) == (2, 1)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost", "ftp://x", "http://", "", "/v1"])
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(Refused, match=r"invalid --api-url .*: expected http://host:port") as refused:
        ApiClient(url, "key")
    assert refused.value.code == 2


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="API key"):
        ApiClient("http://127.0.0.1:8000", key)


async def test_an_id_is_one_part_of_the_path() -> None:
    api = Api(get=[problem(404, "unknown")])
    with pytest.raises(Refused, match="no workflow or agent"):
        await api.client().kind_of("../jobs?a=b")
    assert api.asked[0].url.raw_path == b"/v1/workflows/..%2Fjobs%3Fa%3Db"


async def test_what_was_expected_is_said_once() -> None:
    api = Api(post=[problem(400, "Invalid value for field topic: got 5, expected string")])
    with pytest.raises(Refused, match=r"expected string$"):
        await api.client().start(JobKind.AGENT, "a", {})


@pytest.mark.parametrize(
    ("used", "report"),
    [
        (Used(cost=0.5, provider_cost=0.0), "$0.5000 at the agents' prices (list price; nothing was charged)"),
        (Used(cost=0.5, provider_cost=0.2), "$0.5000 at the agents' prices, $0.2000 to the provider"),
        (Used(cost=0.5), "$0.5000 at the agents' prices  no model"),
        (Used(), "price unknown"),
    ],
)
def test_the_price_of_a_draft_is_not_reported_as_money_spent(used: Used, report: str) -> None:
    out = io.StringIO()
    done = FollowedJob(job_id="wf_job_1", status="completed", state="COMPLETED", metrics=used)
    summarise(done, Console(file=out))
    assert report in out.getvalue()


def test_a_job_that_failed_says_how_it_is_finished() -> None:
    out = io.StringIO()
    failed = {"job_id": "wf_job_1", "status": "failed", "error": {"type": "t", "message": "m\x1b[2J"}}
    summarise(FollowedJob.model_validate(failed), Console(file=out), flag=" --api-url http://x")
    assert "t: m�[2J\ncontinue with: orchestrator jobs retry wf_job_1 --api-url http://x\n" in out.getvalue()


@pytest.mark.parametrize(("text", "report"), [("[1]", "must be a JSON object"), ("{bad", "is not valid JSON")])
def test_input_that_is_no_object_is_not_taken_for_a_file(text: str, report: str) -> None:
    with pytest.raises(Refused, match=report):
        read_object(text, "--input")


async def test_an_id_that_is_neither_workflow_nor_agent() -> None:
    api = Api(get=[problem(404, "unknown")])
    with pytest.raises(Refused, match="no workflow or agent `x`"):
        await api.client().kind_of("x")
    assert [request.url.path for request in api.asked] == ["/v1/workflows/x", "/v1/agents/x"]


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (httpx2.Response(200, json={"status": "partial"}), {"status": "partial"}),
        (problem(400, "Job wf_job_1 has no output"), None),
        (httpx2.ReadTimeout("lost"), None),
    ],
)
async def test_what_is_left_of_a_job_is_asked_for_once(
    answer: httpx2.Response | Exception, output: dict[str, Any] | None
) -> None:
    api = Api(get=[answer])
    assert await api.client().output("wf_job_1") == output
    assert [request.url.path for request in api.asked] == ["/v1/jobs/wf_job_1/output"]


async def test_a_broken_stream_is_resumed_where_it_ended() -> None:
    sse = {"content-type": "text/event-stream"}
    api = Api(
        get=[
            httpx2.Response(200, text=job(JobState.RUNNING)),
            httpx2.ConnectError("restarting"),
            httpx2.Response(200, text=job(JobState.COMPLETED)),
        ],
        events=[
            httpx2.Response(200, headers=sse, stream=BrokenStream()),
            httpx2.Response(200, headers=sse, content=b"id: r:9\nevent: job_completed\ndata: {}\n\n"),
        ],
    )
    seen = [news async for news in api.client().follow("wf_job_1")]
    assert [type(news) for news in seen[1:2]] == [NoAnswer]
    assert [news.status for news in seen if not isinstance(news, NoAnswer)] == ["running", "completed"]
    streams = [request for request in api.asked if request.url.path.endswith("/events")]
    assert "Last-Event-ID" not in streams[0].headers
    assert [request.headers.get("Last-Event-ID") for request in streams[1:2]] == ["r:7"]
