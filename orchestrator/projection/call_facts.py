"""The facts of agent calls: from the events of activities, and from the markers of local ones."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ValidationError
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from orchestrator.domain import facts, names
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import Adopted
from orchestrator.domain.tally import Tally
from orchestrator.domain.turns import DETAIL_FALLBACK, AgentTurn, CountedAttempts, ToolResult
from orchestrator.domain.usage import Usage
from orchestrator.projection.children import CHILD_DECODERS, closed
from orchestrator.projection.failures import error_of
from orchestrator.projection.payloads import Decoder, last_value, moment, plain, stored_parts, summary_of

_LOCAL_ACTIVITY: Final = "core_local_activity"
_STARTED_STATES: Final = (
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
)
_Stamp = Mapping[str, Any]
_Model = TypeVar("_Model", bound=BaseModel)


def pending_call(info: PendingActivityInfo) -> facts.PendingCall | None:
    """An open agent call, or None for an activity that is not an agent's."""
    id = CallId.parse(info.activity_id)
    if id is None:
        return None
    tally = Tally.of(last_value(info.heartbeat_details.payloads)) or Tally()
    started = info.state in _STARTED_STATES
    times = [_optional(info, field) for field in ("last_started_time", "last_heartbeat_time")]
    return facts.PendingCall(
        **_call(id),
        started=started,
        attempt=max(1, tally.number(info.attempt)),
        last_started_at=times[0],
        heard_at=max((time for time in times if time), default=None) if started else None,
        next_attempt_at=_optional(info, "next_attempt_schedule_time") or _optional(info, "scheduled_time"),
        last_error=error_of(info.last_failure) if info.HasField("last_failure") else None,
        cancel_requested=info.state == PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
        paused=info.paused,
    )


def _optional(info: PendingActivityInfo, field: str) -> datetime | None:
    stamp: Timestamp = getattr(info, field)
    return moment(stamp) if info.HasField(field) and stamp.seconds > 0 else None  # type: ignore[arg-type]


def _answer(result: Mapping[str, Any]) -> dict[str, Any]:
    """Usage, model and summary of a call's result. The result of an author's activity can be anything."""
    model, summary = result.get("model"), result.get("summary")
    try:
        usage = Usage.model_validate(result.get("usage") or {})
    except ValidationError:
        usage = Usage()
    return {"usage": usage, "model": model if isinstance(model, str) else None, "summary": str(summary or "")}


def _part(model: type[_Model], value: Any) -> _Model | None:
    """A part of a result; None if the result is of an author's activity and has something else there."""
    try:
        return model.model_validate(value) if isinstance(value, Mapping) else None
    except ValidationError:
        return None


def _fallback(failure: Failure) -> str | None:
    """The model with which the call goes on."""
    details = last_value(failure.application_failure_info.details.payloads)
    model = details.get(DETAIL_FALLBACK) if isinstance(details, Mapping) else None
    return model if isinstance(model, str) else None


def _attempt(number: Any) -> int | None:
    """The attempt in a result, if it is valid."""
    return number if isinstance(number, int) and number > 0 else None


def _tally(failure: Failure) -> Tally | None:
    """The tally of a failed call; after a timeout, the one in its last heartbeat."""
    if failure.HasField("application_failure_info"):
        return Tally.of(last_value(failure.application_failure_info.details.payloads))
    return Tally.of(last_value(failure.timeout_failure_info.last_heartbeat_details.payloads))


def _tally_between_tries(failure: Failure) -> Tally | None:
    """The tally of a call whose time ended while it waited for its next try. The cause is the error of the try before,
    which has no tally of its own if its worker died or did not notice the time limit.
    """
    if not failure.HasField("cause"):
        return _tally(failure)
    tally = _tally(failure) or Tally()
    if failure.cause.HasField("timeout_failure_info"):
        return tally.before(tally.tries + 2, error_of(failure.cause).type)
    return max(tally, _tally(failure.cause) or tally, key=lambda each: each.tries)


def _scheduled(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    attributes = event.activity_task_scheduled_event_attributes
    id = CallId.parse(attributes.activity_id)
    if id is None:
        return None
    return facts.AgentScheduled(**_call(id), title=summary_of(event), **stamp)


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
        scheduled_id=attributes.scheduled_event_id,
        attempt=_attempt(result.get("attempt")),
        turn=_part(AgentTurn, result.get("turn")),
        tool=_part(ToolResult, result) if "tool" in result else None,
        **_answer(result),
        **stamp,
    )


def _activity_failed(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_failed_event_attributes
    return facts.AgentFailed(
        scheduled_id=attributes.scheduled_event_id,
        error=error_of(attributes.failure),
        tally=_tally(attributes.failure),
        fallback=_fallback(attributes.failure),
        timed_out=False,
        **stamp,
    )


def _activity_timed_out(event: HistoryEvent, stamp: _Stamp) -> facts.Fact:
    attributes = event.activity_task_timed_out_event_attributes
    return facts.AgentFailed(
        scheduled_id=attributes.scheduled_event_id,
        error=error_of(attributes.failure),
        tally=_tally(attributes.failure) if attributes.started_event_id else _tally_between_tries(attributes.failure),
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
    if call.get("activity_type") == names.ACTIVITY_COUNT_ATTEMPTS:
        return _counted(event, stamp)
    id = CallId.parse(str(call.get("activity_id", "")))
    if id is None:
        return None
    if call.get("activity_type") == names.ACTIVITY_CLOSE_CHILD:
        return closed(event, id, stamp)
    if call.get("activity_type") == names.ACTIVITY_OPEN_CHILD and not attributes.HasField("failure"):
        return None
    if call.get("activity_type") == names.ACTIVITY_REUSE_CALL:
        return facts.CallReused(step=id.step, agent=id.agent, call=id.number, key=id.key, **stamp)
    result = plain(attributes.details["result"].payloads) if "result" in attributes.details else {}
    return facts.ShortCallRecorded(
        **_call(id),
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
    stored = tuple(part.within("job") for part in stored_parts(payloads) if part.at[:2] == ("job", "input"))
    return facts.JobAdopted(job=Adopted.model_validate(plain(payloads)).job, stored=stored, **stamp)


def _counted(event: HistoryEvent, stamp: _Stamp) -> facts.Fact | None:
    """The counted attempts; None if Temporal did not answer."""
    details = event.marker_recorded_event_attributes.details
    counted = _part(CountedAttempts, plain(details["result"].payloads)) if "result" in details else None
    return None if counted is None else facts.AttemptsCounted(calls=tuple(counted.calls), **stamp)


def _local_start(call: Mapping[str, Any], recorded: datetime) -> datetime:
    """When a local activity was first scheduled, by its marker; else when the marker was recorded."""
    original = call.get("original_schedule_time")
    if isinstance(original, Mapping) and "seconds" in original:
        seconds = int(original["seconds"]) + int(original.get("nanos", 0)) / 1e9
        return datetime.fromtimestamp(seconds, UTC)
    return recorded


def _call(id: CallId) -> dict[str, Any]:
    return {"step": id.step, "agent": id.agent, "call": id.number, "key": id.key, "path": id.path}


CALL_DECODERS: Final[Mapping[int, Decoder]] = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _scheduled,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED: _activity_started,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _activity_completed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: _activity_failed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _activity_timed_out,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _activity_cancelled,
    EventType.EVENT_TYPE_MARKER_RECORDED: _marker,
    **CHILD_DECODERS,
}
