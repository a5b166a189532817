"""The services' access to jobs in Temporal: start, signal, cancel, read, follow."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from orchestrator.domain import names
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import InvalidInput, NotFound, Unavailable
from orchestrator.domain.events import JobEvent, parse_cursor
from orchestrator.domain.facts import (
    CALLS,
    NOTHING_PENDING,
    Fact,
    OtherEvent,
    Pending,
    PendingCall,
    RunStarted,
    WorkflowTaskDone,
)
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.domain.text import headline, inert
from orchestrator.domain.turns import is_tool_path
from orchestrator.domain.webhooks import DeliveryInput
from orchestrator.engine.connect import rpc_errors
from orchestrator.engine.guarded_service import circuit_of
from orchestrator.engine.history import HistoryReader, JobHistory
from orchestrator.engine.history_source import CurrentRun, TemporalHistories
from orchestrator.engine.inspection import Poller, poller_states
from orchestrator.engine.namespace import namespace_id
from orchestrator.engine.plugin import codec_of
from orchestrator.engine.pollers import PollerCounts
from orchestrator.projection.answers import Answers, answers, asks
from orchestrator.projection.call_facts import pending_call
from orchestrator.projection.job import job_input, project
from orchestrator.projection.tool_calls import open_at_end
from workflows.starts import priority_of, search_attributes_of

_RPC_TIMEOUT = timedelta(seconds=5)
_AFTER_JOBS = 4  # Priority below that of jobs, which is Temporal's default, 3.


class TemporalGateway:
    """One per process and client. Raises `NotFound` and `Unavailable`, never Temporal's own errors.

    `prepare` sets up the namespace if no worker has done so yet. `check_namespace` gets the id and the name of the
    namespace before the first start, and raises `Misconfigured` for a namespace of another installation.
    """

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        prepare: Callable[[], Awaitable[None]],
        check_namespace: Callable[[str, str], Awaitable[None]] | None = None,
        job_timeout: timedelta | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._prepare = prepare
        self._check_namespace = check_namespace
        self._job_timeout = job_timeout
        self._codec = codec_of(client)
        self._source = TemporalHistories(client)
        self._histories = HistoryReader(self._source)
        self._poller_counts = PollerCounts(client, clock=clock)
        self._namespace_id: str | None = None

    @property
    def away(self) -> bool:
        """Whether Temporal did not answer the last probe. Then a call fails at once."""
        return circuit_of(self._client).away

    async def start(self, job: JobInput) -> str:
        """Start the job's workflow, and return the run id. If the id exists, return the run id of that workflow."""
        await self.namespace_id()
        try:
            return await self._start(job)
        except (InvalidInput, NotFound) as fault:
            if not _is_unprepared(fault):
                raise
        await self._prepare()
        try:
            return await self._start(job)
        except (InvalidInput, NotFound) as fault:
            if not _is_unprepared(fault):
                raise
            raise Unavailable("The Temporal namespace is not ready yet", retry_after=5.0) from fault

    async def _start(self, job: JobInput) -> str:
        delay = max(timedelta(), job.starts_at - datetime.now(UTC)) if job.starts_at else timedelta()
        with rpc_errors(f"job: {job.job_id}", job_id=job.job_id):
            try:
                handle = await self._client.start_workflow(
                    job.definition,
                    job,
                    id=job.job_id,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    # Temporal counts the delay as time of the job.
                    execution_timeout=self._job_timeout and self._job_timeout + delay,
                    start_delay=delay or None,
                    static_summary=headline(inert(job.name)),
                    priority=priority_of(job),
                    search_attributes=search_attributes_of(job),
                    request_eager_start=not delay,
                    rpc_timeout=_RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError as ran:  # It has ended, and the index does not know it yet.
                return ran.run_id or ""
        return handle.result_run_id or handle.first_execution_run_id or ""

    async def start_delivery(self, delivery: DeliveryInput, *, owner: str, summary: str) -> None:
        """Start the workflow of a delivery, unless it was started before. `summary` is for operators."""
        with rpc_errors(f"delivery: {delivery.delivery_id}", delivery_id=delivery.delivery_id):
            try:
                await self._client.start_workflow(
                    names.WORKFLOW_WEBHOOK_DELIVERY,
                    delivery,
                    id=delivery.delivery_id,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    static_summary=summary,
                    priority=Priority(priority_key=_AFTER_JOBS, fairness_key=names.fairness_key(owner)),
                    rpc_timeout=_RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return

    async def delivery_open(self, delivery_id: str) -> bool:
        """Whether the workflow of a delivery runs. Raises `NotFound`."""
        with rpc_errors(f"delivery: {delivery_id}", delivery_id=delivery_id):
            description = await self._client.get_workflow_handle(delivery_id).describe(rpc_timeout=_RPC_TIMEOUT)
        return description.status is WorkflowExecutionStatus.RUNNING

    async def namespace_id(self) -> str:
        """The unique id of the namespace.

        Raises `Misconfigured` if it does not exist, or is not the namespace of the job index.
        """
        if self._namespace_id is None:
            new_id = await namespace_id(self._client)
            if self._check_namespace is not None:
                await self._check_namespace(new_id, self._client.namespace)
            self._namespace_id = new_id
        return self._namespace_id

    async def signal(self, job_id: str, name: str, message: BaseModel) -> None:
        """Send a signal. It is durable once this returns, even without a worker."""
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            await self._client.get_workflow_handle(job_id).signal(name, message, rpc_timeout=_RPC_TIMEOUT)

    async def cancel(self, job_id: str, reason: str) -> None:
        """Request cancellation. The request is durable once this returns, even without a worker."""
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            await self._client.get_workflow_handle(job_id).cancel(reason=reason, rpc_timeout=_RPC_TIMEOUT)

    async def current_run(self, job_id: str) -> CurrentRun:
        """The current run of a job, without its history."""
        return await self._source.current_run(job_id)

    async def read(self, job_id: str, *, run: CurrentRun | None = None) -> tuple[list[Fact], Pending]:
        """All facts of a job and its pending work. Needs neither a worker nor the visibility store.

        A caller that has just read the job's current run passes it as `run`, to save a request.
        """
        async with self._histories.open(job_id) as history:
            current = await self._synced(history, run)
            facts, ended = list(history.log), history.ended
        return facts, _open_tools(current, facts) if ended else await self._pending(job_id, current, facts)

    async def job(self, job_id: str) -> tuple[Job, list[Fact], Pending]:
        """A job, its facts and its pending work. A repeated read applies only the facts that are new."""
        async with self._histories.open(job_id) as history:
            current = await self._synced(history)
            log, facts, ended = history.log, list(history.log), history.ended
            fold = history.job.current(log)
            pending = _open_tools(current, facts) if ended else await self._pending(job_id, current, facts)
            if history.log is log and len(log) == len(facts):
                return fold.job(pending), facts, pending
        return project(job_id, facts, pending), facts, pending  # Another reader applied events meanwhile.

    @staticmethod
    async def _synced(history: JobHistory, run: CurrentRun | None = None) -> CurrentRun:
        current = await history.sync(run)
        while not history.ended and current.run_id != history.run_id:
            current = await history.sync()
        return current

    async def _pending(self, job_id: str, current: CurrentRun, facts: Sequence[Fact]) -> Pending:
        pending = _pending(current.description, await self.pollers(current.task_queue or self._task_queue))
        return replace(pending, unattended=await self._unattended_queues(job_id, facts, pending))

    def is_job(self, start: RunStarted) -> bool:
        """Whether an execution with this start is a job, not one of the engine's own or a foreign workflow."""
        return start.workflow_type not in names.OWN_WORKFLOWS and start.task_queue == self._task_queue

    async def _unattended_queues(self, job_id: str, facts: Sequence[Fact], pending: Pending) -> tuple[str, ...]:
        """The task queues of single steps on which a call waits and no worker polls."""
        waiting_steps = {call.step for call in pending.calls if not call.started}
        job = job_input(job_id, facts) if waiting_steps else None
        if job is None:
            return ()
        queues = dict.fromkeys(
            step.task_queue for step in job.plan.all_steps() if step.id in waiting_steps and step.task_queue
        )
        return tuple([queue for queue in queues if await self.pollers(queue, activities=True) == 0])

    async def answers(self, job_id: str, *, with_inputs: bool = False) -> Answers:
        """The full results of the finished calls of a job and, with `with_inputs`, their inputs.

        Raises `NotFound`, also for a stored value that is missing, and `Unavailable`.
        """
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            history = await self._client.get_workflow_handle(job_id).fetch_history(rpc_timeout=_RPC_TIMEOUT)
        for event in history.events:
            await self._codec.put_back(event, with_inputs=with_inputs)
        return Answers(answers(history.events), asks(history.events) if with_inputs else {})

    async def events(self, job_id: str) -> list[JobEvent]:
        """Every event of a job so far, oldest first. Raises `NotFound`, `Unavailable`."""
        async with self._histories.open(job_id) as history:
            await self._synced(history)
            return list(history.events.current(history.log).events)

    async def follow(self, job_id: str, after: str | None = None) -> AsyncGenerator[list[JobEvent]]:
        """Yield the events of a job after a cursor, then each new one as it happens. Ends with the job.

        See `JobHistory.follow_events`. Raises `NotFound`.
        """
        async with (
            self._histories.open(job_id) as history,
            aclosing(history.follow_events(parse_cursor(after or ""))) as events,
        ):
            async for some in events:
                yield some

    async def wait_for_fact(self, job_id: str, matches: Callable[[Fact], bool]) -> bool:
        """Wait for a fact in the job's history. False if the job ended without it. Raises `NotFound`."""
        async with self._histories.open(job_id) as history:
            return await history.fact(matches)

    async def wait_for_end(self, job_id: str) -> list[Fact]:
        """Wait until the job has ended, and return all its facts. Raises `NotFound`."""
        async with self._histories.open(job_id) as history:
            await history.end()
            return list(history.log)

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator["JobWatch"]:
        """Open a watch, which wakes a waiting reader when the job may have changed."""
        with self._poller_counts.watched(self._task_queue):
            async with self._histories.open(job_id) as history:
                yield JobWatch(history, self._poller_counts, self._task_queue)

    async def pollers(self, queue: str, *, activities: bool = False) -> int | None:
        """The number of workers that poll a queue for workflow tasks, or for activities; cached for a second."""
        return await self._poller_counts.count(queue, activities=activities)

    async def poller_states(self, queue: str) -> list[Poller]:
        """The workers that poll a queue. Raises `Unavailable`."""
        return await poller_states(self._client, queue)

    async def has_workers(self) -> bool:
        """Whether a worker polls for jobs. Raises `Unavailable`."""
        return bool(await self.pollers(self._task_queue))

    def framework_queue(self, framework: str) -> str:
        """The task queue of one framework's agents."""
        return names.framework_queue(self._task_queue, framework)

    async def has_framework_workers(self, framework: str) -> bool:
        """Whether a worker polls for calls of that framework's agents. Raises `Unavailable`."""
        return bool(await self.pollers(self.framework_queue(framework), activities=True))

    async def ping(self) -> None:
        """Check that Temporal answers and the namespace is ours. Raises `Unavailable`, `Misconfigured`."""
        with rpc_errors("health"):
            healthy = await self._client.service_client.check_health(timeout=timedelta(seconds=2))
        if not healthy:
            raise Unavailable("Temporal is not serving")
        await self.namespace_id()


class JobWatch:
    """Waits for changes of a job."""

    def __init__(self, history: JobHistory, poller_counts: PollerCounts, queue: str) -> None:
        self._history = history
        self._poller_counts = poller_counts
        self._queue = queue
        self._flips = poller_counts.flips(queue)

    async def wait_for_change(self, job: Job, seconds: float) -> None:
        """Wait until the job may differ from `job`, at most for `seconds`.

        It may differ if the history has new events other than the start and end of calls, or if the first worker came
        or the last one left since the previous call. Raises `NotFound`, `Unavailable`.
        """
        tasks = {asyncio.create_task(self._wait_for_event(job)), asyncio.create_task(self._wait_for_workers())}
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _wait_for_event(self, job: Job) -> None:
        position = parse_cursor(job.last_event or "")
        # The end of a workflow task means that the job has started, or that a stuck one continues.
        starts = job.state is JobState.PENDING or (job.reason is not None and job.reason.code is ReasonCode.STUCK)
        routine = (*CALLS, OtherEvent) if starts else (*CALLS, OtherEvent, WorkflowTaskDone)
        while not self._history.ended:
            if any(not isinstance(fact, routine) for fact in self._history.since(position)):
                return
            await self._history.advance()

    async def _wait_for_workers(self) -> None:
        while self._flips == (flips := self._poller_counts.flips(self._queue)):
            await self._poller_counts.flipped(self._queue)
        self._flips = flips


def _is_unprepared(fault: InvalidInput | NotFound) -> bool:
    """Whether a start was refused because the namespace or our search attributes do not exist."""
    return isinstance(fault, NotFound) or "search attribute" in fault.message


def _open_tools(current: CurrentRun, facts: Sequence[Fact]) -> Pending:
    """The tool calls that an ended job left open. Temporal describes them as they were at its end."""
    if current.running or not open_at_end(facts):
        return NOTHING_PENDING
    return Pending(calls=tuple(call for call in _calls(current.description) if is_tool_path(call.path)))


def _calls(description: DescribeWorkflowExecutionResponse) -> list[PendingCall]:
    return [call for info in description.pending_activities if (call := pending_call(info)) is not None]


def _pending(description: DescribeWorkflowExecutionResponse, pollers: int | None) -> Pending:
    task = description.pending_workflow_task if description.HasField("pending_workflow_task") else None
    return Pending(
        calls=tuple(_calls(description)),
        task_open=task is not None,
        task_started=task is not None and task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED,
        pollers=pollers,
        at=datetime.now(UTC),
    )
