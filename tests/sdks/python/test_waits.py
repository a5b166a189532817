"""What the Python library makes of waits that run out, answers that are no job, and streams that can never continue."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from devora import (
    APIConnectionError,
    AsyncDevoraClient,
    ConfigurationError,
    DevoraClient,
    JobFailed,
    JobTimeoutError,
    ServerError,
)
from devora.errors import APITimeoutError, InvalidRequestError
from tests.sdks.python.test_hostile import raw_server

SSE = {"Content-Type": "text/event-stream"}
REASON = {"code": "waiting_for_approval", "message": "The step cutover waits for approval"}
OPEN = {"job_id": "job_1", "status": "running", "state": "WAITING", "reason": REASON}
EVENT = b'data: {"type": "job_progress", "name": "step.waiting", "message": "cutover waits"}\nid: %s\n\n'


def client_of(handle: Callable[[httpx2.Request], httpx2.Response], **more: Any) -> DevoraClient:
    client = DevoraClient("k", "http://mock", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)), **more)
    client._transport.config.backoff = client._transport.config.stream_backoff = 0.001
    return client


@pytest.mark.parametrize(("timeout", "is_async"), [(0.2, True), (120, True), (600, False)])
def test_a_start_with_a_short_deadline_does_not_leave_the_waiting_to_the_server(timeout: float, is_async: bool) -> None:
    bodies: list[dict[str, Any]] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            bodies.append(json.loads(request.content))
            return httpx2.Response(202, json={**OPEN, "status": "completed" if timeout > 1 else "queued"})
        return httpx2.Response(200, json=OPEN)

    with client_of(handle) as client:
        if timeout > 1:
            client.agents.execute("a", {}, timeout=timeout)
        else:
            with pytest.raises(JobTimeoutError, match=r"within 0\.2 seconds.*cutover waits for approval") as late:
                client.agents.execute("a", {}, timeout=timeout)
            assert late.value.job_id == "job_1"
            assert late.value.details == {"reason": REASON}
    assert bodies == [{"input": {}, "async": is_async}]


@pytest.mark.parametrize(
    "wrong", [{"status": ["completed"]}, {"status": None}, {"status": "running", "job_id": 5}, {"id": "job_1"}]
)
def test_a_wait_for_what_is_no_job_ends(wrong: dict[str, Any]) -> None:
    with client_of(lambda _: httpx2.Response(200, json={"job_id": "job_1", **wrong})) as client:
        for call in (lambda: client.jobs.wait("job_1"), lambda: client.agents.execute("a", {})):
            with pytest.raises(ServerError, match="no job with its id and status") as refused:
                call()
            assert refused.value.code == "unexpected_response"


def test_the_error_of_a_failed_job_may_be_a_text() -> None:
    body = {"job_id": "job_1", "status": "failed", "error": "boom"}
    with (
        client_of(lambda _: httpx2.Response(200, json=body)) as client,
        pytest.raises(JobFailed, match="boom") as fault,
    ):
        client.jobs.wait("job_1")
    assert fault.value.error is None


@pytest.mark.parametrize("more", [{"next": "c"}, {"next": ""}, {"total": "5", "has_more": True}, {}])
def test_pages_that_do_not_move_on_end(more: dict[str, Any]) -> None:
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={"jobs": [], "has_more": True, **more})

    with client_of(handle) as client, pytest.raises(ServerError, match="does not move on"):
        list(client.jobs.list())
    assert len(requests) == 2


def test_the_total_of_a_page_is_a_number() -> None:
    body = {"jobs": [{"job_id": "a"}], "total": "5", "offset": "0"}
    with client_of(lambda _: httpx2.Response(200, json=body)) as client:
        assert [job.job_id for job in client.jobs.list()] == ["a"]
        assert client.jobs.list().total is None


def test_a_stream_that_ran_out_says_what_it_saw_last() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if "limit" in request.url.params:
            return httpx2.Response(200, json={"events": [], "next": "r:1"})
        return httpx2.Response(200, headers=SSE, content=EVENT % b"r:1")

    with (
        client_of(handle) as client,
        pytest.raises(JobTimeoutError, match=r"last event: step\.waiting: cutover waits") as late,
    ):
        list(client.jobs.stream("job_1", timeout=0.1))
    assert late.value.job_id == "job_1"


def test_a_stream_of_a_closed_client_ends() -> None:
    client = client_of(lambda _: httpx2.Response(200, headers=SSE, content=EVENT % b"r:1"))
    streams = [client.jobs.stream("job_1"), client.events.stream()]
    assert [next(stream).name for stream in (streams[0],)] == ["step.waiting"]
    client.close()
    for stream in streams:
        with pytest.raises(ConfigurationError, match="client is closed"):
            list(stream)


async def test_a_client_that_is_closed_within_a_stream_ends_it() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENT % b"r:1"
    with raw_server(head) as (url, _):
        client = AsyncDevoraClient("k", url)
        client._transport.config.stream_backoff = 0.001
        stream = client.events.stream()
        await anext(stream)
        await client.aclose()
        with pytest.raises(ConfigurationError, match="client is closed"):
            await asyncio.wait_for(anext(stream), 30)


def test_the_look_after_an_empty_connection_has_a_limit() -> None:
    limits: list[float | None] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if "snapshot" in request.url.params:
            return httpx2.Response(200, headers=SSE, content=b": nothing\n\n")
        limits.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json={"events": [], "next": None})

    with client_of(handle) as client:
        assert list(client.jobs.stream("job_1", after="r:1", stall_timeout=7)) == []
    assert limits == [7]


@pytest.mark.parametrize("cursor", ["é", "a\nb", "\ud800", 5])
def test_a_cursor_that_cannot_be_sent_is_refused(cursor: Any) -> None:
    with client_of(lambda _: httpx2.Response(200, headers=SSE)) as client:
        for stream in (client.jobs.stream("job_1", after=cursor), client.events.stream(after=cursor)):
            with pytest.raises(InvalidRequestError, match="Invalid cursor") as refused:
                list(stream)
            assert refused.value.field == "after"


def test_a_stream_resumes_after_the_last_id_that_can_be_sent() -> None:
    cursors: list[str | None] = []
    frames = EVENT % b"r:1" + EVENT % "é".encode()

    def handle(request: httpx2.Request) -> httpx2.Response:
        cursors.append(request.headers.get("last-event-id"))
        end = b'data: {"type": "job_completed"}\nid: r:3\n\n' if len(cursors) == 2 else b""
        return httpx2.Response(200, headers=SSE, content=frames + end)

    with client_of(handle) as client:
        assert [event.id for event in client.jobs.stream("job_1")] == ["r:1", "é", "r:3"]
    assert cursors == [None, "r:1"]


def test_nobody_who_listens_is_named_with_the_remedy() -> None:
    with DevoraClient("k", "http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(APIConnectionError) as fault:
            client.agents.list()
        assert not isinstance(fault.value, APITimeoutError)
    assert "from http://127.0.0.1:9: " in str(fault.value)
    assert "is the server running? DEVORA_BASE_URL selects another" in str(fault.value)


def test_a_schedule_takes_a_cron_expression() -> None:
    specs: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        specs.append(json.loads(request.content)["spec"])
        return httpx2.Response(201, json={"schedule_id": "s"})

    with client_of(handle) as client:
        client.schedules.create("0 6 * * *", {}, agent_id="a")
        client.schedules.update("s", spec="0 7 * * *")
        with pytest.raises(TypeError, match="spec must be such as"):
            client.schedules.create(["0 6 * * *"], {}, agent_id="a")  # type: ignore[arg-type]
    assert specs == [{"cron": ["0 6 * * *"]}, {"cron": ["0 7 * * *"]}]
