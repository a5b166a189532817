"""The activity of every agent: its type is the agent's id (A2). The runtime does the work."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from activities import budgets, tries
from activities.deltas import CallText
from activities.errors import application_error, job_error
from activities.heartbeats import HEARTBEAT_SECONDS, heartbeats
from orchestrator.domain import names
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError, NotFound
from orchestrator.domain.jobs import AttemptStatus, JobError
from orchestrator.domain.ports import AgentRuntime, ArtifactStore, AttemptLog, DeltaBus, ResultKeeper
from orchestrator.domain.steps import TIME_SHARE
from orchestrator.domain.tally import SUSPECT_LIMIT, Tally
from orchestrator.domain.text import error_message
from orchestrator.domain.turns import DETAIL_FALLBACK, ToolResult, ToolTask
from orchestrator.domain.usage import Usage

log = structlog.get_logger(__name__)

NOT_STORED: Final = "answer_not_stored"

_NO_LIMIT: Final = timedelta(hours=1)
# Errors that do not depend on the model.
_SAME_FOR_ALL_MODELS: Final = frozenset(
    {"invalid_input", "budget_exceeded", "agent_misconfigured", "conversation_lost", "secret_missing", NOT_STORED}
)
_QUICK_SECONDS: Final = 0.02  # A call that ends within this time logs its end alone.
_BLOCKED_HELP: Final = "Calls that ended because the code of an agent blocked."


class ToolCalls(Protocol):
    """Makes tool calls: `ToolActivities`, or what opens its runtime first."""

    async def run(self, task: ToolTask) -> ToolResult:
        """One attempt of one tool call."""


@dataclass(slots=True)
class _Call:
    """One running attempt: the characters received and the known usage."""

    task: AgentTask
    agent: str
    run_id: str
    tally: Tally
    began: float
    local: bool = False
    chars: int = 0
    usage: Usage | None = None
    model: str | None = None

    @property
    def attempt(self) -> int:
        """The number of the agent's attempt, over all turns. Temporal also counts tries in which no attempt began."""
        return self.tally.attempts + 1 + self.task.earlier

    def received(self, chars: int) -> None:
        self.chars = chars

    def beat(self, tally: Tally | None = None) -> None:
        """Send a heartbeat with the tally of the call's tries."""
        if not self.local:
            activity.heartbeat({"chars": self.chars, "tally": (tally or self.tally).model_dump()})


class AgentActivities:
    """Runs agent calls: attempt log, heartbeats, cancellation, large results, error mapping."""

    def __init__(
        self,
        catalogue: Catalogue,
        runtime: AgentRuntime,
        attempts: AttemptLog,
        artifacts: ArtifactStore,
        clock: Callable[[], datetime],
        *,
        bus: DeltaBus,
        results: ResultKeeper,
        tools: ToolCalls | None = None,
        worker: str = "",
        last_error: tries.LastError = tries.last_error,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._catalogue = catalogue
        self._runtime = runtime
        self._attempts = attempts
        self._artifacts = artifacts
        self._results = results
        self._tools = tools
        self._bus = bus
        self._clock = clock
        self._worker = worker
        self._last_error = last_error
        self._heartbeat_seconds = heartbeat_seconds
        self._suspect_is_running = False

    @activity.defn(dynamic=True)
    async def run_agent(self, args: Sequence[RawValue]) -> AgentResult | ToolResult:
        """One attempt of one agent call, which takes an `AgentTask`, or of one of its tool calls, with a `ToolTask`.

        Raises `ApplicationError` of type `unknown_agent`, `worker_suspect`, `worker_lost`, `worker_stopped`,
        `worker_shutdown` or `tokens_held`, or of the kind of the runtime's `AgentError`. The error is not
        retryable after the agent's last attempt.
        """
        info = activity.info()
        if "." in info.activity_type and self._tools is not None:  # The id of an agent has no dot.
            return await self._tools.run(activity.payload_converter().from_payload(args[0].payload, ToolTask))
        task: AgentTask = activity.payload_converter().from_payload(args[0].payload, AgentTask)
        began = asyncio.get_running_loop().time()
        call = _Call(
            task=task,
            agent=info.activity_type,
            run_id=info.workflow_run_id or "",
            tally=await tries.tally_of(info, task.tally, self._last_error),
            began=began,
            local=info.is_local,
        )
        with structlog.contextvars.bound_contextvars(
            job_id=task.job_id, step=task.step.id, agent=call.agent, call=task.call, attempt=call.attempt
        ):
            agent = self._agent(call)
            tries.refuse_after_lost_workers(call.agent, call.tally)
            tries.refuse_after_time(call.agent, call.tally, task.step.retry, _notes(agent, task, tries.TIMED_OUT))
            with self._one_suspect_at_a_time(call):
                return await self._attempt(agent, call)

    @contextmanager
    def _one_suspect_at_a_time(self, call: _Call) -> Iterator[None]:
        """At most one suspect call runs in this process. A call is suspect after several workers died during it.

        Raises `ApplicationError` of type `worker_suspect` if another one runs.
        """
        if call.local or call.tally.lost < SUSPECT_LIMIT:
            yield
            return
        if self._suspect_is_running:
            call.beat(call.tally.after("waited"))
            raise tries.suspected(call.agent, call.tally)
        self._suspect_is_running = True
        try:
            yield
        finally:
            self._suspect_is_running = False

    async def _attempt(self, agent: Agent, call: _Call) -> AgentResult:
        if call.tally.tries:
            call.beat()  # At once: the tally must outlive this worker.
        try:
            async with heartbeats(call.beat, 0 if call.local else self._heartbeat_seconds):
                await self._begin(agent, call)
                with _said_late("agent_call_started"):
                    result = await self._run(agent, call)
        except asyncio.CancelledError:
            await self._record_cancellation(call)
            raise
        except budgets.TokensHeld as error:
            retry_error = tries.tokens_held(str(error), call.tally, self._clock())
            call.beat(tries.tally_in(retry_error))
            raise retry_error from None
        except Exception as error:  # noqa: BLE001 - the edge of an author's code: bounded before it is sent or logged
            mapped = application_error(error)
            failure = self._bounded_error(agent, call, mapped)
            await self._record_end(call, AttemptStatus.FAILED, mapped)
            raise failure from failure.__cause__
        await self._record_end(call, AttemptStatus.CONTINUED if result.turn else AttemptStatus.COMPLETED)
        return result

    async def _begin(self, agent: Agent, call: _Call) -> None:
        """Record the start of the attempt, and claim its tokens.

        Without tokens, raises `TokensHeld` for up to half of an attempt's time, then `AgentError`.
        """
        patience = timedelta(seconds=call.task.step.timeouts.start_to_close * TIME_SHARE / 2)
        call.task = await budgets.begin(
            self._attempts,
            agent,
            call.task,
            attempt=call.attempt,
            run_id=call.run_id,
            clock=self._clock,
            waits=not call.local and call.tally.waited_for_tokens(self._clock()) < patience,
        )
        call.tally = call.tally.model_copy(update={"for_tokens_since": None})

    def _agent(self, call: _Call) -> Agent:
        try:
            return self._catalogue.agent(call.agent)
        except NotFound:
            pass
        log.warning("agent_unknown", worker=self._worker)
        call.beat(call.tally.after("waited"))
        hint = self._catalogue.agent_hint(call.agent)
        raise tries.unknown_agent(call.agent, self._worker, call.tally, local=call.local, hint=hint)

    @staticmethod
    def _bounded_error(agent: Agent, call: _Call, error: ApplicationError) -> ApplicationError:
        notes = _notes(agent, call.task, error.type or "")
        tally = call.tally.billed(call.usage.cost if call.usage else None)
        failure = tries.bounded(error, tally, call.task.step.retry, notes)
        call.beat(tries.tally_in(failure))
        return failure

    async def _run(self, agent: Agent, call: _Call) -> AgentResult:
        call.task = await self._with_artifacts(call.task)
        sink = CallText(self._bus, call.task, call.agent, call.attempt)
        if call.attempt > 1 and agent.function is None:
            sink.reset()
        try:
            result = await self._runtime.run(agent, call.task, attempt=call.attempt, progress=call.received, sink=sink)
        except AgentError as error:
            call.usage = error.usage.believable() if error.usage is not None else None
            if error.kind == names.AGENT_BLOCKED:
                activity.metric_meter().create_counter(names.METRIC_BLOCKED, _BLOCKED_HELP).add(1)
            raise
        call.usage, call.model = result.usage, result.model
        result = result.model_copy(update={"attempt": call.attempt, "failed_cost": call.tally.usd})
        await self._keep(call, result)
        return result

    async def _keep(self, call: _Call, result: AgentResult) -> None:
        """Store the large parts of an answer within the time of the attempt, while heartbeats continue.

        The answer is billed already: a failure here must not repeat the call.
        """
        info = activity.info()
        limit = (info.start_to_close_timeout or _NO_LIMIT).total_seconds() * TIME_SHARE
        try:
            async with asyncio.timeout_at(call.began + limit):
                await self._results.keep(info.workflow_id or call.task.job_id, result)
        except Exception as fault:
            reason = "the store did not answer in time" if isinstance(fault, TimeoutError) else error_message(fault)
            raise AgentError(
                f"The agent has answered, but the answer could not be stored: {reason}",
                kind=NOT_STORED,
                retryable=False,
            ) from fault

    async def _with_artifacts(self, task: AgentTask) -> AgentTask:
        """The task with the whole answers that a worker of an older release stored as artifacts."""
        context = [
            output.model_copy(update=await self._answer(output.artifact)) if output.artifact else output
            for output in task.context
        ]
        return task.model_copy(update={"context": context})

    async def _answer(self, artifact: str) -> dict[str, Any]:
        body = await self._artifacts.get(artifact)
        return {"output": body["output"], "data": body["data"], "artifact": None}

    async def _record_cancellation(self, call: _Call) -> None:
        """Record why the attempt was cancelled. A stopping worker is not a user's cancel: the call is retried."""
        details = activity.cancellation_details()
        if details is None or details.cancel_requested:
            await self._record_end(call, AttemptStatus.CANCELLED)
        elif details.worker_shutdown:
            shutdown_error = tries.stopped(call.tally)
            call.beat(tries.tally_in(shutdown_error))
            await self._record_end(call, AttemptStatus.UNKNOWN, shutdown_error)
            raise shutdown_error from None
        else:
            if details.paused:  # An operator paused this call: the agent did not fail.
                call.beat(call.tally.after("held"))
            await self._record_end(call, AttemptStatus.TIMED_OUT if details.timed_out else AttemptStatus.UNKNOWN)

    async def _record_end(self, call: _Call, status: AttemptStatus, error: BaseException | None = None) -> None:
        failure: JobError | None = None
        if error is not None:
            failure = job_error(error, step=call.task.step.id, agent=call.agent)
        await self._attempts.ended(
            call.task,
            attempt=call.attempt,
            at=self._clock(),
            status=status,
            usage=call.usage,
            model=call.model,
            error=failure,
            run_id=call.run_id,
        )
        facts: dict[str, Any] = {"status": status.value, "chars": call.chars, "model": call.model}
        if call.usage is not None:
            facts |= {"tokens": call.usage.total_tokens, "cost": call.usage.cost}
        if failure is not None:
            facts |= {"error": failure.type, "retryable": failure.retryable}
        (log.info if failure is None else log.warning)("agent_call_ended", **facts)


@contextmanager
def _said_late(event: str) -> Iterator[None]:
    """Log an event, unless what it begins is over sooner."""
    line = asyncio.get_running_loop().call_later(_QUICK_SECONDS, log.info, event)
    try:
        yield
    finally:
        line.cancel()


def _notes(agent: Agent, task: AgentTask, error: str) -> dict[str, str]:
    """Names the next model for a call whose attempts are used up, unless another model would fail alike."""
    if error in _SAME_FOR_ALL_MODELS or task.fallback >= len(agent.fallback_models):
        return {}
    return {DETAIL_FALLBACK: agent.fallback_models[task.fallback]}
