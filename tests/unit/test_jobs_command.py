"""`orchestrator jobs` without an API: what it draws, what it asks for, how it waits, what it says when it cannot."""

import asyncio
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.commandline.jobs.actions import RULES, Action, narrowed
from orchestrator.commandline.jobs.bulk import Results, document, preview, summary
from orchestrator.commandline.jobs.client import ActionOutcome, JobsClient
from orchestrator.commandline.jobs.picture import Frame, picture
from orchestrator.commandline.jobs.retries import ApiRetries
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.table import print_table
from orchestrator.commandline.jobs.times import age, moment, span
from orchestrator.commandline.run.client import NoAnswer
from orchestrator.commandline.run.job_view import FollowedJob, ListedJob
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line, plain
from orchestrator.domain.jobs import JobStatus

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def listed(number: int = 1, **more: Any) -> ListedJob:
    values = {"job_id": f"wf_job_{number}", "workflow_id": "w", "status": "running", "state": "RUNNING", **more}
    return ListedJob.model_validate(values)


def reason(code: str) -> dict[str, str]:
    return {"code": code, "message": f"Why {code}."}


# Times.


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T10:00:00+02:00", datetime(2026, 1, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_age_or_a_time(text: str, read: datetime) -> None:
    assert moment(text, "--since", NOW) == read


@pytest.mark.parametrize("text", ["yesterday", "", "7 d", "-3h", "999999w", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_its_flag(text: str) -> None:
    with pytest.raises(Refused, match=r"invalid --before .*expected an age such as 30m") as refused:
        moment(text, "--before", NOW)
    assert refused.value.code == 2


def test_durations_read_at_a_glance() -> None:
    seconds = (0.4, 12, 245, 7800, 273600)
    assert [span(one) for one in seconds] == ["0.4 s", "12 s", "4 min 05 s", "2 h 10 min", "3 d 4 h"]
    assert [age(NOW - timedelta(seconds=one), NOW) for one in seconds] == ["0s", "12s", "4m", "2h", "3d"]


# Text of others.


def test_a_terminal_obeys_nothing_that_a_model_wrote() -> None:
    evil = "a\x1b]0;title\x07b\x9b2Jc\u202ed\r\ne\tf"
    assert plain(evil) == "a�]0;title�b�2Jc�d\ne\tf"
    assert one_line(evil) == "a�]0;title�b�2Jc�d e f"


# The list.


def rows(jobs: list[ListedJob], *, terminal: bool = False, width: int = 100) -> str:
    written = io.StringIO()
    print_table(Console(file=written, force_terminal=terminal, width=width, color_system=None), jobs, NOW)
    return written.getvalue()


def test_a_row_says_where_a_job_is_and_why() -> None:
    jobs = [
        listed(1, progress=40, created_at=NOW - timedelta(hours=3), reason=reason("running")),
        listed(2, created_at=NOW - timedelta(days=2), reason=reason("stuck")),
        listed(3, status="failed", state="FAILED", error={"type": "malformed_output", "message": "No JSON."}),
        listed(4, progress=None),
    ]
    lines = [line.split() for line in rows(jobs).splitlines()]
    assert lines == [
        ["JOB", "TARGET", "STATE", "PROGRESS", "AGE", "REASON"],
        ["wf_job_1", "w", "running", "40", "%", "3h"],
        ["wf_job_2", "w", "stuck", "0", "%", "2d", "Why", "stuck."],
        ["wf_job_3", "w", "failed", "0", "%", "malformed_output:", "No", "JSON."],
        ["wf_job_4", "w", "running", "–"],
    ]


def test_a_pipe_gets_whole_rows_and_a_terminal_whole_ids() -> None:
    job = listed(1, job_id="wf_job_" + "f" * 32, reason={"code": "stuck", "message": "long [red] " * 40})
    assert rows([job], width=60).count("long [red]") == 40
    narrow = rows([job], terminal=True, width=60)
    assert job.job_id in narrow
    assert max(map(len, narrow.splitlines())) <= 60


@pytest.mark.parametrize("width", [50, 80, 120, 160])
def test_a_terminal_of_any_width_shows_every_column(width: int) -> None:
    waiting = {"code": "waiting_for_approval", "message": "Approve it."}
    job = listed(1, job_id="wf_job_" + "f" * 32, progress=40, created_at=NOW - timedelta(hours=3), reason=waiting)
    shown = " ".join(rows([job], terminal=True, width=width).split())
    for part in (job.job_id, "w", "waiting_for_approval", "40 %", "3h", "Appr"):
        assert part in shown


# The picture.


def drawn(*steps: dict[str, Any], bar: int = 0, **more: Any) -> str:
    job = {
        "job_id": "wf_job_1",
        "name": "Book",
        "workflow_id": "book",
        "status": "running",
        "state": "RUNNING",
        "created_at": NOW - timedelta(seconds=70),
        "started_at": NOW - timedelta(seconds=60),
        "steps": [{"step": "write", "agent": "writer", "title": "Write [it]", **step} for step in steps],
        **more,
    }
    lines = picture(FollowedJob.model_validate(job), Frame(NOW, bar, " --api-url http://x"))
    return "\n".join(line.plain.rstrip() for line in lines)


def test_a_picture_shows_each_call_with_its_attempts_time_and_cost() -> None:
    fault = {"type": "provider_unavailable", "message": "too\nbusy"}
    attempts = [{"number": 1, "completed_at": NOW - timedelta(seconds=30), "error": fault}, {"number": 2}]
    done = {"status": "completed", "attempts": attempts, "duration": 12.0, "tokens": 1200, "cost": 0.0144}
    picture = drawn(done, {"status": "pending", "agent": "editor"}, progress=50)
    assert re.search(r"✓ Write \[it\]  writer  completed +2 attempts  12 s  1,200 tokens  \$0\.0144", picture)
    assert "└ attempt 1 30s ago  provider_unavailable: too busy" in picture
    assert re.search(r"· Write \[it\]  editor  pending", picture)
    assert "running  50 %  created 1m ago, running for 1 min 00 s" in picture


def test_a_picture_names_the_round_of_a_call_and_shows_the_text_that_a_person_decides_on() -> None:
    question = {"id": "release", "status": "open", "message": "Send it?", "details": "Dear customer,\nstop skating."}
    picture = drawn(
        {"status": "completed", "key": "2/a"}, progress=None, calls_done=1, calls_known=2, questions=[question]
    )
    assert "running  1/2  created 1m ago" in picture
    assert "✓ Write [it] [2/a]  writer" in picture
    assert "  ? release: Send it?\n      Dear customer,\n      stop skating." in picture


def test_a_picture_says_why_a_job_waits_and_what_moves_it_on() -> None:
    waiting = {**reason("waiting_for_approval"), "since": NOW - timedelta(minutes=5)}
    picture = drawn({"status": "waiting_for_approval"}, reason=waiting)
    assert "Why waiting_for_approval. (for 5 min 00 s)" in picture
    assert "→ orchestrator jobs approve wf_job_1 --api-url http://x" in picture


def test_a_picture_of_a_failed_job_names_the_place_and_how_to_finish_it() -> None:
    error = {"type": "rejected", "message": "not\nthis week", "step": "write", "agent": "writer"}
    ended = {"status": "failed", "state": "FAILED", "completed_at": NOW, "error": error}
    picture = drawn({"status": "failed", "error": error}, **ended)
    assert "rejected in write / writer\n    not\n    this week\n  → orchestrator jobs retry wf_job_1" in picture
    assert "jobs retry" not in drawn(**ended, retried_by=["wf_job_2"])
    assert "retried as wf_job_2" in drawn(**ended, retried_by=["wf_job_2"])


def test_a_time_line_shows_what_ran_beside_what() -> None:
    def ran(first: int, last: int, **more: Any) -> dict[str, Any]:
        begin = NOW - timedelta(seconds=60)
        times = {"started_at": begin + timedelta(seconds=first), "completed_at": begin + timedelta(seconds=last)}
        return {"status": "completed", "attempts": [{"number": 1, **times, **more}]}

    fault = {"type": "t", "message": "m"}
    picture = drawn(ran(0, 30), ran(30, 60), ran(15, 45, error=fault), {"status": "pending"}, bar=8)
    bars = [re.sub(r".*(completed|pending) {0,60}", "", line) for line in picture.splitlines() if "[it]" in line]
    assert [bar.strip() for bar in bars] == ["████", "████", "▒▒▒▒", ""]
    begins = [
        line.find(sign)
        for line, sign in zip([row for row in picture.splitlines() if "[it]" in row], "██▒", strict=False)
    ]
    assert begins[0] + 4 == begins[1] == begins[2] + 2


def test_an_attempt_whose_worker_died_is_drawn_until_the_next_one() -> None:
    begin = NOW - timedelta(seconds=60)
    lost = {"number": 1, "started_at": begin, "error": {"type": "heartbeat_timeout", "message": "m"}}
    again = {"number": 2, "started_at": NOW - timedelta(seconds=30), "completed_at": NOW - timedelta(seconds=15)}
    picture = drawn({"status": "completed", "attempts": [lost, again]}, bar=8)
    assert "▒▒▒▒██" in picture
    assert "▒▒▒▒██▒" not in picture


# Which jobs.


def test_an_action_by_filter_takes_only_jobs_that_it_applies_to() -> None:
    jobs = {
        "open": listed(1),
        "paused": listed(2, state="PAUSED"),
        "waits": listed(3, reason=reason("waiting_for_approval")),
        "failed": listed(4, status="failed", state="FAILED"),
        "made good": listed(5, status="failed", state="FAILED", retried_by=["wf_job_6"]),
    }

    def taken(action: Action) -> set[str]:
        rule = RULES[action]
        statuses = narrowed(action, Selection(workflow="w")).statuses
        return {name for name, job in jobs.items() if rule.applies(job) and (not statuses or job.status in statuses)}

    assert taken(Action.CANCEL) == {"open", "paused", "waits"}
    assert taken(Action.PAUSE) == {"open", "waits"}
    assert taken(Action.RESUME) == {"paused"}
    assert taken(Action.APPROVE) == taken(Action.REJECT) == {"waits"}
    assert taken(Action.RETRY) == {"failed"}


def test_a_cancelled_job_is_started_again_only_where_it_is_asked_for() -> None:
    failed = narrowed(Action.RETRY, Selection(workflow="w"))
    assert (failed.statuses, failed.needs_attention) == ((JobStatus.FAILED,), True)
    both = narrowed(Action.RETRY, Selection(statuses=(JobStatus.FAILED, JobStatus.CANCELLED)))
    assert (both.statuses, both.needs_attention) == ((JobStatus.FAILED, JobStatus.CANCELLED), False)


def test_a_status_that_an_action_never_applies_to_is_refused() -> None:
    with pytest.raises(Refused, match="invalid --status completed for cancel: expected queued or running"):
        narrowed(Action.CANCEL, Selection(statuses=(JobStatus.COMPLETED,)))


def test_a_preview_counts_what_the_jobs_run() -> None:
    jobs = [*(listed(n) for n in range(30)), *(listed(n, workflow_id=None, agent_id="a") for n in range(7))]
    assert preview(Action.CANCEL, jobs) == "would cancel 37 jobs: 30 w, 7 a"
    assert preview(Action.PAUSE, jobs[:1]) == "would pause 1 job: 1 w"


def test_a_summary_separates_done_from_requested_failed_and_not_tried() -> None:
    results = Results([ActionOutcome("a"), ActionOutcome("b", done=False)], {"c": "why"}, open=3, untried=2)
    assert summary(Action.CANCEL, results) == (
        "8 jobs: 1 cancelled, 1 requested and not done yet, 1 failed, 3 without a response yet, 2 not tried"
    )
    decision = document(Action.CANCEL, results)
    assert (decision["done"], decision["requested"], decision["failed"], decision["not_tried"]) == (
        ["a"],
        ["b"],
        [{"job_id": "c", "message": "why"}],
        2,
    )
    assert (results.code, Results([ActionOutcome("a", done=False)]).code) == (1, 0)


# Options.


@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (["cancel"], "no jobs selected: name their ids or use a filter"),
        (["cancel", "--limit", "5"], "no jobs selected: name their ids or use a filter"),
        (["cancel", "wf_job_1", "--status", "running"], "use ids or filters, not both"),
        (["cancel", "wf_job_1", "--limit", "1"], "use ids or filters, not both"),
        (["cancel", "--status", "failed"], "invalid --status failed for cancel: expected queued or running"),
        (["cancel", "-"], "no job ids on standard input"),
        (["list", "--since", "yesterday"], "invalid --since 'yesterday': expected an age such as 30m"),
        (["list", "--workflow", "a", "--agent", "b"], "pass --workflow or --agent, not both"),
        (["list", "--api-url", "127.0.0.1:8000"], "expected http://host:port"),
        (["list", "--api-key", "schlüssel"], "the API key contains invalid characters"),
        (["watch", "wf_job_1", "--after", "x"], "--after needs --json"),
    ],
)
def test_a_mistake_is_reported_before_anything_is_asked(
    arguments: list[str], report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "key")
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9")
    ended = CliRunner().invoke(app, ["jobs", *arguments])
    assert isinstance(ended.exception, Refused)
    assert report in str(ended.exception)
    assert ended.exception.code == 2


@pytest.mark.parametrize("action", list(Action))
def test_a_command_has_an_example_and_only_what_its_route_takes(action: Action) -> None:
    helped = CliRunner().invoke(app, ["jobs", action, "--help"], env={"COLUMNS": "120"})
    assert helped.exit_code == 0
    assert f"orchestrator jobs {action} " in helped.output
    assert "--dry-run" in helped.output
    assert ("--step" in helped.output) == (action in {Action.APPROVE, Action.REJECT})
    assert ("--note" in helped.output) == (action is not Action.RETRY)


# Over HTTP.

Answers = Callable[[httpx2.Request], httpx2.Response]


def client_of(answers: Answers) -> JobsClient:
    return JobsClient("http://127.0.0.1:8000", "key", httpx2.MockTransport(answers))


def problem(status: int, message: str, field: str | None = None, **headers: str) -> httpx2.Response:
    body = {"error": {"code": "x", "message": message, "details": {"field": field} if field else {}}}
    return httpx2.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def bodies(numbers: range, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "job_id": f"wf_job_{n}",
            "workflow_id": "w",
            "status": "running",
            "state": "RUNNING",
            "reason": None,
            "created_at": (NOW - timedelta(minutes=n)).isoformat(),
            **more,
        }
        for n in numbers
    ]


def paged(jobs: list[dict[str, Any]], asked: list[dict[str, str]]) -> Answers:
    def answer(request: httpx2.Request) -> httpx2.Response:
        query = dict(request.url.params)
        asked.append(query)
        matching = [job for job in jobs if query.get("status", job["status"]) == job["status"]]
        first = int(query["offset"])
        page = matching[first : first + int(query["limit"])]
        return httpx2.Response(200, json={"jobs": page, "total": len(matching), "limit": 100, "offset": first})

    return answer


async def test_a_list_reads_as_many_pages_as_it_needs() -> None:
    asked: list[dict[str, str]] = []
    client = client_of(paged(bodies(range(250)), asked))
    everything = await client.find(Selection(workflow="w"), ApiRetries(0))
    assert (len(everything.jobs), everything.total) == (250, 250)
    assert [(query["offset"], query["workflow_id"]) for query in asked] == [("0", "w"), ("100", "w"), ("200", "w")]
    asked.clear()
    recent = await client.find(Selection(since=NOW - timedelta(minutes=30)), ApiRetries(0))
    assert (len(recent.jobs), len(asked)) == (31, 1)
    old = await client.find(Selection(before=NOW - timedelta(minutes=200)), ApiRetries(0), maximum=5)
    assert [job.job_id for job in old.jobs] == [f"wf_job_{n}" for n in range(201, 206)]


async def test_several_statuses_are_one_list_newest_first() -> None:
    asked: list[dict[str, str]] = []
    mixed = [*bodies(range(0, 6, 2)), *bodies(range(1, 6, 2), status="queued", state="PENDING")]
    client = client_of(paged(mixed, asked))
    found = await client.find(Selection(statuses=(JobStatus.RUNNING, JobStatus.QUEUED)), ApiRetries(0), maximum=4)
    assert [job.job_id for job in found.jobs] == ["wf_job_0", "wf_job_1", "wf_job_2", "wf_job_3"]
    assert found.total == 6


@pytest.mark.parametrize(
    ("selection", "report"),
    [
        (Selection(reasons=("stuck",)), "cannot filter jobs by reason: upgrade the API, or name the job ids"),
        (Selection(needs_attention=True), "cannot filter jobs by need of attention"),
    ],
)
async def test_an_api_without_a_filter_is_too_old_and_lists_nothing(selection: Selection, report: str) -> None:
    def refuses(request: httpx2.Request) -> httpx2.Response:
        field = "reason" if "reason" in request.url.params else "needs_attention"
        return problem(400, f"Unknown query parameter: {field}", field)

    def ignores(_: httpx2.Request) -> httpx2.Response:
        page = [{key: value for key, value in job.items() if key != "reason"} for job in bodies(range(3))]
        return httpx2.Response(200, json={"jobs": page, "total": 3})

    for answers in (refuses, ignores):
        with pytest.raises(Refused, match=rf"this API is older than this command and {report}"):
            await client_of(answers).find(selection, ApiRetries(0))


async def test_an_unknown_reason_is_printed_in_the_words_of_the_api() -> None:
    client = client_of(lambda _: problem(400, "There is no reason 'stuk'", "reason"))
    with pytest.raises(Refused, match="There is no reason 'stuk'"):
        await client.find(Selection(reasons=("stuk",)), ApiRetries(0))


@pytest.mark.parametrize("status", [404, 405])
async def test_an_api_that_cannot_retry_is_distinguished_from_an_unknown_job(status: int) -> None:
    def without_the_route(request: httpx2.Request) -> httpx2.Response:
        return problem(status, "Not found") if request.method == "POST" else httpx2.Response(200, json={})

    with pytest.raises(Refused, match="older than this command and cannot retry jobs"):
        await client_of(without_the_route).act("wf_job_1", Action.RETRY, {}, "key")
    with pytest.raises(Refused, match="Unknown job: wf_job_1"):
        await client_of(lambda _: problem(404, "Unknown job: wf_job_1")).act("wf_job_1", Action.RETRY, {}, "key")


async def test_a_limit_is_waited_out_and_a_control_counts_once() -> None:
    asked: list[httpx2.Request] = []
    answers = [
        problem(429, "Rate limit exceeded.", Retry_After="0"),
        problem(503, "Temporal does not answer", Retry_After="0"),
        httpx2.Response(202, json={"job_id": "wf_job_1", "done": False}),
    ]

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return answers.pop(0)

    entries: list[str] = []
    client = client_of(answer)
    outcome = await ApiRetries(5, entries.append).call(
        lambda: client.act("wf_job_1", Action.CANCEL, {"reason": "x"}, "k")
    )
    assert outcome == ActionOutcome("wf_job_1", done=False)
    assert {request.headers["Idempotency-Key"] for request in asked} == {"k"}
    assert [json.loads(request.content) for request in asked] == [{"reason": "x"}] * 3
    assert entries == [
        "Rate limit exceeded.; trying again",
        "http://127.0.0.1:8000 answers 503: Temporal does not answer; trying again",
    ]


async def test_an_outage_is_reported_once() -> None:
    faults = [httpx2.ReadError("cut"), httpx2.ConnectError("refused"), httpx2.ConnectError("refused")]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if faults:
            raise faults.pop(0)
        return httpx2.Response(202, json={"job_id": "wf_job_1", "done": True})

    messages: list[str] = []
    client = client_of(answer)
    await ApiRetries(30, messages.append).call(lambda: client.act("wf_job_1", Action.CANCEL, {"reason": "x"}, "k"))
    assert messages == ["no response from http://127.0.0.1:8000 (cut); trying again"]


async def test_all_requests_wait_as_long_as_one_is_asked_to() -> None:
    moments: list[float] = []
    limited = True

    async def request() -> None:
        nonlocal limited
        moments.append(asyncio.get_running_loop().time())
        if limited:
            limited = False
            raise NoAnswer("limit", retry_after=0.3, limited=True)

    retries = ApiRetries(5)
    await asyncio.gather(retries.call(request), *(_later(retries, request) for _ in range(3)))
    assert all(moment - moments[0] >= 0.29 for moment in moments[1:])


async def _later(retries: ApiRetries, request: Callable[[], Any]) -> None:
    await asyncio.sleep(0.05)
    await retries.call(request)


@pytest.mark.parametrize(
    ("retries", "fault"),
    [
        (ApiRetries(60), NoAnswer("no answer", unsure=False)),  # never reached: a wrong address
        (ApiRetries(60), NoAnswer("tokens of the month", retry_after=86400, limited=True)),
        (ApiRetries(60, outages=False), NoAnswer("Temporal does not answer", retry_after=1)),
        (ApiRetries(1), NoAnswer("no answer", retry_after=2)),
    ],
)
async def test_what_is_not_worth_waiting_for_is_reported_at_once(retries: ApiRetries, fault: NoAnswer) -> None:
    async def request() -> None:
        raise fault

    with pytest.raises(NoAnswer, match=str(fault)):
        async with asyncio.timeout(1):
            await retries.call(request)


async def test_another_program_at_the_address_is_reported_as_one() -> None:
    page = httpx2.Response(404, text="<html>nginx</html>", headers={"content-type": "text/html; charset=utf-8"})
    with pytest.raises(Refused, match=r"does not respond like this API \(HTTP 404, text/html\); is it another program"):
        await client_of(lambda _: page).find(Selection(), ApiRetries(0))
    moved = httpx2.Response(301, headers={"Location": "https://api.example.com/"})
    with pytest.raises(Refused, match=r"redirects to https://api\.example\.com/; pass that host with --api-url"):
        await client_of(lambda _: moved).find(Selection(), ApiRetries(0))
    with pytest.raises(Refused, match="not from this API"):
        await client_of(lambda _: httpx2.Response(200, text="<!doctype html>")).find(Selection(), ApiRetries(0))
