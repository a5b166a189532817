"""Rows of jobs and attempts that ended, written as they are: what metrics are counted from."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, JobState, StartState
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attempts, jobs
from tests.storage.rows import T0


def job_row(job_id: str, state: JobState = JobState.COMPLETED, *, seconds: float = 2, **more: Any) -> dict[str, Any]:
    """A job that was accepted, began half a second later, and ended `seconds` after that at `closed_at`, or is open."""
    closed_at: datetime | None = more.pop("closed_at", T0)
    begun = (closed_at or T0) - timedelta(seconds=seconds)
    return {
        "id": job_id,
        "kind": JobKind.WORKFLOW,
        "definition": "api_development",
        "name": "A job",
        "owner": "alice",
        "state": state,
        "progress": 0,
        "job_input": {},
        "request_hash": "",
        "start_state": StartState.STARTED,
        "total_calls": 1,
        "created_at": begun - timedelta(seconds=0.5),
        "started_at": begun,
        "closed_at": closed_at if state.terminal else None,
        "snapshot": {} if state.terminal else None,
        **more,
    }


def attempt_row(
    job_id: str, status: AttemptStatus = AttemptStatus.COMPLETED, *, seconds: float = 1, **more: Any
) -> dict[str, Any]:
    """An attempt of 20 tokens and a cent that ended at `completed_at`."""
    completed_at: datetime | None = more.pop("completed_at", T0)
    return {
        "job_id": job_id,
        "step": "a",
        "agent": "backend_developer",
        "call": 1,
        "attempt": 1,
        "status": status,
        "started_at": (completed_at or T0) - timedelta(seconds=seconds),
        "completed_at": completed_at,
        "prompt_tokens": 15,
        "completion_tokens": 5,
        "cost": 0.01,
        "owner": "alice",
        **more,
    }


async def write(database: Database, *, job_rows: list[dict[str, Any]] = (), attempt_rows: list[dict[str, Any]] = ()):
    """Insert them all."""

    def insert_all(connection):
        if job_rows:
            connection.execute(insert(jobs), list(job_rows))
        if attempt_rows:
            connection.execute(insert(attempts), list(attempt_rows))

    await database.transaction(insert_all)
