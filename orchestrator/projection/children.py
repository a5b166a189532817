"""Child jobs in the history of their parent: decoders, their part of the fold, and their events."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain import events as e
from orchestrator.domain import facts as f
from orchestrator.domain import names
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.children import ChildCall, ChildEnd
from orchestrator.domain.jobs import CallStatus, JobState
from orchestrator.projection.calls import CallFold
from orchestrator.projection.payloads import Decoder, plain, summary_of

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold


def child_call(event: HistoryEvent) -> ChildCall | None:
    """The call that starts a child; None for a child that workflow code starts in another way."""
    fields = event.start_child_workflow_execution_initiated_event_attributes.memo.fields
    try:
        return ChildCall.model_validate(plain([fields[names.MEMO_CALL]])) if names.MEMO_CALL in fields else None
    except ValidationError:
        return None


def scheduled(event: HistoryEvent, stamp: Mapping[str, Any]) -> f.Fact | None:
    """The start of a child by the parent's code."""
    call = child_call(event)
    id = CallId.parse(call.id) if call else None
    if id is None:
        return None
    child = event.start_child_workflow_execution_initiated_event_attributes.workflow_id
    return f.ChildScheduled(**_call(id), child=child, title=summary_of(event), **stamp)


def started(event: HistoryEvent, stamp: Mapping[str, Any]) -> f.Fact:
    """Temporal has started the child."""
    attributes = event.child_workflow_execution_started_event_attributes
    return f.ChildStarted(scheduled_id=attributes.initiated_event_id, **stamp)


def closed(event: HistoryEvent, id: CallId, stamp: Mapping[str, Any]) -> f.Fact | None:
    """The end of a child, from the marker of the local activity that read it."""
    details = event.marker_recorded_event_attributes.details
    try:
        end = ChildEnd.model_validate(plain(details["result"].payloads)) if "result" in details else None
    except ValidationError:
        end = None
    if end is None:
        return None
    return f.ChildEnded(**_call(id), child=end.job_id, state=end.state, usage=end.usage, error=end.error, **stamp)


def _status(state: JobState) -> CallStatus:
    if state.succeeded:
        return CallStatus.COMPLETED
    return CallStatus.FAILED if state.failed else CallStatus.CANCELLED


def _call(id: CallId) -> dict[str, Any]:
    return {"step": id.step, "agent": id.agent, "call": id.number, "key": id.key}


CHILD_DECODERS: Final[Mapping[int, Decoder]] = {
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: scheduled,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: started,
}


class ChildFold:
    """A child is a call of its parent: it runs from its start until the parent has read its end."""

    def __init__(self, fold: "JobFold") -> None:
        self._fold = fold
        self._scheduled: dict[tuple[str, int], CallFold] = {}

    def apply(self, fact: f.Fact) -> None:
        """Apply the next fact."""
        match fact:
            case f.ChildScheduled():
                call = self._fold.call_of(fact, fact.title)
                call.status, call.child, call.run_id = CallStatus.SCHEDULED, fact.child, fact.run_id
                call.scheduled_at, call.completed_at, call.error = fact.time, None, None
                self._scheduled[fact.run_id, fact.event_id] = call
                self._fold.current_step = fact.step
            case f.ChildStarted() if started_call := self._scheduled.get((fact.run_id, fact.scheduled_id)):
                started_call.status, started_call.started_at = CallStatus.RUNNING, fact.time
            case f.ChildEnded():
                call = self._fold.call_of(fact, fact.agent)
                call.child, call.usage, call.run_id = fact.child, fact.usage, fact.run_id
                error = fact.error and fact.error.model_copy(update={"step": fact.step, "agent": fact.agent})
                call.end(_status(fact.state), fact.time, error)
                call.attempt = 0  # Its attempts are those of its own calls.
                self._fold.advance()

    def course(self) -> dict[str, Any]:
        """Fields of `Job`: none, because children are calls."""
        return {}


def child_event(fact: f.ChildScheduled | f.ChildEnded) -> tuple[e.EventType, str, str, dict[str, Any]]:
    """Type, name, message and data of the event of a fact."""
    key, call = ({"key": fact.key} if fact.key else {}), ({"call": fact.call} if fact.call > 1 else {})
    data: dict[str, Any] = {"step": fact.step, "workflow": fact.agent, **key, **call, "child": fact.child}
    if isinstance(fact, f.ChildScheduled):
        return e.EventType.AGENT_EVENT, "child.started", f"{fact.agent} was started as job {fact.child}.", data
    data |= {"tokens": fact.usage.total_tokens, "cost": fact.usage.cost}
    if fact.state.succeeded:
        return e.EventType.JOB_PROGRESS, "child.completed", f"{fact.agent} is done.", data
    data["error"] = fact.error.model_dump(mode="json") if fact.error else None
    return e.EventType.AGENT_EVENT, f"child.{_status(fact.state)}", f"{fact.agent} ended as {fact.state}.", data
