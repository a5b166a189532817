"""The fold of workflow code over `Flow`: no phantom steps, an honest progress, controls that apply, children."""

from orchestrator.domain import facts as f
from orchestrator.domain.jobs import CallStatus, JobError, JobState
from orchestrator.domain.notes import CallsExpected, FlowBegun, ItemsListed
from orchestrator.domain.usage import Usage
from orchestrator.projection.events import job_events
from orchestrator.projection.job import project
from tests.unit.histories import History, job_input, step

CHILD = {"step": "sub", "agent": "research", "key": "one", "child": "wf_job_child"}


def history(*, flow: bool = True) -> History:
    past = History(job_input(step("draft"), step("review"), code=True))
    past.task()
    if flow:
        past.add(f.Noted, notes=(FlowBegun(),))
    return past


def test_a_flow_has_no_phantom_steps() -> None:
    past = history()
    assert project("wf_job_1", past.facts).calls == []
    past.completed("other", "writer")
    assert [call.step for call in project("wf_job_1", past.facts).calls] == ["other"]


def test_code_without_a_flow_keeps_its_plan_for_display() -> None:
    assert [call.step for call in project("wf_job_1", history(flow=False).facts).calls] == ["draft", "review"]


def test_progress_is_over_the_announced_calls_and_never_falls() -> None:
    past = history()
    past.completed("one", "writer")
    assert project("wf_job_1", past.facts).progress == 50
    past.add(f.Noted, notes=(CallsExpected(calls=4),))
    past.completed("two", "writer")
    assert project("wf_job_1", past.facts).progress == 50
    past.completed("three", "writer")
    assert project("wf_job_1", past.facts).progress == 75


def test_the_first_exact_progress_replaces_an_estimate() -> None:
    past = history()
    past.completed("one", "writer").completed("two", "writer")
    job = project("wf_job_1", past.facts)
    assert (job.progress, job.exact) == (66, False)
    past.add(f.Noted, notes=(CallsExpected(calls=8),))
    job = project("wf_job_1", past.facts)
    assert (job.progress, job.exact) == (25, True)
    past.add(f.Noted, notes=(CallsExpected(calls=20),))
    assert project("wf_job_1", past.facts).progress == 25


def test_a_job_that_failed_has_made_all_the_calls_that_it_makes() -> None:
    past = history()
    past.completed("one", "writer").completed("two", "writer")
    past.add(f.RunFailed, error=JobError(type="never_approved", message="Three drafts."))
    job = project("wf_job_1", past.facts)
    assert (job.state, job.progress, job.exact) == (JobState.FAILED, 99, True)


def test_items_are_known_when_they_are_listed_and_skipped_when_others_suffice() -> None:
    past = history()
    past.add(f.Noted, notes=(ItemsListed(step="fan", keys=("a", "b", "c"), agent="writer", enough=1),))
    calls = project("wf_job_1", past.facts).calls
    assert [(call.step, call.key, call.status) for call in calls] == [
        ("fan", key, CallStatus.PENDING) for key in ("a", "b", "c")
    ]
    number = past.add(f.AgentScheduled, step="fan", key="b", agent="writer", title="Fan")
    past.add(f.AgentCompleted, scheduled_id=number, usage=Usage(), model="m", summary="done")
    statuses = [call.status for call in project("wf_job_1", past.facts).calls]
    assert statuses == [CallStatus.SKIPPED, CallStatus.COMPLETED, CallStatus.SKIPPED]


def test_controls_apply_to_a_flow_and_only_to_a_flow() -> None:
    for flow in (True, False):
        past = history(flow=flow).signal("pause", actor="me")
        job = project("wf_job_1", past.facts)
        assert (job.paused, job.state is JobState.PAUSED, job.controlled) == (flow, flow, flow)
        names = [event.name for event in job_events("wf_job_1", past.facts)]
        assert names[-1] == ("job.paused" if flow else "signal.pause")


def test_a_pause_before_the_code_began_applies_when_it_begins() -> None:
    past = History(job_input(step("draft"), code=True)).signal("pause", actor="me").task()
    assert not project("wf_job_1", past.facts).paused
    past.add(f.Noted, notes=(FlowBegun(),))
    assert project("wf_job_1", past.facts).state is JobState.PAUSED


def test_a_child_is_a_call_that_ends_with_its_cost() -> None:
    past = history()
    number = past.add(f.ChildScheduled, title="Research", **CHILD)
    [call] = project("wf_job_1", past.facts).calls
    assert (call.status, call.child, call.title) == (CallStatus.SCHEDULED, "wf_job_child", "Research")
    past.add(f.ChildStarted, scheduled_id=number)
    assert project("wf_job_1", past.facts).calls[0].status is CallStatus.RUNNING
    usage = Usage(prompt_tokens=7, cost=0.5)
    past.add(f.ChildEnded, state=JobState.COMPLETED, usage=usage, error=None, **CHILD)
    job = project("wf_job_1", past.facts)
    assert (job.calls[0].status, job.usage, job.calls[0].attempts) == (CallStatus.COMPLETED, usage, [])
    event = job_events("wf_job_1", past.facts)[-1]
    assert (event.name, event.data["child"], event.data["tokens"]) == ("child.completed", "wf_job_child", 7)


def test_a_child_that_failed_has_its_error_in_the_call() -> None:
    past = history()
    past.add(f.ChildScheduled, title="Research", **CHILD)
    error = JobError(type="step_failed", message="no")
    past.add(f.ChildEnded, state=JobState.TIMEOUT, usage=Usage(), error=error, **CHILD)
    [call] = project("wf_job_1", past.facts).calls
    assert (call.status, call.error and call.error.step) == (CallStatus.FAILED, "sub")
    assert job_events("wf_job_1", past.facts)[-1].name == "child.failed"


def test_a_child_that_runs_when_its_parent_ends_is_cancelled() -> None:
    past = history()
    number = past.add(f.ChildScheduled, title="Research", **CHILD)
    past.add(f.ChildStarted, scheduled_id=number)
    past.add(f.RunTerminated, reason="", identity="")
    assert project("wf_job_1", past.facts).calls[0].status is CallStatus.CANCELLED
