"""The activity of one tool call: its type is `<agent>.<tool>`. The runtime does the work (decision 0035)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from temporalio import activity
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.exceptions import ApplicationError

from activities import tries
from activities.errors import application_error
from activities.heartbeats import HEARTBEAT_SECONDS, heartbeats
from orchestrator.domain import names
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import AgentError, NotFound, OrchestratorError
from orchestrator.domain.ports import ToolRuntime
from orchestrator.domain.steps import TIME_SHARE
from orchestrator.domain.tally import Tally
from orchestrator.domain.text import cut, name, whole_message
from orchestrator.domain.turns import (
    PREVIEW_CHARACTERS,
    TOOL_TIMEOUT,
    CountedAttempts,
    CountTask,
    ToolAttempts,
    ToolResult,
    ToolTask,
    is_tool_path,
    result_digest,
)
from orchestrator.projection.call_facts import pending_call

# Faults of code: another attempt fails in the same way.
_FAULTS_OF_CODE: Final = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError)


@dataclass(slots=True)
class _Call:
    task: ToolTask
    agent: str
    tally: Tally
    run_id: str
    timeout: float

    @property
    def attempt(self) -> int:
        return self.tally.attempts + 1

    def beat(self, tally: Tally | None = None) -> None:
        activity.heartbeat({"tally": (tally or self.tally).model_dump()})


@activity.defn(name=names.ACTIVITY_COUNT_ATTEMPTS)
async def count_attempts(task: CountTask) -> CountedAttempts:
    """Count the attempts of the job's open tool calls. A local activity: its marker keeps what Temporal forgets of a
    call that is cancelled between two attempts.
    """
    return CountedAttempts(calls=[each for info in await tries.pending_activities() if (each := _attempts_of(info))])


def _attempts_of(info: PendingActivityInfo) -> ToolAttempts | None:
    call = pending_call(info)
    if call is None or not is_tool_path(call.path) or (info.attempt, call.attempt) == (1, 1):
        return None
    return ToolAttempts(
        id=info.activity_id,
        attempts=call.begun,
        waited=info.attempt - call.attempt,
        error=None if call.started else call.last_error,
    )


class ToolActivities:
    """Runs tool calls: attempts, heartbeats, results that outlive their worker, error mapping."""

    def __init__(
        self,
        catalogue: Catalogue,
        runtime: ToolRuntime,
        *,
        worker: str = "",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        last_error: tries.LastError = tries.last_error,
    ) -> None:
        self._catalogue = catalogue
        self._runtime = runtime
        self._worker = worker
        self._heartbeat_seconds = heartbeat_seconds
        self._last_error = last_error

    async def run(self, task: ToolTask) -> ToolResult:
        """One attempt of one tool call. A repeated attempt first looks for the result that an earlier one stored.

        Raises `ApplicationError`; that of type `tool_failed` has a text for the model.
        """
        info = activity.info()
        tally = await tries.tally_of(info, task.tally, self._last_error)
        limit = info.start_to_close_timeout.total_seconds() if info.start_to_close_timeout else 60.0
        call = _Call(task, task.agent, tally, info.workflow_run_id or "", limit * TIME_SHARE)
        with structlog.contextvars.bound_contextvars(
            job_id=task.job_id, agent=task.agent, tool=task.tool, tool_call=task.id, attempt=call.attempt
        ):
            agent = self._agent(call)
            tries.refuse_after_lost_workers(info.activity_type, call.tally)
            if not task.at_most_once:
                tries.refuse_after_time(self._runtime.label(agent, task.tool), call.tally, task.retry)
            if info.attempt > 1 and (stored := await self._runtime.stored(task, call.run_id)) is not None:
                structlog.get_logger().info("tool_result_reused")
                return _result(task, stored, call.attempt)
            return await self._attempt(agent, call)

    def _agent(self, call: _Call) -> Agent:
        try:
            agent = self._catalogue.agent(call.agent)
        except NotFound:
            agent = None
        if agent is not None and self._runtime.knows(agent, call.task.tool):
            return agent
        structlog.get_logger().warning("tool_unknown", worker=self._worker)
        call.beat(call.tally.after("waited"))
        raise tries.unknown_agent(f"{call.agent} with tool {call.task.tool}", self._worker, call.tally, local=False)

    async def _attempt(self, agent: Agent, call: _Call) -> ToolResult:
        log = structlog.get_logger()
        if call.tally.tries:
            call.beat()  # At once: the tally must outlive this worker.
        log.info("tool_call_started")
        try:
            async with (
                heartbeats(call.beat, self._heartbeat_seconds),
                _limit(call, self._runtime.label(agent, call.task.tool)),
            ):
                text = await self._runtime.call(
                    agent, call.task, attempt=call.attempt, seconds=call.timeout, run_id=call.run_id
                )
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is None or details.cancel_requested or not details.worker_shutdown:
                raise
            stopped = tries.stopped(call.tally)
            call.beat(tries.tally_in(stopped))
            raise stopped from None
        except Exception as error:  # noqa: BLE001 - the edge of an author's code: bounded before it is sent or logged
            failure = self._failure(call, error)
            log.warning("tool_call_failed", error=failure.type, retryable=not failure.non_retryable)
            raise failure from None
        log.info("tool_call_ended", bytes=len(text))
        return _result(call.task, text, call.attempt)

    def _failure(self, call: _Call, error: Exception) -> ApplicationError:
        """The error of an attempt, without secrets."""
        mapped = application_error(error)
        final = mapped.non_retryable or isinstance(error, _FAULTS_OF_CODE)
        # Masked before they are cut: the beginning of a secret is one, too.
        message = error.message if isinstance(error, OrchestratorError | ApplicationError) else whole_message(error)
        kind = error.kind if isinstance(error, AgentError) else mapped.type or ""
        masked = ApplicationError(
            cut(self._runtime.masked(message)),
            type=name(self._runtime.masked(kind)) or None,
            non_retryable=final,
            next_retry_delay=mapped.next_retry_delay,
        )
        failure = tries.bounded(masked, call.tally, call.task.retry)
        call.beat(tries.tally_in(failure))
        return failure


@asynccontextmanager
async def _limit(call: _Call, label: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(call.timeout):
            yield
    except TimeoutError:
        message = f"{label} timed out after {call.timeout:.0f} s"
        raise ApplicationError(message, type=TOOL_TIMEOUT) from None


def _result(task: ToolTask, text: str, attempt: int) -> ToolResult:
    return ToolResult(
        tool=task.tool,
        preview=cut(text, PREVIEW_CHARACTERS) if len(text) > PREVIEW_CHARACTERS else cut(text),
        bytes=len(text.encode(errors="replace")),
        digest=result_digest(text),
        attempt=attempt,
    )
