"""Protobuf to facts: no event type of the server stops the fold, and each that changes a job is read."""

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from orchestrator.domain import facts as f
from orchestrator.domain.jobs import CallStatus, JobState
from orchestrator.domain.values import METADATA
from orchestrator.projection.call_facts import pending_call
from orchestrator.projection.events import EventFold, job_events
from orchestrator.projection.facts import fact_of
from orchestrator.projection.job import JobFold, project

_STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED


def empty(event_type: int, number: int = 1) -> HistoryEvent:
    event = HistoryEvent(event_id=number, event_type=event_type)  # type: ignore[arg-type]
    event.event_time.FromJsonString("2026-01-01T12:00:00Z")
    return event


@pytest.mark.parametrize("event_type", EventType.values(), ids=EventType.Name)
def test_no_event_type_stops_the_fold(event_type: int) -> None:
    fact = fact_of(empty(event_type), "run")
    JobFold("job_1").apply(fact)
    EventFold("job_1").apply(fact)
    assert fact.event_id == 1


@pytest.mark.parametrize("event_type", EventType.values(), ids=EventType.Name)
def test_only_ends_end_a_job(event_type: int) -> None:
    fold = JobFold("job_1")
    fold.apply(fact_of(empty(event_type), "run"))
    ends = {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: JobState.COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: JobState.FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: JobState.TIMEOUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: JobState.CANCELLED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: JobState.CANCELLED,
    }
    if event_type in ends:
        assert fold.state is ends[event_type]  # type: ignore[index]
    else:
        assert not fold.state.terminal


def test_an_activity_that_is_no_agents_says_nothing() -> None:
    event = empty(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    event.activity_task_scheduled_event_attributes.activity_id = "1"
    assert isinstance(fact_of(event, "run"), f.OtherEvent)


@pytest.mark.parametrize(
    ("encoding", "data", "payload"),
    [
        ("json/plain", b'{"its": "own"}', {"its": "own"}),
        ("json/plain", b'"a"', {}),
        ("json/plain", b'{"note": "\\ud83d"}', {}),
        ("json/plain", b"null", {}),
        ("binary/null", b"", {}),
        ("binary/plain", b"\x00", {}),
    ],
)
def test_an_authors_signal_says_what_its_first_input_holds_as_an_object(
    encoding: str, data: bytes, payload: object
) -> None:
    event = empty(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    event.workflow_execution_signaled_event_attributes.signal_name = "go"
    event.workflow_execution_signaled_event_attributes.input.payloads.add(
        metadata={"encoding": encoding.encode()}, data=data
    )
    fact = fact_of(event, "run")
    assert isinstance(fact, f.SignalReceived)
    assert fact.payload == payload


def test_an_agents_activity_names_its_step_without_a_payload() -> None:
    event = empty(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    event.activity_task_scheduled_event_attributes.activity_id = "api_design.api_architect"
    event.user_metadata.summary.data = b'"API Design"'
    fact = fact_of(event, "run")
    assert isinstance(fact, f.AgentScheduled)
    assert (fact.step, fact.agent, fact.call, fact.title) == ("api_design", "api_architect", 1, "API Design")


ODD = [
    b"no JSON",
    b"[]",
    b'{"usage": 7, "model": 7, "summary": null}',
    b'{"usage": {"prompt_tokens": "many"}, "model": ["m"]}',
    b'{"type": 3, "message": {}}',
]


@pytest.mark.parametrize("data", ODD)
def test_payloads_that_others_wrote_do_not_stop_the_fold(data: bytes) -> None:
    odd = {"metadata": {"encoding": b"json/plain"}, "data": data}
    asked = empty(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    asked.activity_task_scheduled_event_attributes.activity_id = "own.activity"
    asked.user_metadata.summary.data = data
    done = empty(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, 2)
    done.activity_task_completed_event_attributes.scheduled_event_id = 1
    done.activity_task_completed_event_attributes.result.payloads.add(**odd)
    failed = empty(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, 3)
    failure = failed.workflow_execution_failed_event_attributes.failure
    failure.message = "no luck"
    failure.application_failure_info.details.payloads.add(**odd)
    facts = [fact_of(event, "run") for event in (empty(_STARTED, 0), asked, done, failed)]
    job = project("wf_job_1", facts)
    assert (job.state, job.calls[0].status, job.usage.total_tokens) == (JobState.FAILED, CallStatus.COMPLETED, 0)
    assert job.error is not None
    assert job.error.message == "no luck"
    assert job_events("wf_job_1", facts)


@pytest.mark.parametrize("started_with", [b'"just text"', b'{"job_id": "wf_job_1", "plan": {}}'])
def test_a_workflow_of_somebody_elses_is_a_job_without_a_plan(started_with: bytes) -> None:
    event = empty(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    about = event.workflow_execution_started_event_attributes
    about.workflow_type.name = "foreign"
    about.input.payloads.add(metadata={"encoding": b"json/plain"}, data=started_with)
    fact = fact_of(event, "run")
    assert isinstance(fact, f.RunStarted)
    assert fact.job is None
    fold = JobFold("wf_job_1")
    fold.apply(fact)
    assert fold.job().definition == "foreign"


@pytest.mark.parametrize(
    ("state", "started"),
    [("SCHEDULED", False), ("STARTED", True), ("CANCEL_REQUESTED", True), ("PAUSED", False), ("PAUSE_REQUESTED", True)],
)
def test_only_a_call_at_work_counts_as_started(state: str, started: bool) -> None:
    info = PendingActivityInfo(activity_id="a.one", state=f"PENDING_ACTIVITY_STATE_{state}", attempt=1)  # type: ignore[arg-type]
    call = pending_call(info)
    assert call is not None
    assert call.started is started


def test_a_control_with_stored_parts_is_ignored_as_the_worker_ignores_it() -> None:
    event = empty(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    event.workflow_execution_signaled_event_attributes.signal_name = "pause"
    sent = event.workflow_execution_signaled_event_attributes.input.payloads.add()
    sent.metadata["encoding"], sent.data = b"json/plain", b'{"note": "xx"}'
    assert fact_of(event, "run").control is not None  # type: ignore[attr-defined]
    sent.metadata[METADATA] = b"[]"
    assert fact_of(event, "run").control is None  # type: ignore[attr-defined]
