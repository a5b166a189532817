import asyncio

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.commands import JobInput
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job, JobError, JobState
from orchestrator.domain.metrics import AgentHealth
from orchestrator.domain.usage import Usage
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository, JobRow
from orchestrator.testing import eventually
from tests.storage.rows import accepted, at, closed, job_input, task, tokens_since

USAGE = Usage(prompt_tokens=120, completion_tokens=30, cost=0.0018, provider_cost=None)


async def read(jobs: JobRepository, job_id: str = "wf_job_1") -> JobRow:
    row = await jobs.get(job_id)
    assert row is not None
    return row


async def complete(attempts: AttemptRepository, job, call: int, *, attempt: int = 1, begin: float = 1, end: float = 2):
    await attempts.started(task(job, call), attempt=attempt, at=at(begin))
    await attempts.ended(task(job, call), attempt=attempt, at=at(end), status=AttemptStatus.COMPLETED, usage=USAGE)


async def test_first_attempt_sets_the_job_running(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())

    await attempts.started(task(job, 0), attempt=1, at=at(3))
    await attempts.started(task(job, 1), attempt=1, at=at(4))

    row = await read(jobs)
    assert (row.state, row.started_at) == (JobState.RUNNING, at(3))


async def test_paused_job_stays_paused_while_a_call_begins(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    await jobs.set_state(job.job_id, JobState.PAUSED)

    await attempts.started(task(job, 0), attempt=1, at=at(3))

    row = await read(jobs)
    assert (row.state, row.started_at) == (JobState.PAUSED, at(3))


async def test_attempts_come_back_whole_and_in_order(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    error = JobError(type="provider_rate_limited", message="slow down", step="step_0", retryable=True)
    await attempts.started(task(job, 0), attempt=1, at=at(1))
    await attempts.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.FAILED, error=error)
    await complete(attempts, job, 1)
    await complete(attempts, job, 0, attempt=2, begin=5, end=9)

    rows = await attempts.for_job(job.job_id)

    assert rows == [
        ("step_0", "agent_0", 1, _attempt(1, AttemptStatus.FAILED, 1, 2, error=error), ""),
        ("step_0", "agent_0", 1, _attempt(2, AttemptStatus.COMPLETED, 5, 9, usage=USAGE), ""),
        ("step_1", "agent_1", 1, _attempt(1, AttemptStatus.COMPLETED, 1, 2, usage=USAGE), ""),
    ]
    assert await attempts.for_job("wf_job_unknown") == []


def _attempt(number: int, status: AttemptStatus, begin: float, end: float | None, **more) -> Attempt:
    return Attempt(
        number=number, status=status, started_at=at(begin), completed_at=None if end is None else at(end), **more
    )


async def test_running_attempt_is_unknown_once_a_later_one_begins(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    await attempts.started(task(job, 0), attempt=1, at=at(1))
    await attempts.started(task(job, 1), attempt=1, at=at(1))
    await attempts.started(task(job, 0), attempt=2, at=at(30))

    rows = await attempts.for_job(job.job_id)

    assert [(row.step, row.attempt.number, row.attempt.status) for row in rows] == [
        ("step_0", 1, AttemptStatus.UNKNOWN),
        ("step_0", 2, AttemptStatus.RUNNING),
        ("step_1", 1, AttemptStatus.RUNNING),
    ]


async def test_attempt_that_ends_late_still_reports_what_it_used(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    await attempts.started(task(job, 0), attempt=1, at=at(1))
    await attempts.started(task(job, 0), attempt=2, at=at(30))

    await attempts.ended(task(job, 0), attempt=1, at=at(31), status=AttemptStatus.CANCELLED, usage=USAGE)

    first, second = await attempts.for_job(job.job_id)
    assert (first.attempt.status, first.attempt.usage) == (AttemptStatus.CANCELLED, USAGE)
    assert second.attempt.status is AttemptStatus.RUNNING


async def test_end_without_a_start_is_kept(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())

    await attempts.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.COMPLETED, usage=USAGE)

    (row,) = await attempts.for_job(job.job_id)
    assert (row.attempt.started_at, row.attempt.completed_at, row.attempt.usage) == (None, at(2), USAGE)


async def test_running_attempts_of_a_closed_job_are_unknown(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    await attempts.started(task(job, 0), attempt=1, at=at(1))

    await closed(jobs, job.job_id, JobState.CANCELLED)

    (row,) = await attempts.for_job(job.job_id)
    assert row.attempt.status is AttemptStatus.UNKNOWN


async def test_attempts_of_a_job_without_a_row_are_kept(attempts: AttemptRepository):
    job = job_input("wf_job_lost")

    await complete(attempts, job, 0)

    (row,) = await attempts.for_job(job.job_id)
    assert row.attempt.status is AttemptStatus.COMPLETED


async def test_progress_counts_completed_calls_once_and_never_falls(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input(agents=3))
    await complete(attempts, job, 0)
    assert (await read(jobs)).progress == 33
    await complete(attempts, job, 0, attempt=2)
    assert (await read(jobs)).progress == 33
    await attempts.ended(task(job, 1), attempt=1, at=at(5), status=AttemptStatus.FAILED)
    assert (await read(jobs)).progress == 33
    await attempts.started(task(job, 0), attempt=1, at=at(6))
    await complete(attempts, job, 1, attempt=2)
    assert (await read(jobs)).progress == 66
    await complete(attempts, job, 2)
    assert (await read(jobs)).progress == 99

    await closed(jobs, job.job_id)
    assert (await read(jobs)).progress == 100


async def test_a_call_made_again_has_attempts_of_its_own(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input(agents=1))
    for number in (1, 2, 3):
        again = task(job, 0).model_copy(update={"call": number, "owner": "alice"})
        await attempts.started(again, attempt=1, at=at(number))
        await attempts.ended(again, attempt=1, at=at(number), status=AttemptStatus.FAILED, usage=USAGE)
        await attempts.started(again, attempt=2, at=at(number))
        await attempts.ended(again, attempt=2, at=at(9), status=AttemptStatus.COMPLETED, usage=USAGE)
    rows = await attempts.for_job(job.job_id)
    assert [(row.call, row.attempt.number) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    assert await tokens_since(attempts, "alice", at(0)) == 6 * 150


async def test_progress_is_of_the_calls_that_were_made_too(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input(agents=1))
    again = [task(job, 0).model_copy(update={"call": number}) for number in (1, 2, 3)]
    for each in again:
        await attempts.started(each, attempt=1, at=at(1))
    seen = []
    for each in again:
        await attempts.ended(each, attempt=1, at=at(2), status=AttemptStatus.COMPLETED)
        seen.append((await read(jobs)).progress)
    assert seen == [33, 66, 99]


async def test_failed_job_keeps_the_progress_that_it_reached(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input(agents=4))
    await complete(attempts, job, 0)
    await closed(jobs, job.job_id, JobState.FAILED, snapshot={"progress": 0, "state": "FAILED"})
    await complete(attempts, job, 1)

    assert (await read(jobs)).progress == 25


async def test_calls_that_end_at_once_are_all_counted(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input(agents=20))

    await asyncio.gather(*(complete(attempts, job, n) for n in range(19)))

    assert (await read(jobs)).progress == 95


@pytest.mark.parametrize("count", [2**63, -(2**63) - 1, 2**200])
async def test_counts_that_no_database_takes_are_logged_and_never_raised(
    jobs: JobRepository, attempts: AttemptRepository, count: int
):
    job = await accepted(jobs, job_input())
    usage = Usage(prompt_tokens=count)
    with capture_logs() as lines:
        await attempts.started(task(job, 0), attempt=1, at=at(1))
        await attempts.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.COMPLETED, usage=usage)
    failed = [(line["operation"], line["fault"]) for line in lines if line["event"] == "index_write_failed"]
    assert failed == [("ended", "InvalidInput")]


def _from_history(number: int, status: AttemptStatus, usage: Usage | None = None) -> tuple[AgentCall, Attempt]:
    """An attempt as the history of its job reports it."""
    call = AgentCall(
        step="step_0", agent="agent_0", run_id="run-1", title="Step 0", status=CallStatus.COMPLETED, scheduled_at=at(1)
    )
    return call, _attempt(number, status, 1, 5, usage=usage)


def _job_of(job: JobInput) -> Job:
    fields = job.model_dump(include={"kind", "definition", "name", "owner"})
    return Job(
        **fields,
        id=job.job_id,
        run_id="run-1",
        state=JobState.COMPLETED,
        progress=100,
        input={},
        config={},
        created_at=at(0),
    )


async def test_ends_that_history_alone_knows_are_billed_once(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    mine = task(job, 0).model_copy(update={"owner": "alice"})
    await attempts.started(mine, attempt=1, at=at(1), run_id="run-1")
    await closed(jobs, job.job_id, snapshot=None, events=None)
    assert [row.attempt.status for row in await attempts.for_job(job.job_id)] == [AttemptStatus.UNKNOWN]

    for _ in range(2):
        entries = [_from_history(1, AttemptStatus.COMPLETED, USAGE), _from_history(2, AttemptStatus.FAILED)]
        await attempts.repair(_job_of(job), entries)
        row, _ = await attempts.for_job(job.job_id)
        assert row.attempt == _attempt(1, AttemptStatus.COMPLETED, 1, 5, usage=USAGE)
        assert await tokens_since(attempts, "alice", at(0)) == 150


async def test_what_a_worker_wrote_of_an_end_stays(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    mine = task(job, 0).model_copy(update={"owner": "alice"})
    await attempts.ended(mine, attempt=1, at=at(2), status=AttemptStatus.FAILED, usage=USAGE, run_id="run-1")
    await attempts.repair(_job_of(job), [_from_history(1, AttemptStatus.FAILED)])
    assert await tokens_since(attempts, "alice", at(0)) == 150


async def test_health_of_an_agent(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    assert await attempts.agent_health("agent_0", since=at(0)) == AgentHealth(None, None, 0, 0)

    await complete(attempts, job, 0, attempt=1, begin=-50, end=-10)
    assert await attempts.agent_health("agent_0", since=at(0)) == AgentHealth(at(-50), None, 0, 0)

    await complete(attempts, job, 0, attempt=2, begin=1, end=2.5)
    await complete(attempts, job, 0, attempt=3, begin=10, end=11)
    await complete(attempts, job, 1, begin=20, end=99)
    for number, status in enumerate([AttemptStatus.FAILED, AttemptStatus.TIMED_OUT, AttemptStatus.CANCELLED], start=4):
        await attempts.started(task(job, 0), attempt=number, at=at(number * 10))
        await attempts.ended(task(job, 0), attempt=number, at=at(number * 10 + 5), status=status)
    await attempts.started(task(job, 0), attempt=7, at=at(80))

    health = await attempts.agent_health("agent_0", since=at(0))

    assert (health.last_execution, health.executions, health.failures) == (at(80), 4, 2)
    assert health.avg_response_time == pytest.approx(1.25, abs=0.001)


async def test_start_of_a_short_call_is_written_with_its_end(database: Database, jobs: JobRepository):
    patient = AttemptRepository(database, patience=60)
    job = await accepted(jobs, job_input())

    await patient.started(task(job, 0), attempt=1, at=at(1))
    assert await patient.for_job(job.job_id) == []
    await patient.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.COMPLETED, usage=USAGE)

    assert await patient.for_job(job.job_id) == [
        ("step_0", "agent_0", 1, _attempt(1, AttemptStatus.COMPLETED, 1, 2, usage=USAGE), "")
    ]
    row = await read(jobs)
    assert (row.state, row.started_at, row.progress) == (JobState.RUNNING, at(1), 50)


async def test_start_of_a_longer_call_is_written_before_its_end(database: Database, jobs: JobRepository):
    patient = AttemptRepository(database, patience=0.01)
    job = await accepted(jobs, job_input())

    await patient.started(task(job, 0), attempt=1, at=at(1))
    rows = await eventually(lambda: patient.for_job(job.job_id), bool)
    assert rows == [("step_0", "agent_0", 1, _attempt(1, AttemptStatus.RUNNING, 1, None), "")]
    await patient.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.FAILED)

    assert await patient.for_job(job.job_id) == [("step_0", "agent_0", 1, _attempt(1, AttemptStatus.FAILED, 1, 2), "")]


async def test_end_waits_for_a_start_that_is_being_written(database: Database, jobs: JobRepository):
    patient = AttemptRepository(database, patience=1e-6)
    job = await accepted(jobs, job_input())

    for number in range(1, 30):
        await patient.started(task(job, 0), attempt=number, at=at(number))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        await patient.ended(task(job, 0), attempt=number, at=at(number), status=AttemptStatus.FAILED)

    rows = await patient.for_job(job.job_id)
    assert [(row.attempt.number, row.attempt.status, row.attempt.started_at) for row in rows] == [
        (number, AttemptStatus.FAILED, at(number)) for number in range(1, 30)
    ]
