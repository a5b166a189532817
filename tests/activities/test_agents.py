"""The activity behind every agent: attempt log, heartbeats, cancellation, large results, errors."""

import asyncio
import dataclasses
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs
from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import agents, budgets
from activities.agents import AgentActivities
from orchestrator.bus.memory import MemoryBus
from orchestrator.domain.agents import Agent, AgentOutput, StepOutput
from orchestrator.domain.budgets import Claim, TokenBudget, TokenUse
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import AgentResult, AgentTask, JobConfig
from orchestrator.domain.errors import AgentError, InvalidInput, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, JobError
from orchestrator.domain.plans import RetryPolicy, Step, Timeouts
from orchestrator.domain.ports import TextSink
from orchestrator.domain.usage import Usage

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
USAGE = Usage(prompt_tokens=10, completion_tokens=20, cost=0.00036)

Progress = Callable[[int], None]
Behaviour = Callable[[Progress], Awaitable[AgentResult]]


class Anything(BaseModel):
    """Any input."""


class Runtime:
    """An `AgentRuntime` that behaves as the test says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.calls: list[tuple[str, int]] = []
        self.allowances: list[int | None] = []

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Progress, sink: TextSink
    ) -> AgentResult:
        self.calls.append((agent.id, attempt))
        self.allowances.append(task.allowance)
        return await self.behaviour(progress)


class Attempts:
    """An `AttemptLog` in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.claims: list[Claim | Exception] = []
        self.asked: list[tuple[int, int]] = []

    async def claim(self, task: AgentTask, *, tokens: int, least: int, **_: Any) -> Claim:
        self.asked.append((tokens, least))
        claim = self.claims.pop(0)
        if isinstance(claim, Exception):
            raise claim
        return claim

    async def started(self, task: AgentTask, *, attempt: int, at: datetime, run_id: str) -> None:
        self.rows.append({"job": task.job_id, "attempt": attempt, "at": at, "status": AttemptStatus.RUNNING})

    async def ended(self, task: AgentTask, **row: Any) -> None:
        assert row.pop("run_id") == activity.info().workflow_run_id
        self.rows.append({"job": task.job_id, **row})


class Artifacts:
    """An `ArtifactStore` in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        self.bodies[f"{job_id}/{name}"] = body
        return f"{job_id}/{name}"

    async def get(self, artifact_id: str) -> dict[str, Any]:
        return self.bodies[artifact_id]


class Results:
    """A `ResultKeeper` in memory."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.kept: list[tuple[str, BaseModel]] = []
        self.fault = fault

    async def keep(self, workflow_id: str, message: BaseModel) -> None:
        if self.fault:
            raise self.fault
        self.kept.append((workflow_id, message))


class Bench:
    """One activity with its ports and a Temporal test environment."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        store_fault: Exception | None = None,
        results: Any = None,
        runtime: Any = None,
        bus: Any = None,
        function: Any = None,
        last_error: str | None = "provider_busy",
        retry: RetryPolicy | None = None,
        **info: Any,
    ) -> None:
        agent = Agent(
            id="writer",
            name="Writer",
            squad="docs",
            description="Writes.",
            capabilities=("writing",),
            input_model=Anything,
            function=function,
        )
        self.runtime = runtime or Runtime(behaviour)
        self.attempts = Attempts()
        self.artifacts = Artifacts()
        self.results = results or Results(store_fault)
        self.beats: list[Any] = []
        self.environment = ActivityEnvironment()
        self.environment.payload_converter = pydantic_data_converter.payload_converter
        self.environment.on_heartbeat = self.beats.append
        changed = {"activity_type": "writer", "attempt": 2, **info}
        self.environment.info = dataclasses.replace(self.environment.info, **changed)
        self._activities = AgentActivities(
            Catalogue(agents={"writer": agent}, workflows={}),
            self.runtime,
            self.attempts,
            self.artifacts,
            lambda: NOW,
            bus=bus or MemoryBus(),
            results=self.results,
            worker="7@here",
            last_error=self._last_error,
            heartbeat_seconds=0.01,
        )
        self.asked = 0
        self.last_error = last_error
        self.retry = retry or RetryPolicy()

    async def _last_error(self) -> JobError | None:
        self.asked += 1
        return None if self.last_error is None else JobError(type=self.last_error, message="m")

    async def run(self, context: list[StepOutput] | None = None, **more: Any) -> AgentResult:
        task = AgentTask(
            job_id="job_1",
            definition="writer",
            kind=JobKind.AGENT,
            step=Step(id="write", name="Write", squad="docs", agents=("writer",), retry=self.retry),
            agent="writer",
            input={"context": "x"},
            context=context or [],
            **more,
        )
        payload = RawValue(pydantic_data_converter.payload_converter.to_payload(task))
        return await self.environment.run(self._activities.run_agent, [payload])


def make_result(**more: Any) -> AgentResult:
    defaults = {"step": "write", "agent": "writer", "summary": "s", "output": "o", "usage": USAGE, "model": "m-1"}
    return AgentResult(**(defaults | more))


def answering(**more: Any) -> Behaviour:
    async def behave(progress: Progress) -> AgentResult:
        progress(5)
        return make_result(**more)

    return behave


def failing(error: Exception) -> Behaviour:
    async def behave(_: Progress) -> AgentResult:
        raise error

    return behave


async def hang(progress: Progress) -> AgentResult:
    progress(7)
    await asyncio.Event().wait()
    raise AssertionError("never reached")


def beat(**tally: int) -> dict[str, Any]:
    """What the call's last heartbeat said."""
    return {"chars": 3, "tally": {"tries": 0, "attempts": 0, "failures": 0, "lost": 0, "unkept": 0, **tally}}


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never became true")


async def stopped_by(details: ActivityCancellationDetails) -> tuple[Bench, BaseException]:
    bench = Bench(hang)
    running = asyncio.create_task(bench.run())
    await until(lambda: bool(bench.runtime.calls))
    bench.environment.cancel(details)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - which one is what the test asks
        await running
    return bench, raised.value


MONTH = TokenBudget(monthly=1000)
SIBLING = TokenUse(used=100, reserved=900, claimed=900)


async def test_a_limited_call_claims_its_tokens_and_no_other_does():
    bench = Bench(answering())
    await bench.run()
    assert (bench.attempts.asked, bench.runtime.allowances) == ([], [None])
    bench.attempts.claims = [Claim(700)]
    await bench.run(tokens=MONTH, config=JobConfig(max_tokens=2000))
    (tokens, least), allowances = bench.attempts.asked[0], bench.runtime.allowances
    assert tokens == 2000 + least - 1
    assert 500 < least < 700  # the prompt, and a word of the answer
    assert allowances == [None, 700]
    plain = Bench(answering(), function=lambda call: AgentOutput(summary="s", output="o"))
    await plain.run(tokens=MONTH)
    assert plain.attempts.asked == []  # plain code asks no model


SLOW = Unavailable("slow", fault="slow")


@pytest.mark.parametrize(("claim", "why"), [(Claim(0, SIBLING), "tokens that other calls hold"), (SLOW, "too slow")])
async def test_a_call_that_waits_for_tokens_leaves_its_slot_and_uses_up_no_attempt(claim: Claim | Exception, why: str):
    bench = Bench(answering(), attempt=1, retry=RetryPolicy(maximum_attempts=1))
    bench.attempts.claims = [claim]
    with pytest.raises(ApplicationError, match=why) as waits:
        await bench.run(tokens=MONTH)
    assert (waits.value.type, waits.value.non_retryable) == ("tokens_held", False)
    assert waits.value.next_retry_delay is not None
    assert 0.8 <= waits.value.next_retry_delay.total_seconds() <= 1.2
    assert (bench.attempts.rows, bench.runtime.calls) == ([], [])
    report = bench.beats[-1]
    assert report["tally"] == {**beat(tries=1)["tally"], "stopped": 0, "for_tokens_since": NOW}

    again = Bench(answering(), attempt=2, retry=RetryPolicy(maximum_attempts=1), heartbeat_details=[report])
    again.attempts.claims = [Claim(300)]
    assert (await again.run(tokens=MONTH)).attempt == 1
    assert again.runtime.allowances == [300]
    assert again.asked == 0


async def waits_since(ago: float, claim: Claim | Exception) -> ApplicationError:
    """The end of a call that has waited for tokens for a while. It may wait for half of its 600 s."""
    waited = beat(tries=30)
    waited["tally"]["for_tokens_since"] = (NOW - timedelta(seconds=ago)).isoformat()
    bench = Bench(answering(), attempt=31, heartbeat_details=[waited])
    bench.attempts.claims = [claim]
    with pytest.raises(ApplicationError) as end:
        await bench.run(tokens=MONTH)
    assert bench.runtime.calls == []
    return end.value


async def test_a_call_waits_for_tokens_ever_longer_and_not_for_ever():
    patience = Timeouts().start_to_close * 0.95 / 2
    late = await waits_since(patience - 1, Claim(0, SIBLING))
    assert late.type == "tokens_held"
    assert late.next_retry_delay is not None
    assert 4 <= late.next_retry_delay.total_seconds() <= 6
    ended = await waits_since(patience, Claim(0, SIBLING))
    assert (ended.type, ended.non_retryable) == ("budget_exceeded", True)
    slow = await waits_since(patience, SLOW)
    assert (slow.type, slow.non_retryable) == ("unavailable", False)


@pytest.mark.parametrize("use", [TokenUse(used=999, reserved=400, claimed=400), TokenUse(used=100, reserved=900)])
async def test_a_call_does_not_wait_for_tokens_that_nobody_will_give_back(use: TokenUse):
    bench = Bench(answering())
    bench.attempts.claims = [Claim(0, use)]
    with pytest.raises(ApplicationError) as refused:
        await bench.run(tokens=MONTH)
    assert (refused.value.type, refused.value.non_retryable) == ("budget_exceeded", True)


async def test_a_worker_that_dies_after_the_tokens_came_takes_nothing_from_the_next_wait():
    report = beat(tries=1) | {"chars": 0}
    report["tally"]["for_tokens_since"] = NOW.isoformat()
    bench = Bench(hang, attempt=2, heartbeat_details=[report])
    bench.attempts.claims = [Claim(300)]
    running = asyncio.create_task(bench.run(tokens=MONTH))
    await until(lambda: bool(bench.runtime.calls))
    await until(lambda: "for_tokens_since" not in bench.beats[-1]["tally"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_call_without_tokens_is_refused_for_good_in_plain_words():
    bench = Bench(answering())
    bench.attempts.claims = [Claim(0, TokenUse(used=990, reserved=5))]
    with pytest.raises(ApplicationError) as refused:
        await bench.run(tokens=MONTH)
    assert (refused.value.type, refused.value.non_retryable) == ("budget_exceeded", True)
    assert "of 1000 tokens 990 are used and 5 are reserved by other calls and jobs" in refused.value.message
    assert "the next month begins at 2026-12-01" in refused.value.message
    assert bench.runtime.calls == []
    assert [row["status"] for row in bench.attempts.rows] == [AttemptStatus.RUNNING, AttemptStatus.FAILED]


async def test_a_short_call_does_not_wait_for_tokens():
    bench = Bench(answering(), is_local=True)
    bench.attempts.claims = [Claim(0, SIBLING)]
    with pytest.raises(ApplicationError, match="tokens of this month"):
        await bench.run(tokens=MONTH)


async def test_a_silent_index_is_asked_again_and_then_holds_no_limited_call(monkeypatch: pytest.MonkeyPatch):
    bench = Bench(answering())
    bench.attempts.claims = [Unavailable("no index"), Claim(300)]
    await bench.run(tokens=MONTH)
    assert bench.runtime.allowances == [300]
    monkeypatch.setattr(budgets, "INDEX_TIMEOUT_SECONDS", 0)
    bench = Bench(answering())
    bench.attempts.claims = [Unavailable("no index")]
    await bench.run(tokens=MONTH)
    assert (bench.runtime.calls, bench.runtime.allowances) == ([("writer", 2)], [None])


async def test_a_call_is_run_and_its_attempt_recorded():
    bench = Bench(answering())
    assert await bench.run() == make_result(attempt=2)
    assert bench.runtime.calls == [("writer", 2)]
    started, ended = bench.attempts.rows
    assert started == {"job": "job_1", "attempt": 2, "at": NOW, "status": AttemptStatus.RUNNING}
    assert ended == {
        "job": "job_1",
        "attempt": 2,
        "at": NOW,
        "status": AttemptStatus.COMPLETED,
        "usage": USAGE,
        "model": "m-1",
        "error": None,
    }


async def test_heartbeats_tell_how_much_has_arrived_and_end_with_the_call():
    release = asyncio.Event()

    async def behave(progress: Progress) -> AgentResult:
        progress(5)
        await release.wait()
        return make_result()

    bench = Bench(behave)
    others = asyncio.all_tasks()  # An engine of other tests may run calls of its own in this loop.
    running = asyncio.create_task(bench.run())
    await until(lambda: any(beat["chars"] == 5 for beat in bench.beats))
    release.set()
    await running
    await until(lambda: all(task.get_name() != "heartbeat" for task in asyncio.all_tasks() - others))


async def test_a_local_activity_does_not_beat():
    bench = Bench(answering(), is_local=True)
    assert await bench.run() == make_result(attempt=2)
    assert bench.beats == []


async def test_an_unknown_agent_waits_for_a_worker_that_knows_it():
    bench = Bench(answering(), activity_type="nobody", attempt=1)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("unknown_agent", False)
    assert "Worker 7@here does not know agent nobody" in failed.value.message
    assert failed.value.next_retry_delay == timedelta(seconds=1)
    assert bench.attempts.rows == []
    assert bench.beats[-1]["tally"] == {"tries": 1, "attempts": 0, "failures": 0, "lost": 0, "unkept": 0, "stopped": 0}


async def test_the_pause_of_an_unknown_agent_grows_to_half_a_minute():
    bench = Bench(answering(), activity_type="nobody", attempt=90, heartbeat_details=[beat(tries=89)])
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert failed.value.next_retry_delay == timedelta(seconds=30)
    assert bench.asked == 0


async def test_an_unknown_agent_of_a_short_step_goes_back_to_its_workflow():
    bench = Bench(answering(), activity_type="nobody", is_local=True, attempt=1)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("unknown_agent", True)


@pytest.mark.parametrize(
    ("error", "kind", "non_retryable", "delay"),
    [
        (AgentError("m", kind="provider_busy", retryable=True, retry_after=7), "provider_busy", False, 7),
        (AgentError("m", kind="provider_busy", retryable=True, retry_after=9000), "provider_busy", False, 300),
        (AgentError("m", kind="provider_unavailable", retryable=True), "provider_unavailable", False, 2),
        (AgentError("m", kind="quota_exhausted", retryable=False, retry_after=7), "quota_exhausted", True, None),
        (InvalidInput("m"), "invalid_input", True, None),
        (Unavailable("m", retry_after=3), "unavailable", False, 5),
    ],
)
async def test_errors_are_mapped_once_and_recorded(error, kind, non_retryable, delay):
    bench = Bench(failing(error))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == (kind, non_retryable)
    assert failed.value.next_retry_delay == (timedelta(seconds=delay) if delay is not None else None)
    assert failed.value.message == "m"
    # A cause would be written into the history with everything it knows.
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    ended = bench.attempts.rows[-1]
    assert ended["status"] is AttemptStatus.FAILED
    assert (ended["error"].type, ended["error"].retryable) == (kind, not non_retryable)
    assert (ended["error"].step, ended["error"].agent) == ("write", "writer")


async def test_a_failed_call_that_was_billed_is_recorded_with_its_usage():
    bench = Bench(failing(AgentError("m", kind="malformed_output", retryable=True, usage=USAGE)))
    with pytest.raises(ApplicationError):
        await bench.run()
    assert bench.attempts.rows[-1]["usage"] == USAGE


async def test_foreign_errors_fail_the_attempt_under_their_name():
    bench = Bench(failing(KeyError("theirs")))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.message, failed.value.non_retryable) == ("KeyError", "'theirs'", False)
    assert "behave" in "".join(traceback.format_tb(failed.value.__traceback__))
    ended = bench.attempts.rows[-1]
    assert (ended["status"], ended["error"].type) == (AttemptStatus.FAILED, "KeyError")


async def test_an_application_error_of_an_author_keeps_its_own_retry_wish():
    bench = Bench(failing(ApplicationError("no", type="sold_out", non_retryable=True)))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("sold_out", True)
    error = bench.attempts.rows[-1]["error"]
    assert (error.type, error.retryable) == ("sold_out", False)


async def test_a_users_cancel_is_a_cancel():
    bench, raised = await stopped_by(ActivityCancellationDetails(cancel_requested=True))
    assert isinstance(raised, asyncio.CancelledError)
    assert bench.attempts.rows[-1]["status"] is AttemptStatus.CANCELLED


async def test_a_worker_that_shuts_down_asks_for_another_attempt():
    bench, raised = await stopped_by(ActivityCancellationDetails(worker_shutdown=True))
    assert isinstance(raised, ApplicationError)
    assert (raised.type, raised.non_retryable) == ("worker_shutdown", False)
    assert bench.attempts.rows[-1]["status"] is AttemptStatus.UNKNOWN
    assert bench.attempts.rows[-1]["error"].type == "worker_shutdown"


async def test_the_agents_own_failures_alone_use_up_its_attempts():
    report = beat(tries=9, attempts=6, failures=1, lost=4)
    last = Bench(
        failing(AgentError("m", kind="provider_busy", retryable=True)),
        attempt=10,
        heartbeat_details=[report],
        retry=RetryPolicy(maximum_attempts=2),
    )
    with pytest.raises(ApplicationError) as failed:
        await last.run()
    assert (failed.value.type, failed.value.non_retryable) == ("provider_busy", True)
    assert last.attempts.rows[-1]["attempt"] == 7
    assert last.attempts.rows[-1]["error"].retryable
    assert last.beats[-1]["tally"] == {"tries": 10, "attempts": 7, "failures": 2, "lost": 4, "unkept": 0, "stopped": 0}


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        ("heartbeat_timeout", {"lost": 2}),
        (None, {"lost": 2}),
        ("start_to_close_timeout", {"failures": 2}),
        ("Unavailable", {"unkept": 2, "stopped": 0}),
        ("ValueError", {"failures": 2}),
    ],
)
async def test_tries_that_ended_without_a_word_count_as_temporal_reports(error, counted):
    bench = Bench(answering(), attempt=3, last_error=error)
    await bench.run()
    expected = {"tries": 2, "attempts": 2, "failures": 0, "lost": 0, "unkept": 0, "stopped": 0, **counted}
    assert bench.beats[0]["tally"] == expected
    assert bench.asked == 1


async def test_an_agent_that_ends_its_worker_again_and_again_is_given_up():
    bench = Bench(answering(), attempt=6, heartbeat_details=[beat(tries=4, attempts=4, lost=4)], last_error=None)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("worker_lost", True)
    assert "died or hung 5 times" in failed.value.message
    assert bench.runtime.calls == []


async def test_attempts_that_temporal_ended_at_their_time_limit_are_bounded_too():
    tally = beat(tries=1, attempts=1, failures=1)
    bench = Bench(answering(), attempt=22, heartbeat_details=[tally], last_error="start_to_close_timeout")
    with pytest.raises(ApplicationError, match="ran into its time limit; it had 21 attempts") as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("start_to_close_timeout", True)
    assert bench.runtime.calls == []


async def test_an_agent_that_has_its_worker_stopped_again_and_again_is_given_up():
    bench = Bench(answering(), attempt=11, heartbeat_details=[beat(tries=10, attempts=10, stopped=10)])
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("worker_stopped", True)
    assert "stopped 10 times in a row" in failed.value.message
    assert bench.runtime.calls == []


async def test_of_the_calls_over_which_workers_died_one_runs_at_a_time():
    suspect = {"attempt": 4, "heartbeat_details": [beat(tries=3, attempts=3, lost=3)]}
    first, second, fresh = Bench(hang, **suspect), Bench(answering(), **suspect), Bench(answering())
    second._activities = fresh._activities = first._activities
    running = asyncio.create_task(first.run())
    await until(lambda: bool(first.runtime.calls))
    with pytest.raises(ApplicationError) as refused:
        await second.run()
    assert (refused.value.type, refused.value.non_retryable) == ("worker_suspect", False)
    assert second.beats[-1]["tally"] == {"tries": 4, "attempts": 3, "failures": 0, "lost": 3, "unkept": 0, "stopped": 0}
    beside = asyncio.create_task(fresh.run())
    await until(lambda: len(first.runtime.calls) == 2)
    for task in (running, beside):
        task.cancel()
    await asyncio.gather(running, beside, return_exceptions=True)
    again = asyncio.create_task(second.run())
    await until(lambda: len(first.runtime.calls) == 3)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


@pytest.mark.parametrize(
    "kind", ["unknown_agent", "worker_lost", "worker_shutdown", "worker_stopped", "worker_suspect", "tokens_held"]
)
async def test_an_error_of_an_author_is_not_taken_for_what_befell_a_worker(kind: str):
    bench = Bench(failing(AgentError("m", kind=kind, retryable=True)), attempt=1, retry=RetryPolicy(maximum_attempts=1))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == (f"agent_{kind}", True)


@pytest.mark.parametrize(
    "odd", [{"retry_after": "5"}, {"kind": None}, {"message": None}, {"usage": 7}, {"retryable": "yes"}]
)
async def test_an_error_with_odd_arguments_is_an_attempt_like_any_other(odd: dict[str, Any]):
    given = {"message": "m", "kind": "busy", "retryable": True, **odd}
    error = AgentError(given.pop("message"), **given)
    bench = Bench(failing(error), attempt=1, retry=RetryPolicy(maximum_attempts=1))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == (given["kind"] or "error", True)


async def test_an_absent_store_uses_up_none_of_the_agents_attempts():
    away = failing(Unavailable("away"))
    bench = Bench(away, attempt=1, retry=RetryPolicy(maximum_attempts=1), last_error=None)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("unavailable", False)
    assert bench.beats[-1]["tally"] == {"tries": 1, "attempts": 1, "failures": 0, "lost": 0, "unkept": 1, "stopped": 0}
    again = Bench(away, attempt=5, heartbeat_details=[beat(tries=4, attempts=4, unkept=4)])
    with pytest.raises(ApplicationError) as failed:
        await again.run()
    assert (failed.value.type, failed.value.non_retryable) == ("unavailable", True)


async def test_a_call_beside_one_that_blocks_uses_up_no_attempt_but_is_not_made_for_ever():
    held_up = failing(AgentError("m", kind="agent_held_up", retryable=True))
    bench = Bench(held_up, attempt=1, retry=RetryPolicy(maximum_attempts=1, initial_interval=2.0), last_error=None)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("agent_held_up", False)
    assert failed.value.next_retry_delay == timedelta(seconds=2)
    assert bench.beats[-1]["tally"] == {"tries": 1, "attempts": 1, "failures": 0, "lost": 0, "unkept": 0, "stopped": 0}
    last = Bench(held_up, attempt=50, heartbeat_details=[beat(tries=49, attempts=49)])
    with pytest.raises(ApplicationError) as failed:
        await last.run()
    assert failed.value.non_retryable


async def test_tries_that_an_operator_set_back_give_the_agent_as_many_again():
    bench = Bench(answering(), attempt=1, heartbeat_details=[beat(tries=5, attempts=5, failures=4)])
    assert (await bench.run()).attempt == 6
    assert bench.asked == 0


async def test_a_call_that_an_operator_paused_uses_up_no_attempt():
    bench, raised = await stopped_by(ActivityCancellationDetails(paused=True))
    assert isinstance(raised, asyncio.CancelledError)
    assert bench.attempts.rows[-1]["status"] is AttemptStatus.UNKNOWN
    assert bench.beats[-1]["tally"] == {"tries": 2, "attempts": 2, "failures": 1, "lost": 0, "unkept": 0, "stopped": 0}


@pytest.mark.parametrize(
    ("details", "status"),
    [
        (ActivityCancellationDetails(timed_out=True), AttemptStatus.TIMED_OUT),
        (ActivityCancellationDetails(not_found=True), AttemptStatus.UNKNOWN),
    ],
)
async def test_other_ends_are_distinguished_from_a_cancel(details, status):
    bench, raised = await stopped_by(details)
    assert isinstance(raised, asyncio.CancelledError)
    assert bench.attempts.rows[-1]["status"] is status


async def test_a_result_is_kept_before_the_call_ends():
    bench = Bench(answering(output="y" * 9000))
    result = await bench.run()
    assert bench.results.kept == [(bench.environment.info.workflow_id, result)]
    assert bench.attempts.rows[-1]["status"] is AttemptStatus.COMPLETED


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Unavailable("index is down", retry_after=2), "index is down"),
        (InvalidInput("a character"), "a character"),
        (RuntimeError("a defect"), "a defect"),
    ],
)
async def test_an_answer_that_cannot_be_stored_is_billed_and_not_asked_for_again(fault, why):
    bench = Bench(answering(output="y" * 9000), store_fault=fault)
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("answer_not_stored", True)
    assert why in failed.value.message
    assert (bench.attempts.rows[-1]["status"], bench.attempts.rows[-1]["usage"]) == (AttemptStatus.FAILED, USAGE)


async def test_an_answer_waits_for_its_store_as_long_as_the_attempt_has_time_and_beats():
    class Away(Results):
        async def keep(self, workflow_id: str, message: BaseModel) -> None:
            await asyncio.Event().wait()

    bench = Bench(answering(output="y" * 9000), start_to_close_timeout=timedelta(seconds=0.5), results=Away())
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("answer_not_stored", True)
    assert bench.beats
    assert bench.attempts.rows[-1]["usage"] == USAGE


class Giant(Exception):
    """An exception with a whole page in it, and others behind it."""


@pytest.mark.parametrize(
    "error",
    [
        Giant("x" * 5_000_000),
        ApplicationError("x" * 5_000_000, type="Giant"),
        AgentError("x" * 5_000_000, kind="Giant", retryable=True),
    ],
    ids=["foreign", "application", "agent"],
)
async def test_a_message_of_five_megabytes_is_cut_and_keeps_its_type(error):
    bench = Bench(failing(error))
    with pytest.raises(ApplicationError) as failed:
        await bench.run()
    assert (failed.value.type, failed.value.non_retryable) == ("Giant", False)
    assert failed.value.message.endswith("… (4998040 characters more)")
    assert len(failed.value.message) <= 2000
    assert bench.attempts.rows[-1]["error"].message == failed.value.message


async def test_causes_are_cut_and_counted_also_in_a_circle():
    first, second = Giant("first" * 10**6), Giant("second" * 10**6)
    first.__cause__, second.__cause__ = second, first
    with pytest.raises(ApplicationError) as failed:
        await Bench(failing(first)).run()
    lengths, error = [], failed.value
    while error is not None:
        lengths.append(len(error.message))
        error = error.__cause__
    assert len(lengths) == 5
    assert max(lengths) <= 2000


@pytest.mark.parametrize("wait", [float("nan"), -1.0, float("-inf")])
async def test_a_delay_that_is_none_is_left_out(wait):
    with pytest.raises(ApplicationError) as failed:
        await Bench(failing(AgentError("m", kind="busy", retryable=True, retry_after=wait))).run()
    assert failed.value.next_retry_delay == timedelta(seconds=2)  # the policy's own


async def test_a_bill_that_cannot_be_is_not_recorded():
    usage = Usage(prompt_tokens=2**63, completion_tokens=7, cost=float("nan"))
    bench = Bench(failing(AgentError("m", kind="busy", retryable=True, usage=usage)))
    with pytest.raises(ApplicationError):
        await bench.run()
    assert bench.attempts.rows[-1]["usage"] == Usage(completion_tokens=7)


async def test_an_answer_that_an_older_release_stored_is_given_whole():
    given: list[AgentTask] = []

    class Reader(Runtime):
        async def run(self, agent: Agent, task: AgentTask, **more: Any) -> AgentResult:
            given.append(task)
            return make_result()

    bench = Bench(answering(), runtime=Reader(answering()))
    bench.artifacts.bodies["job_1/plan.planner"] = {"output": "all of it", "data": {"hours": 3}}
    stored = StepOutput(step="plan", agent="planner", summary="s", output="all…", artifact="job_1/plan.planner")
    await bench.run([stored])
    assert [(one.output, one.data, one.artifact) for one in given[0].context] == [("all of it", {"hours": 3}, None)]


async def test_log_lines_of_a_call_carry_where_they_belong():
    bound: dict[str, Any] = {}

    async def behave(_: Progress) -> AgentResult:
        bound.update(get_contextvars())
        return make_result()

    await Bench(behave).run()
    assert bound == {"job_id": "job_1", "step": "write", "agent": "writer", "call": 1, "attempt": 2}
    assert get_contextvars() == {}


async def test_the_log_reports_each_call_from_start_to_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agents, "_QUICK_SECONDS", 0)

    async def slow(_: Progress) -> AgentResult:
        await asyncio.sleep(0.01)
        return make_result()

    with capture_logs() as lines:
        await Bench(slow).run()
    assert [line["event"] for line in lines] == ["agent_call_started", "agent_call_ended"]


async def test_the_log_reports_the_end_of_a_quick_call_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agents, "_QUICK_SECONDS", 60)
    with capture_logs() as lines:
        await Bench(answering()).run()
        with pytest.raises(ApplicationError):
            await Bench(failing(AgentError("m", kind="provider_timeout", retryable=True))).run()
    names = [(line["event"], line["log_level"]) for line in lines]
    assert names == [("agent_call_ended", "info"), ("agent_call_ended", "warning")]
    assert lines[0]["tokens"] == 30
    assert lines[1]["error"] == "provider_timeout"
