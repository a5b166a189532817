"""The only reader of Temporal's history events: protobuf in, facts out (A3)."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain import facts, names
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import UnknownWorkflow
from orchestrator.domain.jobs import JobError
from orchestrator.domain.notes import read_notes
from orchestrator.domain.questions import AnswerInput
from orchestrator.domain.signals import SignalInput, read_control
from orchestrator.domain.text import cut
from orchestrator.projection.call_facts import CALL_DECODERS
from orchestrator.projection.failures import error_of
from orchestrator.projection.payloads import Decoder, moment, plain, stored_parts, summary_of, value

# Not a fault of the workflow's code: a new event arrived during its task, or the server moved the task.
_REPEATED: Final = (
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
)
_Stamp = Mapping[str, Any]


def fact_of(event: HistoryEvent, run_id: str) -> facts.Fact:
    """The fact of one history event; `OtherEvent` if it does not change the job."""
    stamp: dict[str, Any] = {"event_id": event.event_id, "run_id": run_id, "time": moment(event.event_time)}
    decode = _DECODERS.get(event.event_type)
    fact = decode(event, stamp) if decode else None
    return fact or facts.OtherEvent(kind=EventType.Name(event.event_type), **stamp)


def job_input(payloads: Any) -> JobInput | None:
    """The input of a job, without the state of an earlier run. Large parts may be stored beside the job.

    None for a workflow that was started with another input, outside the API.
    """
    try:
        return JobInput.model_validate({**plain(payloads), "carried": None})
    except ValidationError:
        return None


def _started(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_started_event_attributes
    return facts.RunStarted(
        workflow_type=attributes.workflow_type.name,
        task_queue=attributes.task_queue.name,
        job=job_input(attributes.input.payloads),
        continued=bool(attributes.continued_execution_run_id),
        starts_at=stamp["time"] + backoff
        if (backoff := attributes.first_workflow_task_backoff.ToTimedelta())
        else None,
        stored=tuple(part for part in stored_parts(attributes.input.payloads) if part.at[:1] == ("input",)),
        **stamp,
    )


def _task_done(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.WorkflowTaskDone(**stamp)


def _task_broken(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    attributes = event.workflow_task_failed_event_attributes
    if attributes.base_run_id:
        return facts.RunReset(base_run_id=attributes.base_run_id, reason=cut(attributes.failure.message), **stamp)
    if attributes.cause in _REPEATED:
        return None
    cause = WorkflowTaskFailedCause.Name(attributes.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_").lower()
    if attributes.failure.application_failure_info.type == names.FAILURE_UNKNOWN_TYPE:
        cause = UnknownWorkflow.code
    return facts.WorkflowTaskBroken(
        cause=cause, message=cut(attributes.failure.message), worker=attributes.identity, **stamp
    )


def _timer_started(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    summary = summary_of(event)
    decode = next((decode for prefix, decode in _TIMERS.items() if summary.startswith(prefix)), None)
    return decode(event, stamp) if decode else None


def _approval_asked(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    step = summary_of(event).removeprefix(names.APPROVAL_TIMER_PREFIX)
    return facts.ApprovalAsked(step=step, timer_id=event.timer_started_event_attributes.timer_id, **stamp)


def _wait_began(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.timer_started_event_attributes
    until = stamp["time"] + attributes.start_to_fire_timeout.ToTimedelta()
    place = summary_of(event).removeprefix(names.WAIT_TIMER_PREFIX)
    return facts.WaitBegan(place=place, timer_id=attributes.timer_id, until=until, **stamp)


def _noted(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    """What workflow code decided; None if the event changes only another part of the memo."""
    fields = event.workflow_properties_modified_event_attributes.upserted_memo.fields
    notes = read_notes(value([fields[names.MEMO_NOTE]])) if names.MEMO_NOTE in fields else ()
    return facts.Noted(notes=notes, **stamp) if notes else None


def _update_accepted(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    """The answer of a person; None for an update of an author's own workflow."""
    update = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    if update.name != names.UPDATE_ANSWER:
        return None
    try:
        return facts.AnswerGiven(answer=AnswerInput.model_validate(plain(update.args.payloads)), **stamp)
    except ValidationError:
        return None


def _timer_fired(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.ApprovalEnded(timer_id=event.timer_fired_event_attributes.timer_id, expired=True, **stamp)


def _timer_cancelled(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.ApprovalEnded(timer_id=event.timer_canceled_event_attributes.timer_id, expired=False, **stamp)


def _signal(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_signaled_event_attributes
    payloads = attributes.input.payloads
    inputs = [SignalInput.of(payload.metadata, payload.data) for payload in payloads]
    return facts.SignalReceived(
        name=attributes.signal_name,
        control=read_control(attributes.signal_name, inputs),
        payload=plain(payloads),
        actor=_sender(attributes.header.fields),
        **stamp,
    )


def _sender(fields: Mapping[str, Any]) -> str:
    """Who sent a signal through the API; empty for a signal that came past it."""
    actor = value([fields[names.HEADER_ACTOR]]) if names.HEADER_ACTOR in fields else ""
    return cut(actor) if isinstance(actor, str) else ""


def _cancel_requested(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    reason = cut(event.workflow_execution_cancel_requested_event_attributes.cause)
    return facts.CancelRequested(reason=reason, **stamp)


def _run_completed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_completed_event_attributes
    stored = tuple(part.under("result") for part in stored_parts(attributes.result.payloads))
    result = plain(attributes.result.payloads)
    return facts.RunCompleted(result=result if result or stored else None, stored=stored, **stamp)


def _run_failed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.RunFailed(error=_job_error(event.workflow_execution_failed_event_attributes.failure), **stamp)


def _job_error(failure: Failure) -> JobError:
    """The error that the workflow raised, else the one of its failure, with the call that it did not catch."""
    details = plain(failure.application_failure_info.details.payloads)
    try:
        return JobError.model_validate(details)
    except ValidationError:
        pass
    call = CallId.parse(failure.activity_failure_info.activity_id)
    place = {"step": call.step, "agent": call.agent} if call else {}
    return error_of(failure).model_copy(update=place)


def _run_timed_out(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.RunTimedOut(**stamp)


def _run_cancelled(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.RunCancelled(**stamp)


def _run_terminated(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_terminated_event_attributes
    return facts.RunTerminated(reason=cut(attributes.reason), identity=attributes.identity, **stamp)


def _run_continued(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_continued_as_new_event_attributes
    return facts.RunContinued(new_run_id=attributes.new_execution_run_id, **stamp)


# Events of one kind that several folds read: each decoder knows its own by their summary.
_TIMERS: Final[Mapping[str, Decoder]] = {
    names.APPROVAL_TIMER_PREFIX: _approval_asked,
    names.WAIT_TIMER_PREFIX: _wait_began,
}

_DECODERS: Final[Mapping[int, Decoder]] = {
    **CALL_DECODERS,
    EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: _noted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: _update_accepted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _started,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: _run_completed,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: _run_failed,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: _run_timed_out,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: _run_cancelled,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: _run_terminated,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: _run_continued,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _cancel_requested,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _signal,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: _task_done,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED: _task_broken,
    EventType.EVENT_TYPE_TIMER_STARTED: _timer_started,
    EventType.EVENT_TYPE_TIMER_FIRED: _timer_fired,
    EventType.EVENT_TYPE_TIMER_CANCELED: _timer_cancelled,
}
