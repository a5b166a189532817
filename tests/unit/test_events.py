"""The event log: one numbered event per telling fact, the same for every transport."""

from orchestrator.domain import facts as f
from orchestrator.domain.events import EventType, parse_cursor
from orchestrator.domain.jobs import JobState
from orchestrator.domain.plans import Approval
from orchestrator.projection.events import job_events
from tests.unit.histories import History, job_input, step


def whole_job() -> History:
    history = History(job_input(step("a", "one"), step("b", "two", needs=("a",)))).task().completed("a", "one")
    history.signal("pause", actor="me").signal("resume", actor="me").completed("b", "two")
    history.add(f.RunCompleted, result={"status": "success", "output": "x"})
    return history


def test_events_tell_a_job_from_its_start_to_its_end() -> None:
    events = job_events("wf_job_1", whole_job().facts)
    assert [event.name for event in events] == [
        "job.queued",
        "job.started",
        "agent.scheduled",
        "agent.completed",
        "job.paused",
        "job.resumed",
        "agent.scheduled",
        "agent.completed",
        "job.completed",
    ]
    assert [event.progress for event in events] == [0, 0, 0, 50, 50, 50, 50, 99, 100]
    assert events[-1].type is EventType.JOB_COMPLETED
    assert events[-1].data["output"] == {"status": "success", "output": "x"}
    assert events[4].state is JobState.PAUSED


def test_cursors_are_history_positions_in_ascending_order() -> None:
    cursors = [parse_cursor(event.id) for event in job_events("wf_job_1", whole_job().facts)]
    assert None not in cursors
    assert cursors == sorted(cursors)  # type: ignore[type-var]
    assert len(set(cursors)) == len(cursors)


def test_a_continued_run_numbers_its_events_by_its_own_run() -> None:
    history = History(job_input(step("a", "one"), step("b", "two"))).task().completed("a", "one")
    history.continued().task().completed("b", "two")
    ids = [event.id for event in job_events("wf_job_1", history.facts)]
    assert ids[0].startswith("run-1:")
    assert ids[-1].startswith("run-2:")


def test_a_cancelled_job_ends_with_job_failed_and_says_cancelled() -> None:
    history = History(job_input(step("a", "one"))).task()
    history.add(f.CancelRequested, reason="enough")
    history.add(f.RunCancelled)
    last = job_events("wf_job_1", history.facts)[-1]
    assert (last.type, last.name, last.state) == (EventType.JOB_FAILED, "job.cancelled", JobState.CANCELLED)


def test_signals_are_reported_as_what_their_workflow_makes_of_them() -> None:
    declared = History(job_input(step("a", "one", approval=Approval()))).task()
    declared.signal("approve").signal("approve", step=5).signal("approve", step="a", note="fine").signal("go", step=5)
    detail = job_events("wf_job_1", declared.facts)[2:]
    assert [(event.name, event.data) for event in detail] == [
        ("step.approved", {"step": "a", "note": "fine"}),
        ("signal.go", {}),
    ]
    code = History(job_input(step("a", "one"), code=True)).task().signal("approve", step={"its": "own"})
    assert job_events("wf_job_1", code.facts)[-1].name == "signal.approve"


def test_parse_cursor_refuses_what_is_none() -> None:
    assert parse_cursor("run:12") == ("run", 12)
    for wrong in ("", "12", ":12", "run:", "run:x", "run:-1", "run:²"):
        assert parse_cursor(wrong) is None
