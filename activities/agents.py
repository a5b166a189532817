"""The activity behind every agent: its type is the agent's id (A2); the work itself lies in the runtime."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.deltas import CallText
from activities.errors import application_error, job_error
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError, NotFound, OrchestratorError, Unavailable
from orchestrator.domain.jobs import AttemptStatus, JobError
from orchestrator.domain.names import activity_id
from orchestrator.domain.ports import AgentRuntime, ArtifactStore, AttemptLog, DeltaBus
from orchestrator.domain.usage import Usage

HEARTBEAT_SECONDS: Final = 1.0
PREVIEW_CHARACTERS: Final = 2000
# Typed fields up to this size stay with a result whose body is stored beside the job.
SMALL_DATA_BYTES: Final = 2000
# Seconds between tries to store a large result while the index does not answer.
STORE_PAUSES: Final = (0.5, 1, 2, 4, 8, 15, 30)

_STORED_NOTE: Final = "\n\n[The complete answer is stored as an artifact of this job.]"


@dataclass(slots=True)
class _Call:
    """One attempt while it runs: how much has arrived, and what it has cost so far as is known."""

    task: AgentTask
    agent: str
    attempt: int
    chars: int = 0
    usage: Usage | None = None
    model: str | None = None

    def received(self, chars: int) -> None:
        self.chars = chars


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
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        store_pauses: Sequence[float] = STORE_PAUSES,
    ) -> None:
        self._catalogue = catalogue
        self._runtime = runtime
        self._attempts = attempts
        self._artifacts = artifacts
        self._bus = bus
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._store_pauses = store_pauses

    @activity.defn(dynamic=True)
    async def run_agent(self, args: Sequence[RawValue]) -> AgentResult:
        """One attempt of one agent call; takes an `AgentTask`.

        Raises `ApplicationError` of type `unknown_agent`, or of the kind that the runtime's `AgentError` names.
        """
        info = activity.info()
        task: AgentTask = activity.payload_converter().from_payload(args[0].payload, AgentTask)
        call = _Call(task=task, agent=info.activity_type, attempt=info.attempt)
        with structlog.contextvars.bound_contextvars(
            job_id=task.job_id, step=task.step.id, agent=call.agent, call=task.call, attempt=call.attempt
        ):
            agent = self._agent(call.agent)
            await self._attempts.started(task, attempt=call.attempt, at=self._clock())
            structlog.get_logger().info("agent_call_started")
            try:
                async with _heartbeats(call, 0 if info.is_local else self._heartbeat_seconds):
                    result = await self._run(agent, call)
            except asyncio.CancelledError:
                await self._cancelled(call)
                raise
            except Exception as error:
                await self._ended(call, AttemptStatus.FAILED, error)
                if isinstance(error, OrchestratorError):
                    raise application_error(error) from None
                raise
            await self._ended(call, AttemptStatus.COMPLETED)
            return result

    def _agent(self, agent_id: str) -> Agent:
        try:
            return self._catalogue.agent(agent_id)
        except NotFound as error:
            raise ApplicationError(error.message, type="unknown_agent", non_retryable=True) from None

    async def _run(self, agent: Agent, call: _Call) -> AgentResult:
        call.task = await self._told_in_full(call.task)
        sink = CallText(self._bus, call.task, call.agent, call.attempt)
        if call.attempt > 1 and agent.function is None:
            sink.reset()
        try:
            result = await self._runtime.run(agent, call.task, attempt=call.attempt, progress=call.received, sink=sink)
        except AgentError as error:
            call.usage = error.usage
            raise
        call.usage, call.model = result.usage, result.model
        return await self._carried(call, result)

    async def _told_in_full(self, task: AgentTask) -> AgentTask:
        """The task with the whole of every earlier answer that was too large to carry."""
        context = [
            given.model_copy(update=await self._answer(given.artifact)) if given.artifact else given
            for given in task.context
        ]
        return task.model_copy(update={"context": context})

    async def _answer(self, artifact: str) -> dict[str, Any]:
        body = await self._artifacts.get(artifact)
        return {"output": body["output"], "data": body["data"], "artifact": None}

    async def _carried(self, call: _Call, result: AgentResult) -> AgentResult:
        """The result itself, or a preview that names the stored body when it is too large to carry."""
        task = call.task
        if len(result.model_dump_json().encode()) <= task.inline_limit:
            return result
        name = activity_id(task.step.id, call.agent, task.call)
        artifact = await self._stored(task.job_id, name, result.model_dump(mode="json"))
        small = len(json.dumps(result.data).encode()) <= SMALL_DATA_BYTES
        return result.model_copy(
            update={
                "artifact": artifact,
                "summary": result.summary[:PREVIEW_CHARACTERS],
                "output": result.output[: PREVIEW_CHARACTERS - len(_STORED_NOTE)] + _STORED_NOTE,
                "deliverables": [],
                "data": result.data if small else {},
            }
        )

    async def _stored(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        """Store a body, patiently: the answer is paid for, and a new attempt would pay again."""
        for pause in self._store_pauses:
            try:
                return await self._artifacts.put(job_id, name, body)
            except Unavailable as fault:
                structlog.get_logger().warning("artifact_not_stored", error=fault.message, seconds=pause)
                await asyncio.sleep(pause)
        return await self._artifacts.put(job_id, name, body)

    async def _cancelled(self, call: _Call) -> None:
        """Record why the attempt was stopped. A stopping worker is not a user's cancel: it asks for another attempt."""
        details = activity.cancellation_details()
        if details is None or details.cancel_requested:
            await self._ended(call, AttemptStatus.CANCELLED)
        elif details.worker_shutdown:
            stopped = ApplicationError(
                "The worker shut down during the call.",
                type="worker_shutdown",
                category=ApplicationErrorCategory.BENIGN,
            )
            await self._ended(call, AttemptStatus.UNKNOWN, stopped)
            raise stopped from None
        else:
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
            activity.heartbeat({"chars": call.chars})

    beating = asyncio.create_task(beat(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
