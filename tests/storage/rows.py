"""Jobs and tasks for the storage tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.commands import AgentTask, JobInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.plans import Plan, Step
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.token_use import _BILLED_SINCE

T0 = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def job_input(job_id: str = "wf_job_1", *, agents: int = 2, **more: Any) -> JobInput:
    """A job of one step per agent: agent_0 in step_0, agent_1 in step_1, …"""
    steps = tuple(
        Step(id=f"step_{n}", name=f"Step {n}", squad="backend", agents=(f"agent_{n}",)) for n in range(agents)
    )
    fields: dict[str, Any] = {
        "job_id": job_id,
        "kind": JobKind.WORKFLOW,
        "definition": "api_development",
        "name": "API development",
        "owner": "alice",
        "input": {"z": 1, "a": ["ü", None, "nul \0"], "deep": {"b": 0.5}},
        "plan": Plan(steps=steps),
        "webhook_url": "https://example.com/hook",
    }
    return JobInput(**(fields | more))


def task(job: JobInput, call: int) -> AgentTask:
    """The task of the job's call number `call`."""
    step = job.plan.steps[call]
    return AgentTask(
        job_id=job.job_id,
        definition=job.definition,
        kind=job.kind,
        step=step,
        agent=step.agents[0],
        input=job.input,
    )


async def accepted(jobs: JobRepository, job: JobInput, seconds: float = 0) -> JobInput:
    assert await jobs.accept(job, request_hash="hash", at=at(seconds)) is None
    return job


async def closed(jobs: JobRepository, job_id: str, state: JobState = JobState.COMPLETED, **more: Any) -> bool:
    fields: dict[str, Any] = {
        "snapshot": {"id": job_id, "state": state.value, "progress": 100, "result": {"output": "done"}},
        "events": [{"type": "job_completed"}],
        "result": {"output": "done"},
        "error": None if state is JobState.COMPLETED else JobError(type="step_failed", message="no"),
        "run_id": "run-1",
        "at": at(60),
    }
    return await jobs.close(job_id, state=state, **(fields | more))


async def tokens_since(attempts: AttemptRepository, owner: str, since: datetime) -> int:
    """The tokens billed to an owner for attempts that ended since a time, as the limit of the month counts them."""
    billed = {"this_owner": owner, "since": since}
    return await attempts._db.autocommit(lambda connection: int(connection.execute(_BILLED_SINCE, billed).scalar_one()))
