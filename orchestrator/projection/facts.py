"""The only reader of Temporal's history events: protobuf in, facts out (A3)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from pydantic_core import from_json
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, PendingActivityState, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from orchestrator.domain import facts, names
from orchestrator.domain.commands import Adopted, JobInput
from orchestrator.domain.errors import UnknownWorkflow
from orchestrator.domain.jobs import JobError
from orchestrator.domain.signals import SignalInput, read_control
from orchestrator.domain.tally import Tally
from orchestrator.domain.text import cut
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import METADATA, Stored, references_of
from orchestrator.projection.failures import error_of

_LOCAL_ACTIVITY: Final = "core_local_activity"
_STARTED_STATES: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
)
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


def pending_call(info: PendingActivityInfo) -> facts.PendingCall | None:
    """An open agent call, or None for an activity that is not an agent's."""
    split = names.split_activity_id(info.activity_id)
    if split is None:
        return None
    tally = Tally.of(_last(info.heartbeat_details.payloads)) or Tally()
    started = info.state in _STARTED_STATES
    times = [_optional(info, field) for field in ("last_started_time", "last_heartbeat_time")]
    return facts.PendingCall(
        step=split[0],
        agent=split[1],
        call=split[2],
        started=started,
        attempt=max(1, tally.number(info.attempt)),
        last_started_at=times[0],
        heard_at=max((time for time in times if time), default=None) if started else None,
        next_attempt_at=_optional(info, "next_attempt_schedule_time") or _optional(info, "scheduled_time"),
        last_error=error_of(info.last_failure) if info.HasField("last_failure") else None,
        cancel_requested=info.state == PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
        paused=info.paused,
    )


def moment(stamp: Timestamp) -> datetime:
    """A protobuf timestamp as an aware datetime."""
    return stamp.ToDatetime(tzinfo=UTC)


def _optional(info: PendingActivityInfo, field: str) -> datetime | None:
    stamp: Timestamp = getattr(info, field)
    return moment(stamp) if info.HasField(field) and stamp.seconds > 0 else None  # type: ignore[arg-type]


def _value(payloads: Any) -> Any:
    """The first payload as plain data: None for no payload and for null, bytes if it is not JSON."""
    first: Payload | None = next(iter(payloads), None)
    encoding = first.metadata.get("encoding", b"") if first else b"binary/null"
    if first is None or encoding == b"binary/null":
        return None
    return _json(first.data) if encoding.startswith(b"json/") else first.data


def _json(data: bytes) -> Any:
    """The bytes as JSON; the bytes themselves if they are not JSON, whatever their encoding says.

    The worker uses the same parser. It refuses a lone surrogate, which a response of the API cannot contain.
    """
    try:
        return from_json(data)
    except ValueError:
        return data


def _last(payloads: Any) -> Any:
    """The last payload as plain data."""
    return _value(list(payloads)[-1:])


def plain(payloads: Any) -> dict[str, Any]:
    """The first payload as plain data; empty if there is none, or if it is not a JSON object."""
    value = _value(payloads)
    return value if isinstance(value, dict) else {}


def _stored(payloads: Any) -> tuple[Stored, ...]:
    """References to the parts of the first payload that are stored beside the job."""
    first: Payload | None = next(iter(payloads), None)
    if first is None or METADATA not in first.metadata:
        return ()
    return references_of(first.metadata[METADATA])


def _answer(result: Mapping[str, Any]) -> dict[str, Any]:
    """Usage, model and summary of a call's result. The result of an author's activity can be anything."""
    model, summary = result.get("model"), result.get("summary")
    try:
        usage = Usage.model_validate(result.get("usage") or {})
    except ValidationError:
        usage = Usage()
    return {"usage": usage, "model": model if isinstance(model, str) else None, "summary": str(summary or "")}


def _attempt(number: Any) -> int | None:
    """The attempt in a result, if it is valid."""
    return number if isinstance(number, int) and number > 0 else None


def _tally(failure: Failure) -> Tally | None:
    """The tally of a failed call; after a timeout, the one in its last heartbeat."""
    if failure.HasField("application_failure_info"):
        return Tally.of(_last(failure.application_failure_info.details.payloads))
    return Tally.of(_last(failure.timeout_failure_info.last_heartbeat_details.payloads))


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
        stored=tuple(part for part in _stored(attributes.input.payloads) if part.at[:1] == ("input",)),
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


def _scheduled(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    attributes = event.activity_task_scheduled_event_attributes
    split = names.split_activity_id(attributes.activity_id)
    if split is None:
        return None
    return facts.AgentScheduled(step=split[0], agent=split[1], call=split[2], title=_summary(event), **stamp)


def _summary(event: HistoryEvent) -> str:
    summary = _json(event.user_metadata.summary.data)
    return summary if isinstance(summary, str) else ""


def _activity_started(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_started_event_attributes
    return facts.AgentStarted(
        scheduled_id=attributes.scheduled_event_id,
        attempt=attributes.attempt,
        last_error=error_of(attributes.last_failure) if attributes.HasField("last_failure") else None,
        **stamp,
    )


def _activity_completed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_completed_event_attributes
    result = plain(attributes.result.payloads)
    return facts.AgentCompleted(
        scheduled_id=attributes.scheduled_event_id, attempt=_attempt(result.get("attempt")), **_answer(result), **stamp
    )


def _activity_failed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_failed_event_attributes
    return facts.AgentFailed(
        scheduled_id=attributes.scheduled_event_id,
        error=error_of(attributes.failure),
        tally=_tally(attributes.failure),
        timed_out=False,
        **stamp,
    )


def _activity_timed_out(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_timed_out_event_attributes
    return facts.AgentFailed(
        scheduled_id=attributes.scheduled_event_id,
        error=error_of(attributes.failure),
        tally=_tally(attributes.failure),
        timed_out=True,
        **stamp,
    )


def _activity_cancelled(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_canceled_event_attributes
    return facts.AgentCancelled(scheduled_id=attributes.scheduled_event_id, **stamp)


def _marker(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    attributes = event.marker_recorded_event_attributes
    if attributes.marker_name != _LOCAL_ACTIVITY:
        return None
    call = plain(attributes.details["data"].payloads)
    if call.get("activity_type") == names.ACTIVITY_ADOPT_JOB:
        return _adopted(event, stamp)
    split = names.split_activity_id(str(call.get("activity_id", "")))
    if split is None:
        return None
    if call.get("activity_type") == names.ACTIVITY_REUSE_CALL:
        return facts.CallReused(step=split[0], agent=split[1], call=split[2], **stamp)
    result = plain(attributes.details["result"].payloads) if "result" in attributes.details else {}
    return facts.ShortCallRecorded(
        step=split[0],
        agent=split[1],
        call=split[2],
        attempt=int(call.get("attempt", 1)),
        started_at=_local_start(call, stamp["time"]),
        error=error_of(attributes.failure) if attributes.HasField("failure") else None,
        **_answer(result),
        **stamp,
    )


def _adopted(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    """The adopted job; None if the adoption was refused."""
    details = event.marker_recorded_event_attributes.details
    if "result" not in details:
        return None
    payloads = details["result"].payloads
    stored = tuple(part.within("job") for part in _stored(payloads) if part.at[:2] == ("job", "input"))
    return facts.JobAdopted(job=Adopted.model_validate(plain(payloads)).job, stored=stored, **stamp)


def _local_start(call: Mapping[str, Any], recorded: datetime) -> datetime:
    """When a local activity was first scheduled, by its marker; else when the marker was recorded."""
    original = call.get("original_schedule_time")
    if isinstance(original, Mapping) and "seconds" in original:
        seconds = int(original["seconds"]) + int(original.get("nanos", 0)) / 1e9
        return datetime.fromtimestamp(seconds, UTC)
    return recorded


def _timer_started(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    summary = _summary(event)
    if not summary.startswith(names.APPROVAL_TIMER_PREFIX):
        return None
    timer_id = event.timer_started_event_attributes.timer_id
    return facts.ApprovalAsked(step=summary.removeprefix(names.APPROVAL_TIMER_PREFIX), timer_id=timer_id, **stamp)


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
        **stamp,
    )


def _cancel_requested(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    reason = cut(event.workflow_execution_cancel_requested_event_attributes.cause)
    return facts.CancelRequested(reason=reason, **stamp)


def _run_completed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.workflow_execution_completed_event_attributes
    stored = tuple(part.under("result") for part in _stored(attributes.result.payloads))
    result = plain(attributes.result.payloads)
    return facts.RunCompleted(result=result if result or stored else None, stored=stored, **stamp)


def _run_failed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    return facts.RunFailed(error=_job_error(event.workflow_execution_failed_event_attributes.failure), **stamp)


def _job_error(failure: Failure) -> JobError:
    """The error that the workflow raised, else the one of its failure."""
    details = plain(failure.application_failure_info.details.payloads)
    try:
        return JobError.model_validate(details)
    except ValidationError:
        return error_of(failure)


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


_Decoder = Callable[[HistoryEvent, Mapping[str, Any]], facts.Fact | None]

_DECODERS: Final[Mapping[int, _Decoder]] = {
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
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _scheduled,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED: _activity_started,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _activity_completed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: _activity_failed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _activity_timed_out,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _activity_cancelled,
    EventType.EVENT_TYPE_MARKER_RECORDED: _marker,
    EventType.EVENT_TYPE_TIMER_STARTED: _timer_started,
    EventType.EVENT_TYPE_TIMER_FIRED: _timer_fired,
    EventType.EVENT_TYPE_TIMER_CANCELED: _timer_cancelled,
}
