"""An agent's attempts are its own: what befalls its workers, or what they lack, uses up none of them."""

import uuid
from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.jobs import AttemptStatus, CallStatus, Job, JobState, ReasonCode
from orchestrator.domain.plans import Approval, RetryPolicy, Timeouts
from orchestrator.plugins import BUILT_IN
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.catalogue import AGENTS, CALLS, step, workflow

ONCE = RetryPolicy(initial_interval=0.05, maximum_attempts=1)
RELEASE = Plugin(
    name="release",
    agents=AGENTS,
    workflows=(
        workflow("t_waits", step("a", "t_echo", retry=ONCE)),
        workflow("t_waits_beside", step("a", "t_echo", short=True, retry=ONCE)),
        workflow("t_waits_long", step("a", "t_echo", retry=ONCE, timeouts=Timeouts(schedule_to_close=2))),
        workflow("t_approved", step("a", "t_echo", retry=ONCE, approval=Approval())),
        workflow("t_once", step("a", "t_slow", retry=ONCE)),
    ),
)
LACKING = [BUILT_IN]
COMPLETE = [BUILT_IN, RELEASE]


@pytest.fixture
def queue() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def attempts(job: Job) -> list[tuple[int, AttemptStatus]]:
    return [(one.number, one.status) for one in job.calls[0].attempts]


def unserved(job: Job) -> bool:
    return job.reason is not None and job.reason.code is ReasonCode.UNKNOWN_AGENT


@pytest.mark.parametrize("target", ["t_waits", "t_waits_beside"])
async def test_a_call_waits_for_a_worker_that_knows_its_agent(
    temporal_address: str, tmp_path: Path, queue: str, target: str
) -> None:
    async with running_engine(temporal_address, tmp_path, COMPLETE, worker=False, task_queue=queue) as engine:
        started = await engine.start(target, {})
        async with running_engine(temporal_address, tmp_path, LACKING, task_queue=queue) as old:
            job = await engine.eventually(started.job_id, unserved)
            assert job.state is JobState.RUNNING
            assert job.reason is not None
            assert job.reason.message.startswith(
                f"Worker {old.parts.backend.client.identity} does not know agent t_echo;"
            )
            assert job.reason.next_attempt_at is not None
            assert (job.calls[0].status, job.calls[0].attempts) == (CallStatus.RETRYING, [])
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(started.job_id)
    assert job.state is JobState.COMPLETED
    assert attempts(job) == [(1, AttemptStatus.COMPLETED)]


async def test_a_call_waits_longer_than_its_own_time(temporal_address: str, tmp_path: Path, queue: str) -> None:
    async with running_engine(temporal_address, tmp_path, COMPLETE, worker=False, task_queue=queue) as engine:
        started = await engine.start("t_waits_long", {})
        async with running_engine(temporal_address, tmp_path, LACKING, task_queue=queue):

            async def times_asked() -> int:
                events = await engine.services.follower.past(TESTER, started.job_id, None)
                return [event.name for event in events].count("agent.scheduled")

            await eventually(times_asked, lambda times: times >= 3)
            assert unserved(await engine.eventually(started.job_id, unserved))
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(started.job_id)
    assert job.state is JobState.COMPLETED
    assert attempts(job) == [(1, AttemptStatus.COMPLETED)]


async def test_a_list_shows_that_a_job_has_begun_once_it_was_read_before_its_first_call(
    temporal_address: str, tmp_path: Path, queue: str
) -> None:
    async with running_engine(temporal_address, tmp_path, COMPLETE, task_queue=queue) as engine:
        started = await engine.start("t_approved", {})
        job = await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["a"])
        await engine.services.reader.settle()
        (row,) = (await engine.services.reader.list(TESTER, JobFilter())).rows
        assert (row.state, job.state) == (JobState.RUNNING, JobState.RUNNING)


async def test_an_agent_that_a_release_removed_while_its_step_waited_is_waited_for(
    temporal_address: str, tmp_path: Path, queue: str
) -> None:
    async with running_engine(temporal_address, tmp_path, COMPLETE, worker=False, task_queue=queue) as engine:
        async with engine.parts.workers.for_jobs():
            started = await engine.start("t_approved", {})
            await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["a"])
        async with running_engine(temporal_address, tmp_path, LACKING, task_queue=queue):
            await engine.approve(started.job_id)
            assert (await engine.eventually(started.job_id, unserved)).state is JobState.RUNNING
        async with engine.parts.workers.for_jobs():
            assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


async def test_a_stopping_worker_uses_up_no_attempt(temporal_address: str, tmp_path: Path, queue: str) -> None:
    async with running_engine(
        temporal_address, tmp_path, COMPLETE, worker=False, task_queue=queue, worker_drain_seconds=0
    ) as engine:
        async with engine.parts.workers.for_jobs():
            started = await engine.start("t_once", {"seconds": 4})
            await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(started.job_id)
    assert job.state is JobState.COMPLETED
    assert attempts(job) == [(1, AttemptStatus.UNKNOWN), (2, AttemptStatus.COMPLETED)]
    assert job.calls[0].attempts[0].error is not None
    assert job.calls[0].attempts[0].error.type == "worker_shutdown"


async def test_a_draining_worker_lets_its_calls_end(temporal_address: str, tmp_path: Path, queue: str) -> None:
    async with running_engine(temporal_address, tmp_path, COMPLETE, worker=False, task_queue=queue) as engine:
        async with engine.parts.workers.for_jobs():
            started = await engine.start("t_once", {"seconds": 2})
            await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(started.job_id)
    assert attempts(job) == [(1, AttemptStatus.COMPLETED)]
    assert CALLS[f"{job.id}/a/t_slow"] == 1


async def test_the_last_failure_stays_one_that_another_attempt_could_help(engine: Engine) -> None:
    job = await engine.run("t_flaky", {"failures": 99})
    assert job.state is JobState.FAILED
    assert attempts(job) == [(number, AttemptStatus.FAILED) for number in range(1, 5)]
    assert job.calls[0].error is not None
    assert (job.calls[0].error.type, job.calls[0].error.retryable) == ("provider_unavailable", True)
