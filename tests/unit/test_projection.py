"""The fold: facts and what is pending in, one truthful job out."""

from datetime import timedelta

import pytest

from orchestrator.domain import facts as f
from orchestrator.domain.errors import NotFound
from orchestrator.domain.facts import Pending, PendingCall
from orchestrator.domain.jobs import Attempt, AttemptStatus, CallStatus, JobError, JobState, ReasonCode
from orchestrator.domain.plans import Approval
from orchestrator.domain.usage import Usage
from orchestrator.projection.attempts import unwritten, with_attempts
from orchestrator.projection.events import job_events
from orchestrator.projection.job import project
from tests.unit.histories import START, History, job_input, step

ATTENDED = Pending(pollers=1)
BOOM = JobError(type="provider_unavailable", message="500 from the provider", retryable=True)


def two_steps() -> History:
    return History(job_input(step("a", "one", "two"), step("b", "three", needs=("a",))))


def test_a_job_without_a_start_is_unknown() -> None:
    with pytest.raises(NotFound):
        project("wf_job_1", [])


def test_accepted_and_waiting_for_a_worker() -> None:
    job = project("wf_job_1", two_steps().facts, ATTENDED)
    assert (job.state, job.progress) == (JobState.PENDING, 0)
    assert job.reason is not None
    assert job.reason.code is ReasonCode.QUEUED
    assert [call.status for call in job.calls] == [CallStatus.PENDING] * 3
    assert job.input == {"topic": "tea"}


def test_no_worker_is_reported_before_and_after_the_start() -> None:
    history = two_steps()
    for facts in (list(history.facts), history.task().facts):
        job = project("wf_job_1", facts, Pending(pollers=0))
        assert job.reason is not None
        assert job.reason.code is ReasonCode.NO_WORKER


def test_an_unknown_number_of_pollers_is_not_called_no_worker() -> None:
    job = project("wf_job_1", two_steps().facts, Pending(pollers=None))
    assert job.reason is not None
    assert job.reason.code is ReasonCode.QUEUED


def test_progress_counts_completed_calls_over_planned_ones_and_is_100_only_at_the_end() -> None:
    history = two_steps().task().completed("a", "one")
    assert project("wf_job_1", history.facts).progress == 33
    history.completed("a", "two").completed("b", "three")
    assert project("wf_job_1", history.facts).progress == 99
    history.add(f.RunCompleted, result={"status": "success", "output": "x"})
    job = project("wf_job_1", history.facts)
    assert (job.progress, job.state, job.reason) == (100, JobState.COMPLETED, None)
    assert job.usage.total_tokens == 60
    assert job.usage.cost == 1.5


def test_retrying_names_attempt_next_time_and_last_error() -> None:
    history = two_steps().task()
    history.scheduled("a", "one")
    due = START + timedelta(minutes=3)
    call = PendingCall(step="a", agent="one", started=False, attempt=3, next_attempt_at=due, last_error=BOOM)
    job = project("wf_job_1", history.facts, Pending(calls=(call,), pollers=1))
    assert job.reason is not None
    assert job.reason.code is ReasonCode.RETRYING
    assert (job.reason.step, job.reason.agent, job.reason.attempt) == ("a", "one", 3)
    assert job.reason.next_attempt_at == due
    assert job.reason.last_error == BOOM
    assert "12:03:00 UTC" in job.reason.message
    report = job.calls[0]
    assert report.status is CallStatus.RETRYING
    assert [attempt.status for attempt in report.attempts] == [AttemptStatus.UNKNOWN, AttemptStatus.FAILED]


def test_a_running_call_is_read_from_what_is_pending() -> None:
    history = two_steps().task()
    history.scheduled("a", "one")
    call = PendingCall(step="a", agent="one", started=True, attempt=1, last_started_at=START)
    job = project("wf_job_1", history.facts, Pending(calls=(call,), pollers=1))
    assert job.calls[0].status is CallStatus.RUNNING
    assert job.reason is not None
    assert job.reason.message == "Running: one."


def test_a_lost_worker_leaves_an_attempt_timed_out_and_the_next_one_completed() -> None:
    lost = JobError(type="heartbeat_timeout", message="gone", retryable=True)
    history = two_steps().task().completed("a", "one", attempt=2, last_error=lost)
    attempts = project("wf_job_1", history.facts).calls[0].attempts
    assert [(one.number, one.status) for one in attempts] == [
        (1, AttemptStatus.TIMED_OUT),
        (2, AttemptStatus.COMPLETED),
    ]


def test_rows_fill_in_times_that_history_forgets_but_never_overrule_it() -> None:
    history = two_steps().task().completed("a", "one", attempt=2, last_error=BOOM)
    job = project("wf_job_1", history.facts)
    rows = [
        ("a", "one", 1, Attempt(number=1, status=AttemptStatus.RUNNING, started_at=START), ""),
        ("a", "one", 1, Attempt(number=2, status=AttemptStatus.RUNNING, started_at=START + timedelta(seconds=9)), ""),
    ]
    first, second = with_attempts(job, rows).calls[0].attempts
    assert (first.status, first.started_at, first.error) == (AttemptStatus.FAILED, START, BOOM)
    assert (second.status, second.started_at) == (AttemptStatus.COMPLETED, START + timedelta(seconds=9))


def test_attempts_that_history_forgot_when_their_call_was_cut_off_are_read_from_the_rows() -> None:
    history = two_steps().task()
    history.scheduled("a", "one")
    asked = history.scheduled("a", "two")
    history.add(f.AgentCancelled, scheduled_id=asked)  # while it waited for its second attempt
    history.add(f.RunTerminated, reason="enough", identity="operator")
    job = project("wf_job_1", history.facts)
    assert [call.attempts for call in job.calls] == [[], [], []]
    rows = [
        ("a", "one", 1, Attempt(number=1, status=AttemptStatus.RUNNING, started_at=START), ""),
        ("a", "two", 1, Attempt(number=1, status=AttemptStatus.FAILED, started_at=START, error=BOOM), ""),
    ]
    one, two, three = with_attempts(job, rows).calls
    assert (one.status, [report.status for report in one.attempts]) == (CallStatus.CANCELLED, [AttemptStatus.UNKNOWN])
    assert (two.status, [report.error for report in two.attempts]) == (CallStatus.CANCELLED, [BOOM])
    assert (three.status, three.attempts) == (CallStatus.SKIPPED, [])


def test_attempts_that_came_to_nothing_are_paid_for_too() -> None:
    history = two_steps().task().completed("a", "one", attempt=2, last_error=BOOM)
    history.add(f.AgentFailed, scheduled_id=history.scheduled("a", "two"), error=BOOM, timed_out=False)
    job = project("wf_job_1", history.facts)
    answered = job.calls[0].usage
    wasted, refused = Usage(prompt_tokens=7, cost=0.25), Usage(completion_tokens=2)
    rows = [
        ("a", "one", 1, Attempt(number=1, status=AttemptStatus.FAILED, usage=wasted), ""),
        ("a", "one", 1, Attempt(number=2, status=AttemptStatus.COMPLETED, usage=answered), ""),
        ("a", "two", 1, Attempt(number=1, status=AttemptStatus.FAILED, usage=refused), ""),
    ]
    report = with_attempts(job, rows)
    assert [call.usage for call in report.calls[:2]] == [answered.plus(wasted), refused]
    assert report.usage == job.usage.plus(wasted).plus(refused)


def test_ends_without_a_row_are_read_from_history() -> None:
    history = two_steps().task().completed("a", "one", attempt=2, last_error=BOOM).completed("a", "two")
    job = project("wf_job_1", history.facts)
    rows = [
        ("a", "one", 1, Attempt(number=2, status=AttemptStatus.RUNNING), ""),
        ("a", "two", 1, Attempt(number=1, status=AttemptStatus.COMPLETED, completed_at=START), ""),
    ]
    found = [(call.agent, one.number, one.status, one.usage) for call, one in unwritten(job, rows)]
    assert found == [
        ("one", 1, AttemptStatus.FAILED, None),
        ("one", 2, AttemptStatus.COMPLETED, job.calls[0].usage),
    ]


def test_ends_that_were_not_written_before_the_job_closed_are_read_from_history() -> None:
    history = two_steps().task().completed("a", "one").completed("a", "two")
    history.add(f.RunTerminated, reason="enough", identity="operator")
    job = project("wf_job_1", history.facts)
    rows = [
        ("a", "one", 1, Attempt(number=1, status=AttemptStatus.UNKNOWN, started_at=START), ""),
        ("a", "two", 1, Attempt(number=1, status=AttemptStatus.UNKNOWN, started_at=START, completed_at=START), ""),
    ]
    found = [(call.agent, one.status, one.usage) for call, one in unwritten(job, rows)]
    assert found == [("one", AttemptStatus.COMPLETED, job.calls[0].usage)]
    assert job.calls[0].usage.total_tokens > 0


def test_nothing_is_missing_of_a_call_that_is_to_be_tried_again() -> None:
    history = two_steps().task()
    history.add(f.AgentScheduled, step="a", agent="one", title="A")
    again = Pending(pollers=1, calls=(PendingCall(step="a", agent="one", started=False, attempt=2, last_error=BOOM),))
    job = project("wf_job_1", history.facts, again)
    assert job.calls[0].status is CallStatus.RETRYING
    assert unwritten(job, [("a", "one", 1, Attempt(number=1, status=AttemptStatus.RUNNING), "")]) == []


def test_a_short_call_that_ended_with_its_job_was_not_skipped() -> None:
    history = History(job_input(step("a", "one", short=True))).task()
    history.add(f.RunTerminated, reason="enough", identity="operator")
    rows = [("a", "one", 1, Attempt(number=1, status=AttemptStatus.RUNNING, started_at=START), "")]
    (call,) = with_attempts(project("wf_job_1", history.facts), rows).calls
    assert (call.status, call.attempts[0].status) == (CallStatus.CANCELLED, AttemptStatus.UNKNOWN)


def test_rows_of_a_run_that_was_reset_add_nothing_to_a_call_that_completed() -> None:
    history = History(job_input(step("a", "one"))).task()
    history.completed("a", "one")
    rows = [("a", "one", 1, Attempt(number=2, status=AttemptStatus.FAILED, started_at=START, error=BOOM), "")]
    (call,) = with_attempts(project("wf_job_1", history.facts), rows).calls
    assert [report.number for report in call.attempts] == [1]


def test_calls_of_one_step_and_agent_stand_together_in_their_order() -> None:
    history = two_steps().task()
    for number in (1, 2):
        scheduled = history.add(f.AgentScheduled, step="a", agent="one", call=number, title="A")
        history.add(f.AgentCompleted, scheduled_id=scheduled, usage=Usage(prompt_tokens=9), model="m", summary="s")
    third = Pending(pollers=1, calls=(PendingCall(step="a", agent="one", call=3, started=True, attempt=2),))
    history.add(f.AgentScheduled, step="a", agent="one", call=3, title="A")
    rows = [("a", "one", 3, Attempt(number=1, status=AttemptStatus.FAILED, usage=Usage(prompt_tokens=1)), "")]
    job = with_attempts(project("wf_job_1", history.facts, third), rows)
    calls = [(call.step, call.agent, call.number, call.status) for call in job.calls if call.step == "a"]
    assert calls[:3] == [
        ("a", "one", 1, CallStatus.COMPLETED),
        ("a", "one", 2, CallStatus.COMPLETED),
        ("a", "one", 3, CallStatus.RUNNING),
    ]
    assert job.usage.total_tokens == 19


def test_an_approval_is_asked_for_and_a_decision_ends_the_wait() -> None:
    history = History(job_input(step("a", "one", approval=Approval(message="Ship it?")))).task()
    history.add(f.ApprovalAsked, step="a", timer_id="1")
    job = project("wf_job_1", history.facts, ATTENDED)
    assert job.reason is not None
    assert (job.reason.code, job.reason.step, job.reason.message) == (
        ReasonCode.WAITING_FOR_APPROVAL,
        "a",
        "Ship it?",
    )
    assert job.waiting_steps == ["a"]
    assert project("wf_job_1", history.signal("approve", step="a").facts, ATTENDED).waiting_steps == []


def test_an_approval_that_waits_for_a_person_does_not_blame_the_worker() -> None:
    history = History(job_input(step("a", "one", approval=Approval()))).task()
    history.add(f.ApprovalAsked, step="a", timer_id="1")
    job = project("wf_job_1", history.facts, Pending(pollers=0))
    assert job.reason is not None
    assert job.reason.code is ReasonCode.WAITING_FOR_APPROVAL


def test_pause_and_resume() -> None:
    history = two_steps().task().signal("pause", actor="me")
    job = project("wf_job_1", history.facts, ATTENDED)
    assert job.state is JobState.PAUSED
    assert job.reason is not None
    assert job.reason.code is ReasonCode.PAUSED
    assert project("wf_job_1", history.signal("resume", actor="me").facts, ATTENDED).state is JobState.RUNNING


def test_a_decision_without_a_step_decides_nothing_as_in_the_workflow() -> None:
    history = History(job_input(step("a", "one", approval=Approval()))).task()
    history.add(f.ApprovalAsked, step="a", timer_id="1")
    history.signal("approve").signal("approve", step=5)
    history.add(f.SignalReceived, name="pause", control=None, payload={})  # no object
    job = project("wf_job_1", history.facts, ATTENDED)
    assert (job.state, job.waiting_steps) == (JobState.RUNNING, ["a"])
    assert project("wf_job_1", history.signal("approve", step="a").facts, ATTENDED).waiting_steps == []


def test_the_first_decision_is_in_force_and_later_ones_change_nothing() -> None:
    history = History(job_input(step("a", "one", approval=Approval()))).task()
    history.add(f.ApprovalAsked, step="a", timer_id="1")
    history.signal("reject", step="a", id="first").signal("approve", step="a", id="second")
    assert project("wf_job_1", history.facts).decisions == {"a": "first"}


def test_a_decision_may_come_before_its_step_asks() -> None:
    history = History(job_input(step("a", "one", approval=Approval()))).signal("approve", step="a", id="early").task()
    assert project("wf_job_1", history.facts).decisions == {"a": "early"}


def test_a_decision_on_a_step_that_asks_for_none_decides_nothing() -> None:
    history = two_steps().task().signal("approve", step="a").signal("reject", step="no such step")
    assert project("wf_job_1", history.facts).decisions == {}


def test_a_decision_after_a_cancellation_decides_nothing() -> None:
    history = History(job_input(step("a", "one", approval=Approval()))).task()
    history.add(f.ApprovalAsked, step="a", timer_id="1")
    history.add(f.CancelRequested, reason="")
    assert project("wf_job_1", history.signal("approve", step="a").facts).decisions == {}


def test_the_time_of_an_approval_is_over_once_a_worker_acted_on_its_timer() -> None:
    asked = History(job_input(step("a", "one", approval=Approval()))).task()
    asked.add(f.ApprovalAsked, step="a", timer_id="1")
    asked.add(f.ApprovalEnded, timer_id="1", expired=True)
    in_time = project("wf_job_1", [*asked.facts, *_later(asked).signal("approve", step="a", id="x").task().facts])
    assert in_time.decisions == {"a": "x"}
    late = _later(asked).task().signal("approve", step="a", id="x")
    assert project("wf_job_1", [*asked.facts, *late.facts]).decisions == {}


def _later(history: History) -> History:
    """A builder of what follows: the facts of `history` stay as they are."""
    later = History(history.job)
    later.facts.clear()
    later.number = history.number
    return later


def test_an_operators_pause_needs_no_input() -> None:
    assert project("wf_job_1", two_steps().task().signal("pause").facts, ATTENDED).state is JobState.PAUSED


def test_a_workflow_written_in_code_gives_a_signal_its_own_meaning() -> None:
    history = History(job_input(step("a", "one"), code=True)).task().signal("pause", actor="me")
    assert project("wf_job_1", history.facts, ATTENDED).state is JobState.RUNNING


def test_a_pause_before_the_first_task_holds_once_the_job_runs() -> None:
    history = two_steps().signal("pause", actor="me")
    assert project("wf_job_1", history.facts, ATTENDED).state is JobState.PENDING
    assert project("wf_job_1", history.task().facts, ATTENDED).state is JobState.PAUSED


def test_a_broken_workflow_task_is_stuck_until_one_succeeds() -> None:
    history = two_steps().task()
    history.add(f.WorkflowTaskBroken, cause="non_deterministic_error", message="history does not fit")
    job = project("wf_job_1", history.facts, ATTENDED)
    assert job.reason is not None
    assert job.reason.code is ReasonCode.STUCK
    assert "non_deterministic_error" in job.reason.message
    assert project("wf_job_1", history.task().facts, ATTENDED).reason.code is ReasonCode.RUNNING  # type: ignore[union-attr]


def test_a_worker_that_lacks_the_type_is_named_and_a_cancellation_does_not_wait_for_another() -> None:
    words = "Worker 7@here does not know workflow or agent 'x'; the job waits for a worker whose plugins have it."
    history = two_steps().task()
    history.add(f.WorkflowTaskBroken, cause="unknown_workflow", message=words, worker="7@here")
    reason = project("wf_job_1", history.facts, ATTENDED).reason
    assert reason is not None
    assert (reason.code, reason.message) == (ReasonCode.STUCK, words)
    assert [event.message for event in job_events("wf_job_1", history.facts) if event.name == "job.stuck"] == [words]
    history.add(f.CancelRequested, reason="")
    reason = project("wf_job_1", history.facts, ATTENDED).reason
    assert reason is not None
    assert (reason.code, reason.message) == (ReasonCode.CANCELLING, "Cancellation was requested.")


def test_cancelling_says_when_no_worker_is_there_to_end_it() -> None:
    history = two_steps().task()
    history.add(f.CancelRequested, reason="too dear")
    job = project("wf_job_1", history.facts, Pending(pollers=0))
    assert job.state is JobState.RUNNING
    assert job.reason is not None
    assert job.reason.code is ReasonCode.CANCELLING
    assert "too dear" in job.reason.message
    assert "no worker" in job.reason.message


def test_cancelling_says_when_the_workflows_own_code_cannot_end_it() -> None:
    history = two_steps().task()
    history.add(f.WorkflowTaskBroken, cause="non_deterministic_error", message="no")
    history.add(f.CancelRequested, reason="")
    reason = project("wf_job_1", history.facts, ATTENDED).reason
    assert reason is not None
    assert reason.code is ReasonCode.CANCELLING
    assert "non_deterministic_error" in reason.message
    assert "terminate it in Temporal" in reason.message


@pytest.mark.parametrize(
    ("end", "state", "word"),
    [
        ((f.RunFailed, {"error": JobError(type="step_failed", message="x")}), JobState.FAILED, "step_failed"),
        ((f.RunTimedOut, {}), JobState.TIMEOUT, "timeout"),
        ((f.RunCancelled, {}), JobState.CANCELLED, "cancelled"),
        ((f.RunTerminated, {"reason": "by hand", "identity": "ops"}), JobState.CANCELLED, "terminated"),
    ],
)
def test_every_other_end(end: tuple[type[f.Fact], dict[str, object]], state: JobState, word: str) -> None:
    history = two_steps().task().completed("a", "one")
    history.scheduled("a", "two")
    history.add(end[0], **end[1])
    job = project("wf_job_1", history.facts)
    assert (job.state, job.reason, job.progress) == (state, None, 33)
    assert job.error is not None
    assert job.error.type == word
    assert [call.status for call in job.calls] == [CallStatus.COMPLETED, CallStatus.CANCELLED, CallStatus.SKIPPED]


def test_a_continued_run_keeps_what_the_earlier_one_did() -> None:
    history = two_steps().task().completed("a", "one")
    history.continued().task().completed("a", "two")
    job = project("wf_job_1", history.facts, ATTENDED)
    assert (job.run_id, job.progress, job.state) == ("run-2", 66, JobState.RUNNING)
    assert job.created_at == START + timedelta(seconds=1)
    assert job.calls[0].status is CallStatus.COMPLETED


def test_the_job_survives_being_stored() -> None:
    history = two_steps().task().completed("a", "one")
    job = project("wf_job_1", history.facts, ATTENDED)
    assert type(job).model_validate(job.model_dump(mode="json")) == job


def test_a_call_that_an_operator_paused_in_temporal_is_not_called_running() -> None:
    history = two_steps().task()
    history.scheduled("a", "one")
    call = PendingCall(step="a", agent="one", started=False, attempt=1, paused=True)
    job = project("wf_job_1", history.facts, Pending(calls=(call,), pollers=1))
    assert job.reason is not None
    assert (job.reason.code, job.reason.agent) == (ReasonCode.PAUSED, "one")
    assert job.calls[0].status is CallStatus.SCHEDULED


def test_a_call_whose_end_is_not_written_yet_does_not_look_unstarted_again() -> None:
    history = two_steps().task()
    history.scheduled("a", "one")
    job = project("wf_job_1", history.facts, Pending(task_open=True, task_started=True, pollers=1))
    assert job.calls[0].status is CallStatus.RUNNING


def test_what_a_reset_undid_was_used_all_the_same() -> None:
    history = History(job_input(step("a", "one"), step("b", "two")), "run-1")
    history.task()
    history.number += 1
    history.run_id = "run-2"
    history.add(f.RunReset, base_run_id="run-1", reason="again")
    history.task().completed("a", "one", tokens=10)
    job = project("wf_job_1", history.facts)
    paid = Usage(prompt_tokens=5, completion_tokens=5, cost=0.25)
    done = {"status": AttemptStatus.COMPLETED, "started_at": START, "completed_at": START}
    rows = [
        ("a", "one", 1, Attempt(number=1, **done, usage=paid), "run-1"),
        ("a", "one", 1, Attempt(number=1, **done, usage=job.calls[0].usage), "run-2"),
        ("b", "two", 1, Attempt(number=1, **done, usage=paid), "run-1"),
        ("gone", "three", 1, Attempt(number=1, **done, usage=paid), "run-1"),
    ]
    report = with_attempts(job, rows)
    assert [call.usage for call in report.calls] == [job.calls[0].usage.plus(paid), paid]
    assert [len(call.attempts) for call in report.calls] == [1, 0]
    assert report.usage == job.usage.plus(paid).plus(paid).plus(paid)
    assert unwritten(job, rows) == []
    assert [one.number for _, one in unwritten(job, rows[:1])] == [1]
