"""The activity behind every agent: its type is the agent's id (A2); the work itself lies in the runtime."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from activities import budgets, tries
from activities.deltas import CallText
from activities.errors import application_error, job_error
from orchestrator.domain import names
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError, NotFound
from orchestrator.domain.jobs import AttemptStatus, JobError
from orchestrator.domain.ports import AgentRuntime, ArtifactStore, AttemptLog, DeltaBus, ResultKeeper
from orchestrator.domain.tally import SUSPECT_LIMIT, Tally
from orchestrator.domain.text import error_message
from orchestrator.domain.usage import Usage

HEARTBEAT_SECONDS: Final = 1.0
NOT_STORED: Final = "answer_not_stored"

# The attempt ends itself a little before Temporal would, so that the error is ours.
_TIME_SHARE: Final = 0.95
_NO_LIMIT: Final = timedelta(hours=1)
_BLOCKED_HELP: Final = "Calls that ended because the code of an agent blocked."


@dataclass(slots=True)
class _Call:
    """One attempt while it runs: how much has arrived, and what it has cost so far as is known."""

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
        """Which attempt of the agent's own it is; Temporal also counts tries in which none began."""
        return self.tally.attempts + 1

    def received(self, chars: int) -> None:
        self.chars = chars

    def beat(self, tally: Tally | None = None) -> None:
        """Give a sign of life, and hand on what became of the call's tries so far."""
        if not self.local:
            activity.heartbeat({"chars": self.chars, "tally": (tally or self.tally).model_dump()})


class AgentActivities:
    """Runs agent calls: attempt log, heartbeats, cancellation, large results, the error mapping. No thinking."""

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
        worker: str = "",
        last_error: tries.LastError = tries.last_error,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._catalogue = catalogue
        self._runtime = runtime
        self._attempts = attempts
        self._artifacts = artifacts
        self._results = results
        self._bus = bus
        self._clock = clock
        self._worker = worker
        self._last_error = last_error
        self._heartbeat_seconds = heartbeat_seconds
        self._suspect_runs = False

    @activity.defn(dynamic=True)
    async def run_agent(self, args: Sequence[RawValue]) -> AgentResult:
        """One attempt of one agent call; takes an `AgentTask`.

        Raises `ApplicationError` of type `unknown_agent`, `worker_suspect`, `worker_lost`, `worker_stopped`,
        `worker_shutdown` or `tokens_held`, or of the kind that the runtime's `AgentError` names: final once the agent's
        own attempts are used up.
        """
        info = activity.info()
        task: AgentTask = activity.payload_converter().from_payload(args[0].payload, AgentTask)
        began = asyncio.get_running_loop().time()
        call = _Call(
            task=task,
            agent=info.activity_type,
            run_id=info.workflow_run_id or "",
            tally=await tries.tally_of(info, task, self._last_error),
            began=began,
            local=info.is_local,
        )
        with structlog.contextvars.bound_contextvars(
            job_id=task.job_id, step=task.step.id, agent=call.agent, call=task.call, attempt=call.attempt
        ):
            agent = self._agent(call)
            tries.refuse_poison(call.agent, call.tally)
            with self._apart(call):
                return await self._attempt(agent, call)

    @contextmanager
    def _apart(self, call: _Call) -> Iterator[None]:
        """Run a call over which workers died apart from other such calls. Raises `ApplicationError` of type
        `worker_suspect`: it is not its turn."""
        if call.local or call.tally.lost < SUSPECT_LIMIT:
            yield
            return
        if self._suspect_runs:
            call.beat(call.tally.after("waited"))
            raise tries.suspected(call.agent, call.tally)
        self._suspect_runs = True
        try:
            yield
        finally:
            self._suspect_runs = False

    async def _attempt(self, agent: Agent, call: _Call) -> AgentResult:
        if call.tally.tries:
            call.beat()  # At once: what is known by now must outlive this worker.
        try:
            async with _heartbeats(call, 0 if call.local else self._heartbeat_seconds):
                await self._begin(agent, call)
                structlog.get_logger().info("agent_call_started")
                result = await self._run(agent, call)
        except asyncio.CancelledError:
            await self._cancelled(call)
            raise
        except budgets.TokensHeld as held:
            waiting = tries.tokens_held(str(held), call.tally, self._clock())
            call.beat(tries.tally_in(waiting))
            raise waiting from None
        except Exception as error:  # noqa: BLE001 - the edge of an author's code: bounded before it is sent or logged
            known = application_error(error)
            failure = self._failed(call, known)
            await self._ended(call, AttemptStatus.FAILED, known)
            raise failure from failure.__cause__
        await self._ended(call, AttemptStatus.COMPLETED)
        return result

    async def _begin(self, agent: Agent, call: _Call) -> None:
        """Write that the attempt begins, with the tokens that it may use.

        Raises `AgentError` without them, or `TokensHeld`: for half of the time that one attempt has.
        """
        patience = timedelta(seconds=call.task.step.timeouts.start_to_close * _TIME_SHARE / 2)
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
        structlog.get_logger().warning("agent_unknown", worker=self._worker)
        call.beat(call.tally.after("waited"))
        raise tries.unknown_agent(call.agent, self._worker, call.tally, local=call.local)

    @staticmethod
    def _failed(call: _Call, error: ApplicationError) -> ApplicationError:
        failure = tries.bounded(error, call.tally, call.task.step.retry)
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
        result = result.model_copy(update={"attempt": call.attempt})
        await self._keep(call, result)
        return result

    async def _keep(self, call: _Call, result: AgentResult) -> None:
        """Store the large parts of an answer while the call still beats, as long as the attempt has time.

        The answer is paid for: what goes wrong from here on is no reason to ask again.
        """
        info = activity.info()
        limit = (info.start_to_close_timeout or _NO_LIMIT).total_seconds() * _TIME_SHARE
        try:
            async with asyncio.timeout_at(call.began + limit):
                await self._results.keep(info.workflow_id or call.task.job_id, result)
        except Exception as fault:
            why = "the store did not answer in time" if isinstance(fault, TimeoutError) else error_message(fault)
            raise AgentError(
                f"The agent has answered, but the answer could not be stored: {why}", kind=NOT_STORED, retryable=False
            ) from fault

    async def _with_artifacts(self, task: AgentTask) -> AgentTask:
        """The task with the whole of every answer that a worker of an older release stored as an artifact."""
        context = [
            given.model_copy(update=await self._answer(given.artifact)) if given.artifact else given
            for given in task.context
        ]
        return task.model_copy(update={"context": context})

    async def _answer(self, artifact: str) -> dict[str, Any]:
        body = await self._artifacts.get(artifact)
        return {"output": body["output"], "data": body["data"], "artifact": None}

    async def _cancelled(self, call: _Call) -> None:
        """Record why the attempt was stopped. A stopping worker is not a user's cancel: it asks for another attempt."""
        details = activity.cancellation_details()
        if details is None or details.cancel_requested:
            await self._ended(call, AttemptStatus.CANCELLED)
        elif details.worker_shutdown:
            stopped = tries.stopped(call.tally)
            call.beat(tries.tally_in(stopped))
            await self._ended(call, AttemptStatus.UNKNOWN, stopped)
            raise stopped from None
        else:
            if details.paused:  # An operator's, of this call alone: the agent did not fail.
                call.beat(call.tally.after("held"))
            await self._ended(call, AttemptStatus.TIMED_OUT if details.timed_out else AttemptStatus.UNKNOWN)

    async def _ended(self, call: _Call, status: AttemptStatus, error: BaseException | None = None) -> None:
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
        log = structlog.get_logger()
        (log.info if failure is None else log.warning)("agent_call_ended", **facts)


@asynccontextmanager
async def _heartbeats(call: _Call, every: float) -> AsyncIterator[None]:
    """Beat every `every` seconds with the characters received so far; not at all when it is 0 (local activities)."""
    if not every:
        yield
        return

    async def beat() -> None:
        # The first beat comes after a pause: a call that is done by then costs the server none.
        while True:
            await asyncio.sleep(every)
            call.beat()

    beating = asyncio.create_task(beat(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
