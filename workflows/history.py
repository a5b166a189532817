"""Warns of a long history, and ends its job before Temporal does: Temporal terminates a run without a word of why."""

from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from orchestrator.domain import names
from orchestrator.domain.jobs import JobError
from orchestrator.domain.notes import HISTORY_BYTES, HISTORY_EVENTS, HistoryGrown
from workflows.notes import note

# Half of what Temporal allows: enough room for a person to act.
NOTED_EVENTS: Final = HISTORY_EVENTS // 2
NOTED_BYTES: Final = HISTORY_BYTES // 2
# The rest is for calls that run already, and for the end of the job.
FULL_EVENTS: Final = HISTORY_EVENTS - 1200
FULL_BYTES: Final = HISTORY_BYTES - 2 * 1024 * 1024
# They end what has begun.
_ENDS: Final = frozenset({names.ACTIVITY_RECORD_OUTCOME, names.ACTIVITY_CLOSE_CHILD, names.ACTIVITY_AWAIT_JOB})


class HistoryWatch(Interceptor):
    """Notes a history that is half full, and refuses further calls of one that is full, as `history_full`."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class that wraps each execution."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor) -> None:
        super().__init__(next)
        self._noted = False

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        self._check(input.activity)
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        self._check(input.activity)
        return super().start_local_activity(input)

    def _check(self, activity: str) -> None:
        info = workflow.info()
        events, size = info.get_current_history_length(), info.get_current_history_size()
        if (events < NOTED_EVENTS and size < NOTED_BYTES) or info.workflow_type in names.OWN_WORKFLOWS:
            return
        if not workflow.patched(names.PATCH_HISTORY_WATCHED):  # Jobs of earlier releases go on to Temporal's limit.
            return
        grown = HistoryGrown(events=events, bytes=size)
        if not self._noted:
            self._noted = True
            note(grown)
            workflow.logger.warning("history_long", extra={"events": events, "bytes": size})
        if (events >= FULL_EVENTS or size >= FULL_BYTES) and activity not in _ENDS:
            message = f"The history of the job is full: {grown.text}. {grown.remedy}"
            error = JobError(type="history_full", message=message)
            raise ApplicationError(message, error, type=error.type, non_retryable=True)
