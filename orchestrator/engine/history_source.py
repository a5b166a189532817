"""What the reader of histories asks of Temporal: where a job stands, and pages of its events."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, PendingActivityState
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus

from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.engine.connect import rpc_errors

_LONG_POLL: Final = timedelta(seconds=30)
_READ: Final = timedelta(seconds=5)
_PAGE_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The current run of a job. `length` counts its persisted events; `running` is False once it is closed."""

    run_id: str
    length: int
    running: bool
    task_queue: str
    description: DescribeWorkflowExecutionResponse

    @property
    def waits_for_worker(self) -> bool:
        """Whether a call waits for a worker, or to be tried again: that is not in history."""
        scheduled = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        return any(call.state == scheduled for call in self.description.pending_activities)

    @property
    def position(self) -> str:
        """What changes with every event that the job's history gets."""
        return f"{self.run_id}:{self.length}"


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of one run. `token` asks for those that follow; it is empty where none can follow."""

    events: list[HistoryEvent]
    token: bytes


class HistorySource(Protocol):
    """Every method raises `NotFound` for an unknown job or run, and `Unavailable`."""

    async def current_run(self, job_id: str) -> CurrentRun:
        """The job's current run."""
        ...

    async def page(self, job_id: str, run_id: str, token: bytes, *, wait: bool) -> Page:
        """Events of a run from its first, or from `token`; with `wait` it blocks until there is one, or for a while.

        After the persisted events of an open run the server shows its workflow task under provisional numbers.
        """
        ...

    async def closing(self, job_id: str, run_id: str, token: bytes) -> Page:
        """The last event of a run, once it is closed; no event when the wait took too long. "" is the current run."""
        ...

    async def newest(self, job_id: str, run_id: str) -> HistoryEvent:
        """The last persisted event of a run."""
        ...


class TemporalHistories:
    """The `HistorySource` over a Temporal client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def current_run(self, job_id: str) -> CurrentRun:
        """See `HistorySource`."""
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            described = await self._client.get_workflow_handle(job_id).describe(rpc_timeout=_READ)
        return CurrentRun(
            run_id=described.run_id,
            length=described.history_length,
            running=described.status is WorkflowExecutionStatus.RUNNING,
            task_queue=described.task_queue,
            description=described.raw_description,
        )

    async def page(self, job_id: str, run_id: str, token: bytes, *, wait: bool) -> Page:
        """See `HistorySource`."""
        return await self._fetch(job_id, run_id, token, wait=wait, closing=False)

    async def closing(self, job_id: str, run_id: str, token: bytes) -> Page:
        """See `HistorySource`."""
        return await self._fetch(job_id, run_id, token, wait=True, closing=True)

    async def newest(self, job_id: str, run_id: str) -> HistoryEvent:
        """See `HistorySource`."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=job_id, run_id=run_id),
            maximum_page_size=1,
        )
        while True:
            with rpc_errors(f"job: {job_id}", job_id=job_id):
                response = await self._client.workflow_service.get_workflow_execution_history_reverse(
                    request, retry=True, timeout=_READ
                )
            if response.history.events:
                return response.history.events[0]
            # A server that was killed between two writes leaves events behind that it skips: a page may be empty.
            if not response.next_page_token:
                raise Unavailable("Temporal does not show the job's history at the moment", job_id=job_id)
            request.next_page_token = response.next_page_token

    async def _fetch(self, job_id: str, run_id: str, token: bytes, *, wait: bool, closing: bool) -> Page:
        events = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
        if closing:
            events = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=job_id, run_id=run_id),
            maximum_page_size=_PAGE_SIZE,
            next_page_token=token,
            wait_new_event=wait,
            history_event_filter_type=events,
        )
        try:
            with rpc_errors(f"job: {job_id}", job_id=job_id):
                response = await self._client.workflow_service.get_workflow_execution_history(
                    request, retry=True, timeout=_LONG_POLL if wait else _READ
                )
        except InvalidInput as refused:  # a token of ours, which a server that was restarted may not take
            raise Unavailable(refused.message, job_id=job_id) from refused
        return Page(list(response.history.events), response.next_page_token)
