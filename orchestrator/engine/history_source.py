"""Reads the current run of a job and pages of its events from Temporal."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, PendingActivityState, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client

from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.engine.connect import rpc_errors

_LONG_POLL: Final = timedelta(seconds=30)
_READ: Final = timedelta(seconds=5)
_PAGE_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The current run of a job. `length` counts its persisted events. `running` is False once it is closed."""

    run_id: str
    length: int
    running: bool
    task_queue: str
    description: DescribeWorkflowExecutionResponse

    @property
    def waits_for_worker(self) -> bool:
        """Whether a call waits for a worker or for its retry, which history does not show."""
        scheduled = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        return any(call.state == scheduled for call in self.description.pending_activities)

    @property
    def position(self) -> str:
        """A value that changes with every new event in the job's history."""
        return f"{self.run_id}:{self.length}"


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of one run. `token` requests the next page; it is empty if there can be none."""

    events: list[HistoryEvent]
    token: bytes


class HistorySource(Protocol):
    """Reads histories. Every method raises `NotFound` for an unknown job or run, and `Unavailable`."""

    async def current_run(self, job_id: str) -> CurrentRun:
        """The current run of a job."""
        ...

    async def page(self, job_id: str, run_id: str, token: bytes, *, wait: bool) -> Page:
        """Events of a run from its first, or from `token`. With `wait`, a long poll waits for new events. "" is the
        current run.

        After the persisted events of an open run, the server shows its workflow task with provisional numbers.
        """
        ...

    async def closing(self, job_id: str, run_id: str, token: bytes) -> Page:
        """Wait for the last event of a run: no event after one long poll of an open run. "" is the current run."""
        ...

    async def newest(self, job_id: str, run_id: str) -> HistoryEvent:
        """The last persisted event of a run."""
        ...


class TemporalHistories:
    """The `HistorySource` of a Temporal client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def current_run(self, job_id: str) -> CurrentRun:
        """See `HistorySource`."""
        request = DescribeWorkflowExecutionRequest(
            namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=job_id)
        )
        # Not the client's own method, which decodes the memo and the attributes.
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            description = await self._client.workflow_service.describe_workflow_execution(
                request, retry=True, timeout=_READ
            )
        info = description.workflow_execution_info
        return CurrentRun(
            run_id=info.execution.run_id,
            length=info.history_length,
            running=info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
            task_queue=info.task_queue,
            description=description,
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
            # A server that was killed between two writes skips the incomplete events: a page may be empty.
            if not response.next_page_token:
                raise Unavailable("Temporal does not return the job's history at the moment", job_id=job_id)
            request.next_page_token = response.next_page_token

    async def _fetch(self, job_id: str, run_id: str, token: bytes, *, wait: bool, closing: bool) -> Page:
        event_filter = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
        if closing:
            event_filter = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=job_id, run_id=run_id),
            maximum_page_size=_PAGE_SIZE,
            next_page_token=token,
            wait_new_event=wait,
            history_event_filter_type=event_filter,
        )
        try:
            with rpc_errors(f"job: {job_id}", job_id=job_id):
                response = await self._client.workflow_service.get_workflow_execution_history(
                    request, retry=True, timeout=_LONG_POLL if wait else _READ
                )
        except InvalidInput as error:  # A restarted server may refuse our page token.
            raise Unavailable(error.message, job_id=job_id) from error
        return Page(list(response.history.events), response.next_page_token)
