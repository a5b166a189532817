"""Fills in what history forgets: the times and errors of attempts that were tried again (from the index rows)."""

from collections.abc import Iterable

from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, Job

Row = tuple[str, str, Attempt]


def with_attempts(job: Job, rows: Iterable[Row]) -> Job:
    """The job with its attempts completed from the attempt rows; where both know a thing, history wins."""
    known = {(step, agent, attempt.number): attempt for step, agent, attempt in rows}
    if not known:
        return job
    return job.model_copy(update={"calls": [_complete(call, known) for call in job.calls]})


def _complete(call: AgentCall, known: dict[tuple[str, str, int], Attempt]) -> AgentCall:
    merged = [_merge(one, known.get((call.step, call.agent, one.number))) for one in call.attempts]
    return call.model_copy(update={"attempts": merged})


def _merge(told: Attempt, row: Attempt | None) -> Attempt:
    if row is None:
        return told
    status = told.status
    if status is AttemptStatus.UNKNOWN and row.status is not AttemptStatus.RUNNING:
        status = row.status
    return Attempt(
        number=told.number,
        status=status,
        started_at=row.started_at or told.started_at,
        completed_at=told.completed_at or row.completed_at,
        error=told.error or row.error,
        usage=row.usage,
    )
