"""What finished calls answered is found again in a history, among everything else that lies there."""

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain.commands import AgentResult, Carried, Recorded
from orchestrator.projection.answers import answers
from tests.unit.histories import job_input, step


def result(name: str) -> AgentResult:
    return AgentResult(step=name, agent="one", summary="s", output=f"answer of {name}", model="m")


def payload(model: Carried | AgentResult | Recorded) -> dict[str, object]:
    return {"metadata": {"encoding": b"json/plain"}, "data": model.model_dump_json().encode()}


def test_answers_of_activities_of_short_calls_and_of_earlier_runs_are_found() -> None:
    started = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    carried = job_input(step("a", "one")).model_copy(update={"carried": Carried(results=[result("a")])})
    started.workflow_execution_started_event_attributes.input.payloads.add(**payload(carried))
    called = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    called.activity_task_completed_event_attributes.result.payloads.add(**payload(result("b")))
    short = HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    short.marker_recorded_event_attributes.details["result"].payloads.add(**payload(result("c")))
    other = HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    other.marker_recorded_event_attributes.details["result"].payloads.add(**payload(Recorded()))
    silent = HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    assert answers([started, called, short, other, silent]) == [result("a"), result("b"), result("c")]
