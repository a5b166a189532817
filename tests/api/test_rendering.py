"""The native job as the native API words it; no engine, no HTTP."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from api.v1.rendering import (
    job_detail,
    metrics,
    step_progress,
    step_statuses,
    workflow_accepted,
)
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import (
    AgentCall,
    CallStatus,
    Job,
    JobError,
    JobState,
    Reason,
    ReasonCode,
)
from orchestrator.domain.moments import stamp
from orchestrator.domain.usage import Usage
from orchestrator.services.jobs.start import Started
from tests.catalogue import WORKFLOWS
from tests.ledger import ledger

T0 = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
C = CallStatus


def job(**more: Any) -> Job:
    values: dict[str, Any] = {
        "id": "wf_job_1",
        "run_id": "run",
        "kind": JobKind.WORKFLOW,
        "definition": "t_three",
        "name": "T Three",
        "owner": "me",
        "state": JobState.RUNNING,
        "progress": 33,
        "input": {"a": 1},
        "config": JobConfig().model_dump(mode="json"),
        "created_at": T0,
        "started_at": T0 + timedelta(seconds=1),
    }
    return Job(**{**values, **more})


def call(
    step: str, status: CallStatus, agent: str = "x", begin: int | None = None, end: int | None = None
) -> AgentCall:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else T0 + timedelta(seconds=seconds)

    return AgentCall(step=step, agent=agent, title=step, status=status, started_at=at(begin), completed_at=at(end))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (JobState.PENDING, "queued"),
        (JobState.RUNNING, "running"),
        (JobState.PAUSED, "running"),
        (JobState.COMPLETED, "completed"),
        (JobState.FAILED, "failed"),
        (JobState.CANCELLED, "cancelled"),
        (JobState.TIMEOUT, "failed"),
    ],
)
@ledger("D-049")
def test_seven_states_are_five_words(state: JobState, status: str):
    detail = job_detail(job(state=state, closed_at=T0), None, "http://ui/1").model_dump()
    assert (detail["status"], detail["state"]) == (status, str(state))
    assert (detail["cancelled_at"] is not None) == (state is JobState.CANCELLED)


@pytest.mark.parametrize(
    ("kind", "present", "left_out"), [("agent", "agent_id", "workflow_id"), ("workflow", "workflow_id", "agent_id")]
)
@ledger("D-047")
def test_a_job_names_what_it_runs_once(kind: str, present: str, left_out: str):
    detail = job_detail(job(kind=JobKind(kind)), None, "http://ui/1").model_dump()
    assert detail[present] == "t_three"
    assert left_out not in detail
    assert detail["type"] == kind
    for explicit in ("output", "error", "completed_at", "cancelled_at", "webhook_url"):
        assert detail[explicit] is None


@ledger("D-004")
def test_times_are_utc_to_the_second():
    assert stamp(T0) == "2026-01-02T03:04:05Z"
    assert stamp(T0.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2026-01-02T03:04:05Z"


def test_an_unknown_price_is_null_and_an_open_job_has_no_duration():
    open_job = metrics(job(usage=Usage(prompt_tokens=450, completion_tokens=3092)))
    assert (open_job.total_tokens, open_job.cost, open_job.execution_time) == (3542, None, None)
    done = metrics(job(closed_at=T0 + timedelta(seconds=3.23456), usage=Usage(cost=0.042504)))
    assert (done.cost, done.execution_time) == (0.042504, 2.235)


def test_the_reason_of_an_open_job_is_reported_whole():
    error = JobError(type="provider_rate_limited", message="slow down")
    reason = Reason(
        code=ReasonCode.RETRYING,
        message="Attempt 2 starts at 03:05:00 UTC",
        step="a",
        agent="x",
        attempt=2,
        next_attempt_at=T0 + timedelta(seconds=55),
        last_error=error,
    )
    detail = job_detail(job(reason=reason), None, "http://ui/1").model_dump()["reason"]
    assert detail == {
        "code": "retrying",
        "message": "Attempt 2 starts at 03:05:00 UTC",
        "step": "a",
        "agent": "x",
        "attempt": 2,
        "next_attempt_at": "2026-01-02T03:05:00Z",
        "last_error": error.model_dump(),
    }


@pytest.mark.parametrize(
    ("done", "total", "percentage"), [(0, 6, 0), (2, 6, 33), (1, 3, 33), (2, 3, 66), (5, 6, 83), (6, 6, 100)]
)
@ledger("D-041", "C-33")
def test_step_progress_is_floored(done: int, total: int, percentage: int):
    calls = [call(f"s{n}", C.COMPLETED if n < done else C.PENDING) for n in range(total)]
    report = step_progress(job(calls=calls), planned=99)
    assert (report.current_step, report.total_steps, report.percentage) == (done, total, percentage)


def test_steps_of_a_plan_whose_calls_are_not_all_known_are_no_whole():
    done = job(calls=[call("s1", C.COMPLETED)])
    retried_job = done.model_copy(update={"exact": False, "progress": 12})
    assert step_progress(retried_job, planned=1).percentage == 12
    assert (
        step_progress(done.model_copy(update={"exact": False, "state": JobState.COMPLETED}), planned=1).percentage
        == 100
    )


@ledger("C-61")
def test_a_job_that_reports_no_steps_yet_has_the_planned_ones():
    assert step_progress(None, planned=6).model_dump() == {"current_step": 0, "total_steps": 6, "percentage": 0}
    assert step_progress(job(), planned=6).total_steps == 6


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ((C.COMPLETED, C.COMPLETED), "completed"),
        ((C.COMPLETED, C.RUNNING), "running"),
        ((C.COMPLETED, C.PENDING), "running"),
        ((C.RETRYING, C.SCHEDULED), "running"),
        ((C.SCHEDULED, C.SCHEDULED), "queued"),
        ((C.FAILED, C.RUNNING), "running"),
        ((C.FAILED, C.COMPLETED), "failed"),
        ((C.FAILED, C.CANCELLED), "failed"),
        ((C.CANCELLED, C.COMPLETED), "cancelled"),
        ((C.COMPLETED, C.SKIPPED), "cancelled"),
    ],
)
@ledger("D-042")
def test_a_step_is_what_its_calls_are(found: tuple[CallStatus, CallStatus], status: str):
    calls = [call("a", found[0], "x", begin=0, end=2), call("a", found[1], "y", begin=1, end=5)]
    [report] = step_statuses(job(calls=calls))
    assert (report.step, report.status, report.started_at) == ("a", status, T0)
    ended = status in {"completed", "failed", "cancelled"}
    assert report.completed_at == (T0 + timedelta(seconds=5) if ended else None)


@ledger("D-042")
def test_steps_that_have_not_begun_are_not_listed():
    calls = [call("a", C.COMPLETED, begin=0, end=1), call("b", C.RUNNING, begin=1), call("c", C.PENDING)]
    entries = [step.model_dump() for step in step_statuses(job(calls=calls))]
    assert entries == [
        {
            "step": "a",
            "status": "completed",
            "started_at": "2026-01-02T03:04:05Z",
            "completed_at": "2026-01-02T03:04:06Z",
        },
        {"step": "b", "status": "running", "started_at": "2026-01-02T03:04:06Z"},
    ]


def test_a_started_workflow_that_cannot_be_read_yet_is_reported_as_queued():
    started = Started("wf_job_1", JobKind.WORKFLOW, "t_three", T0, None, replayed=False)
    body = workflow_accepted(started, None, WORKFLOWS[0], 7).model_dump()
    assert body["status"] == "queued"
    assert body["progress"] == {"current_step": 0, "total_steps": 3, "percentage": 0}
    assert body["steps_status"] == []
    assert body["created_at"] == "2026-01-02T03:04:05Z"
