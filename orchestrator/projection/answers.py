"""The full answers of a job's finished calls: read once, when a job ends without a result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain.children import ChildEnd
from orchestrator.domain.commands import AgentResult, AgentTask, Carried, Retry
from orchestrator.projection.children import child_call
from orchestrator.projection.payloads import plain


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers, and the digest of each call's question by activity id, if history records it."""

    results: list[AgentResult] = field(default_factory=list)
    asks: Mapping[str, str] = field(default_factory=dict)


def answers(events: Iterable[HistoryEvent]) -> list[AgentResult]:
    """The answers in the history of a job's last run, with those that earlier runs passed on.

    The caller must have put stored parts back.
    """
    results: list[AgentResult] = []
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                results += _carried(event.workflow_execution_started_event_attributes.input.payloads)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                results += _answer(event.activity_task_completed_event_attributes.result.payloads)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                details = event.marker_recorded_event_attributes.details
                results += _answer(details["result"].payloads) if "result" in details else []
    return results


def asks(events: Iterable[HistoryEvent]) -> dict[str, str]:
    """Digests of the questions of a job's last run by activity id: of calls that are not short, and of reused ones."""
    digests: dict[str, str] = {}
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                digests |= _reused(event.workflow_execution_started_event_attributes.input.payloads)
            case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                child = child_call(event)
                digests |= {child.id: child.asks} if child else {}
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                digests |= _asks(event.activity_task_scheduled_event_attributes.input.payloads)
    return digests


def _carried(payloads: Iterable[object]) -> list[AgentResult]:
    try:
        carried = Carried.model_validate(plain(payloads).get("carried") or {})
    except ValidationError:
        return []
    return carried.results


def _answer(payloads: Iterable[object]) -> list[AgentResult]:
    """The answer, or nothing: other activities have other results."""
    body = plain(payloads)
    try:
        return [AgentResult.model_validate(body)]
    except ValidationError:
        pass
    try:
        end = ChildEnd.model_validate(body)
    except ValidationError:
        return []
    return [end.result] if end.result else []


def _reused(payloads: Iterable[object]) -> dict[str, str]:
    try:
        retry = Retry.model_validate(plain(payloads).get("retry") or {})
    except ValidationError:
        return {}
    return {str(call.call_id): call.asks for call in retry.calls if call.asks}


def _asks(payloads: Iterable[object]) -> dict[str, str]:
    """The question, or nothing: other activities have other inputs."""
    try:
        task = AgentTask.model_validate(plain(payloads))
    except ValidationError:
        return {}
    return {str(task.call_id): task.asks()}
