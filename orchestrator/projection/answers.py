"""What the finished calls of a job answered, in full: read once, when a job ends without a result of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain.commands import AgentResult, AgentTask, Carried, Retry
from orchestrator.domain.names import activity_id
from orchestrator.projection.facts import plain


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers, and what each call asked for, by its activity id, as far as history tells that."""

    results: list[AgentResult] = field(default_factory=list)
    asks: Mapping[str, str] = field(default_factory=dict)


def answers(events: Iterable[HistoryEvent]) -> list[AgentResult]:
    """The answers in the history of a job's last run, those that earlier runs handed on included.

    Stored parts must have been put back.
    """
    found: list[AgentResult] = []
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                found += _handed_on(event.workflow_execution_started_event_attributes.input.payloads)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                found += _answer(event.activity_task_completed_event_attributes.result.payloads)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                details = event.marker_recorded_event_attributes.details
                found += _answer(details["result"].payloads) if "result" in details else []
    return found


def asks(events: Iterable[HistoryEvent]) -> dict[str, str]:
    """What the calls of a job's last run asked for, short ones apart, and those that it took over from another job."""
    found: dict[str, str] = {}
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                found |= _taken_over(event.workflow_execution_started_event_attributes.input.payloads)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                found |= _asks(event.activity_task_scheduled_event_attributes.input.payloads)
    return found


def _handed_on(payloads: Iterable[object]) -> list[AgentResult]:
    try:
        carried = Carried.model_validate(plain(payloads).get("carried") or {})
    except ValidationError:
        return []
    return carried.results


def _answer(payloads: Iterable[object]) -> list[AgentResult]:
    """One, or none: other activities answer with something else."""
    try:
        return [AgentResult.model_validate(plain(payloads))]
    except ValidationError:
        return []


def _taken_over(payloads: Iterable[object]) -> dict[str, str]:
    try:
        retry = Retry.model_validate(plain(payloads).get("retry") or {})
    except ValidationError:
        return {}
    return {activity_id(call.step, call.agent, call.call): call.asks for call in retry.calls if call.asks}


def _asks(payloads: Iterable[object]) -> dict[str, str]:
    """One, or none: other activities are asked something else."""
    try:
        task = AgentTask.model_validate(plain(payloads))
    except ValidationError:
        return {}
    return {activity_id(task.step.id, task.agent, task.call): task.asks()}
