"""How a call's tries are counted, and what a status reports of them: the agent's own attempts, signs of life, waits."""

from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from orchestrator.domain import facts as f
from orchestrator.domain.facts import Pending, PendingCall
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobError, JobState, Reason, ReasonCode
from orchestrator.domain.plans import RetryPolicy
from orchestrator.domain.tally import Tally
from orchestrator.projection.call_facts import pending_call
from orchestrator.projection.facts import fact_of
from orchestrator.projection.job import project
from tests.unit.histories import START, History, job_input, step

UNKNOWN = JobError(type="unknown_agent", message="Worker 7@here does not know agent one; it waits.", retryable=True)
BUSY = JobError(type="provider_busy", message="busy", retryable=True)


def started() -> History:
    history = History(job_input(step("a", "one"))).task()
    history.scheduled("a", "one")
    return history


def reason_of(call: PendingCall, **pending: object) -> Reason:
    job = project("wf_job_1", started().facts, Pending(calls=(call,), pollers=1, **pending))  # type: ignore[arg-type]
    assert job.reason is not None
    return job.reason


def json(text: str) -> Payloads:
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=text.encode())])


@pytest.mark.parametrize(("seconds", "code"), [(2, ReasonCode.RUNNING), (9, ReasonCode.NO_WORKER)])
def test_a_call_runs_on_in_a_worker_that_takes_nothing_new(seconds: int, code: ReasonCode) -> None:
    call = PendingCall(step="a", agent="one", started=True, attempt=1, heard_at=START)
    pending = Pending(calls=(call,), pollers=0, at=START + timedelta(seconds=seconds))
    reason = project("wf_job_1", started().facts, pending).reason
    assert reason is not None
    assert reason.code is code


@pytest.mark.parametrize(("seconds", "code"), [(4, ReasonCode.RUNNING), (9, ReasonCode.NO_SIGN_OF_LIFE)])
def test_a_call_runs_as_long_as_its_worker_gives_signs_of_life(seconds: int, code: ReasonCode) -> None:
    call = PendingCall(step="a", agent="one", started=True, attempt=1, heard_at=START)
    reason = reason_of(call, at=START + timedelta(seconds=seconds))
    assert (reason.code, reason.step, reason.agent) == (code, "a", "one")


def test_the_reason_names_the_age_of_the_last_sign_of_life() -> None:
    quiet = PendingCall(step="a", agent="one", started=True, attempt=2, heard_at=START, last_error=BUSY)
    reason = reason_of(quiet, at=START + timedelta(seconds=9, milliseconds=700))
    assert reason.message.startswith("No sign of life from one for 9 s;")
    assert (reason.attempt, reason.last_error) == (2, BUSY)


def test_a_call_that_waits_for_its_next_attempt_need_not_give_signs_of_life() -> None:
    late = PendingCall(step="a", agent="one", started=False, attempt=2, heard_at=START, last_error=BUSY)
    assert reason_of(late, at=START + timedelta(hours=1)).code is ReasonCode.RETRYING


HELD = JobError(type="tokens_held", message="The call waits for tokens that other calls hold.", retryable=True)


def test_a_job_whose_calls_all_wait_for_tokens_says_so_and_began_no_attempt() -> None:
    due = START + timedelta(seconds=5)
    call = PendingCall(step="a", agent="one", started=False, attempt=1, next_attempt_at=due, last_error=HELD)
    job = project("wf_job_1", started().facts, Pending(calls=(call,), pollers=1))
    assert job.reason is not None
    assert (job.reason.code, job.reason.message) == (ReasonCode.QUEUED, HELD.message)
    assert (job.reason.step, job.reason.agent, job.reason.next_attempt_at) == ("a", "one", due)
    assert job.calls[0].attempts == []


def test_a_job_with_a_call_that_runs_does_not_wait_for_tokens() -> None:
    waits = PendingCall(step="a", agent="one", started=False, attempt=1, last_error=HELD)
    runs = PendingCall(step="b", agent="two", started=True, attempt=1)
    job = project("wf_job_1", started().facts, Pending(calls=(waits, runs), pollers=1))
    assert job.reason is not None
    assert job.reason.code is ReasonCode.RUNNING
    late = PendingCall(step="b", agent="two", started=False, attempt=2, last_error=BUSY)
    job = project("wf_job_1", started().facts, Pending(calls=(waits, late), pollers=1))
    assert job.reason is not None
    assert (job.reason.code, job.reason.agent) == (ReasonCode.RETRYING, "two")


def test_the_time_that_a_call_waits_for_tokens_is_handed_on_and_ends_with_an_attempt() -> None:
    first = Tally().waits_for_tokens(START).after("waited")
    body = Tally.of({"tally": first.model_dump(mode="json")})
    assert body == first
    later = START + timedelta(seconds=6)
    assert (first.waited_for_tokens(later), first.token_wait(START), first.token_wait(later)) == (later - START, 1, 3)
    again = first.before(2, None).waits_for_tokens(later)
    assert again.token_wait(START + timedelta(hours=1)) == 5
    assert (again.for_tokens_since, again.attempts) == (START, 0)
    assert again.after("failed").for_tokens_since is None
    assert "for_tokens_since" not in Tally().model_dump()


def test_a_call_that_no_worker_knows_says_so_and_began_no_attempt() -> None:
    due = START + timedelta(minutes=1)
    call = PendingCall(step="a", agent="one", started=False, attempt=1, next_attempt_at=due, last_error=UNKNOWN)
    job = project("wf_job_1", started().facts, Pending(calls=(call,), pollers=1))
    assert job.state is JobState.RUNNING
    assert job.reason is not None
    assert (job.reason.code, job.reason.message) == (ReasonCode.UNKNOWN_AGENT, UNKNOWN.message)
    assert (job.reason.step, job.reason.agent, job.reason.next_attempt_at) == ("a", "one", due)
    assert (job.calls[0].status, job.calls[0].attempts) == (CallStatus.RETRYING, [])


def test_what_a_worker_without_the_agent_says_is_not_how_an_attempt_ended() -> None:
    call = PendingCall(step="a", agent="one", started=False, attempt=2, last_error=UNKNOWN)
    job = project("wf_job_1", started().facts, Pending(calls=(call,), pollers=1))
    assert [(one.status, one.error) for one in job.calls[0].attempts] == [(AttemptStatus.UNKNOWN, None)]


def test_a_stopped_workers_attempt_is_no_failure() -> None:
    stopped = JobError(type="worker_shutdown", message="stopped", retryable=True)
    call = PendingCall(step="a", agent="one", started=True, attempt=2, last_error=stopped)
    job = project("wf_job_1", started().facts, Pending(calls=(call,), pollers=1))
    assert [one.status for one in job.calls[0].attempts] == [AttemptStatus.UNKNOWN, AttemptStatus.RUNNING]


def test_temporals_tries_are_reported_as_the_agents_attempts() -> None:
    info = PendingActivityInfo(activity_id="a.one", attempt=9)
    assert (call := pending_call(info))
    assert call.attempt == 9
    info.heartbeat_details.CopyFrom(json('{"chars":1,"tally":{"tries":7,"attempts":2}}'))
    assert (call := pending_call(info))
    assert call.attempt == 4


def test_a_call_whose_tries_an_operator_set_back_goes_on_counting() -> None:
    info = PendingActivityInfo(activity_id="a.one", attempt=1)
    info.heartbeat_details.CopyFrom(json('{"chars":1,"tally":{"tries":7,"attempts":5}}'))
    assert (call := pending_call(info))
    assert call.attempt == 6


@pytest.mark.parametrize("report", ["7", '{"chars":1}', '{"tally":{"tries":"many"}}', '{"tally":3}', "no json"])
def test_details_that_are_no_tally_are_passed_over(report: str) -> None:
    info = PendingActivityInfo(activity_id="a.one", attempt=3)
    info.heartbeat_details.CopyFrom(json(report))
    assert (call := pending_call(info))
    assert call.attempt == 3


def failed(details: str) -> f.AgentFailed:
    event = HistoryEvent(event_id=9, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
    failure = event.activity_task_failed_event_attributes.failure
    failure.message = "no"
    failure.application_failure_info.type = "provider_busy"
    failure.application_failure_info.non_retryable = True
    failure.application_failure_info.details.CopyFrom(json(details))
    fact = fact_of(event, "run-1")
    assert isinstance(fact, f.AgentFailed)
    return fact


def test_the_last_failure_of_all_reports_its_attempts_and_that_another_could_have_helped() -> None:
    fact = failed('{"tally":{"tries":9,"attempts":3,"failures":2},"retryable":true}')
    assert (fact.tally, fact.error.retryable) == (Tally(tries=9, attempts=3, failures=2), True)
    history = started()
    history.add(f.AgentStarted, scheduled_id=history.number, attempt=9, last_error=None)
    history.add(f.AgentFailed, scheduled_id=history.number - 1, error=fact.error, tally=fact.tally, timed_out=False)
    assert [one.number for one in project("wf_job_1", history.facts).calls[0].attempts] == [1, 2, 3]


@pytest.mark.parametrize("details", ['{"of":"an author"}', "no json", '{"tally":{},"retryable":false}'])
def test_other_final_failures_are_final(details: str) -> None:
    assert not failed(details).error.retryable


def test_a_call_that_ran_out_of_time_is_counted_by_its_last_heartbeat() -> None:
    event = HistoryEvent(event_id=9, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
    about = event.activity_task_timed_out_event_attributes.failure.timeout_failure_info
    about.last_heartbeat_details.CopyFrom(json('{"chars":1,"tally":{"tries":40,"attempts":1}}'))
    fact = fact_of(event, "run-1")
    assert isinstance(fact, f.AgentFailed)
    history = started()
    history.add(f.AgentFailed, scheduled_id=history.number, error=BUSY, tally=fact.tally, timed_out=True)
    assert [one.number for one in project("wf_job_1", history.facts).calls[0].attempts] == [1]


@pytest.mark.parametrize(
    ("cause", "attempts"), [("died", 2), ('{"tally":{"tries":41,"attempts":2}}', 2), ("no json", 1), ("", 1)]
)
def test_a_call_whose_time_ends_between_two_tries_is_counted_by_the_error_of_the_last_one(
    cause: str, attempts: int
) -> None:
    event = HistoryEvent(event_id=9, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
    failure = event.activity_task_timed_out_event_attributes.failure
    failure.timeout_failure_info.last_heartbeat_details.CopyFrom(json('{"tally":{"tries":40,"attempts":1}}'))
    if cause == "died":
        failure.cause.timeout_failure_info.timeout_type = TimeoutType.TIMEOUT_TYPE_HEARTBEAT
    elif cause:
        failure.cause.application_failure_info.details.CopyFrom(json(cause))
    fact = fact_of(event, "run-1")
    assert isinstance(fact, f.AgentFailed)
    assert fact.tally is not None
    assert fact.tally.attempts == attempts


def test_pauses_grow_with_the_agents_own_failures() -> None:
    policy = RetryPolicy(initial_interval=1, backoff_coefficient=3, maximum_interval=10)
    assert [policy.pause(failures) for failures in (1, 2, 3, 100)] == [1, 3, 9, 10]


def test_an_initial_interval_above_the_maximum_is_the_longest_one():
    policy = RetryPolicy(initial_interval=600, maximum_attempts=3)
    assert [policy.pause(failures) for failures in (1, 2)] == [600, 600]
    assert policy.longest_interval == 600


def test_a_broken_workflow_task_names_its_worker() -> None:
    history = started()
    history.add(f.WorkflowTaskBroken, cause="non_deterministic_error", message="no class", worker="7@here")
    reason = project("wf_job_1", history.facts, Pending(pollers=1)).reason
    assert reason is not None
    assert "worker 7@here" in reason.message


def test_stopping_workers_are_counted_in_a_row_and_leave_ever_longer_pauses() -> None:
    tally, waits = Tally(), []
    for _ in range(10):
        tally = tally.after("stopped")
        waits.append(tally.stopped_wait)
    assert tally.stopped == 10
    assert waits == [1, 1, 1, 5, 10, 20, 40, 60, 60, 60]
    assert tally.after("waited").stopped == 10
    assert [tally.after(end).stopped for end in ("failed", "unkept", "held")] == [0, 0, 0]
    assert tally.failures == 0


def test_a_call_that_its_worker_does_not_know_is_offered_to_others_each_second_at_first() -> None:
    tally, waits = Tally(attempts=2, tries=2), []
    for _ in range(20):
        waits.append(tally.wait)
        tally = tally.after("waited")
    assert waits[:11] == [1] * 11
    assert waits[11:14] == [1.5, 2.25, 3.375]
    assert waits[-1] == 30


def test_a_tally_keeps_what_attempts_without_an_answer_have_cost() -> None:
    first = Tally().billed(0.25).after("failed").billed(None).after("failed").billed(0.5)
    passed_on = Tally.of({"tally": first.model_dump(mode="json")})

    assert passed_on is not None
    assert passed_on.before(3, None).usd == 0.75
    assert passed_on.before(1, None).usd == 0.75
