"""Sums over the whole index for Prometheus, cheap enough for every scrape."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, not_, or_, select, union_all

from orchestrator.domain.jobs import FAILED_ATTEMPTS, OPEN_STATES, UNPAUSED_STATES, AttemptStatus, JobState
from orchestrator.domain.metrics import DURATIONS, WAITS, Gate, IndexTotals, Standing, TimeSpan
from orchestrator.storage.database import Database
from orchestrator.storage.pruned_tables import pruned_attempts, pruned_deliveries, pruned_delivery_attempts, pruned_jobs
from orchestrator.storage.sums import attempt_sums, job_sums
from orchestrator.storage.tables import (
    attempts,
    deliveries,
    delivery_attempts,
    jobs,
)

_OVER: Final = (AttemptStatus.COMPLETED, *sorted(FAILED_ATTEMPTS))


class FiguresRepository:
    """Reads the figures that operators watch. Raises `Unavailable`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tally(self, window: TimeSpan) -> IndexTotals:
        """Sums of the jobs with a final snapshot and of the attempts that ended in a window.

        An unbounded window reads two whole indices.
        """
        jobs_query, attempts_query = _ended_jobs(window), _ended_attempts(window)

        def read(connection: Connection) -> IndexTotals:
            tally = IndexTotals()
            for jobs_row in connection.execute(jobs_query):
                tally.jobs[jobs_row.kind, jobs_row.definition, jobs_row.state] += jobs_row.number
                if jobs_row.duration is not None:
                    tally.durations[jobs_row.kind, DURATIONS[jobs_row.duration]] += jobs_row.number
                    tally.duration_ms[jobs_row.kind] += int(jobs_row.duration_ms)
                if jobs_row.wait is not None:
                    tally.waits[jobs_row.kind, WAITS[jobs_row.wait]] += jobs_row.number
                    tally.wait_ms[jobs_row.kind] += int(jobs_row.wait_ms)
            for attempts_row in connection.execute(attempts_query):
                tally.steps[attempts_row.agent, attempts_row.status] += attempts_row.number
                tally.tokens[attempts_row.agent, "prompt"] += attempts_row.prompt or 0
                tally.tokens[attempts_row.agent, "completion"] += attempts_row.completion or 0
                if attempts_row.micro_usd is not None:
                    tally.micro_usd[attempts_row.agent] += int(attempts_row.micro_usd)
            return tally

        return await self._db.autocommit(read)

    async def standing(self, gates: Sequence[Gate], *, quiet_since: datetime) -> Standing:
        """The current state. An open job is stalled if nothing has happened to it since a time, unless it is paused or
        waits at one of `gates`."""
        open_jobs = select(jobs.c.state, func.count(), func.min(jobs.c.created_at)).where(
            jobs.c.state.in_(sorted(OPEN_STATES))
        )
        stalled = _stalled(gates, quiet_since)
        by_event = select(deliveries.c.event, deliveries.c.state, func.count().label("number"))
        by_verdict = select(delivery_attempts.c.verdict, func.count().label("number"))
        deliveries_query = _with(
            by_event.group_by(deliveries.c.event, deliveries.c.state), select(*pruned_deliveries.c)
        )
        attempts_query = _with(by_verdict.group_by(delivery_attempts.c.verdict), select(*pruned_delivery_attempts.c))

        def read(connection: Connection) -> Standing:
            states = connection.execute(open_jobs.group_by(jobs.c.state)).all()
            by_state: Counter[tuple[str, str]] = Counter()
            for event, state, number in connection.execute(deliveries_query):
                by_state[event, state] += number
            verdicts: Counter[str] = Counter()
            for verdict, number in connection.execute(attempts_query):
                verdicts[verdict] += number
            return Standing(
                open={state: count for state, count, _ in states},
                oldest=min((oldest for _, _, oldest in states), default=None),
                stalled=connection.execute(stalled).scalar_one(),
                deliveries=dict(by_state),
                delivery_attempts=dict(verdicts),
            )

        return await self._db.autocommit(read)


def _within(moment: ColumnElement[Any], window: TimeSpan) -> ColumnElement[bool]:
    before = moment < window.until
    return before if window.since is None else and_(before, moment >= window.since)


def _ended_jobs(window: TimeSpan) -> Select[Any]:
    # The final snapshot may still correct a row's times and state, and a counter must never fall.
    unsettled = select(jobs.c.id).where(jobs.c.snapshot.is_(None))
    query = job_sums(_within(jobs.c.closed_at, window), jobs.c.id.not_in(unsettled))
    if window.since is not None:
        return query
    missing = -1
    bucket = (func.nullif(pruned_jobs.c[name], missing).label(name) for name in ("duration", "wait"))
    sums = (pruned_jobs.c[name] for name in ("number", "duration_ms", "wait_ms"))
    return _with(query, select(pruned_jobs.c.kind, pruned_jobs.c.definition, pruned_jobs.c.state, *bucket, *sums))


def _ended_attempts(window: TimeSpan) -> Select[Any]:
    query = attempt_sums(_within(attempts.c.completed_at, window))
    return query if window.since is not None else _with(query, select(*pruned_attempts.c))


def _with(present: Select[Any], pruned: Select[Any]) -> Select[Any]:
    """Unite both in one statement, which reads rows that are pruned meanwhile on one side and never on both."""
    return select(union_all(present, pruned).subquery())


def _stalled(gates: Sequence[Gate], quiet_since: datetime) -> Select[int]:
    of_job = attempts.c.job_id == jobs.c.id
    has_moved = exists().where(
        of_job, or_(attempts.c.started_at >= quiet_since, attempts.c.completed_at >= quiet_since)
    )
    return (
        select(func.count())
        .select_from(jobs)
        .where(
            jobs.c.state.in_(sorted(UNPAUSED_STATES)),
            jobs.c.created_at < quiet_since,
            or_(jobs.c.started_at.is_(None), jobs.c.started_at < quiet_since),
            not_(has_moved),
            *(not_(_waits_at(gate)) for gate in gates),
        )
    )


def _waits_at(gate: Gate) -> ColumnElement[bool]:
    """Whether every call before an approval step has ended and the step has not begun: the job waits for a person."""
    of_job = attempts.c.job_id == jobs.c.id
    has_begun = exists().where(of_job, attempts.c.step == gate.step)
    calls_ended = (
        exists().where(of_job, attempts.c.step == step, attempts.c.agent == agent, attempts.c.status.in_(_OVER))
        for step, agent in gate.calls
    )
    return and_(jobs.c.definition == gate.definition, jobs.c.state == JobState.RUNNING, not_(has_begun), *calls_ended)
