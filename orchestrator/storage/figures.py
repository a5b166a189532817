"""Sums over the whole index, for Prometheus: cheap enough to be read at every scrape."""

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
    """Reads what operators watch. Raises `Unavailable`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tally(self, window: TimeSpan) -> IndexTotals:
        """Jobs, once their final snapshot is there, and attempts that ended in a window.

        All of time costs a pass over their indices.
        """
        ended, called = _ended_jobs(window), _ended_attempts(window)

        def read(connection: Connection) -> IndexTotals:
            tally = IndexTotals()
            for job in connection.execute(ended):
                tally.jobs[job.kind, job.definition, job.state] += job.number
                if job.duration is not None:
                    tally.durations[job.kind, DURATIONS[job.duration]] += job.number
                    tally.duration_ms[job.kind] += int(job.duration_ms)
                if job.wait is not None:
                    tally.waits[job.kind, WAITS[job.wait]] += job.number
                    tally.wait_ms[job.kind] += int(job.wait_ms)
            for call in connection.execute(called):
                tally.steps[call.agent, call.status] += call.number
                tally.tokens[call.agent, "prompt"] += call.prompt or 0
                tally.tokens[call.agent, "completion"] += call.completion or 0
                if call.micro_usd is not None:
                    tally.micro_usd[call.agent] += int(call.micro_usd)
            return tally

        return await self._db.autocommit(read)

    async def standing(self, gates: Sequence[Gate], *, quiet_since: datetime) -> Standing:
        """What is there now. An open job counts as stalled if nothing has happened to it since a time, unless it is
        paused or one of `gates` is next."""
        opened = select(jobs.c.state, func.count(), func.min(jobs.c.created_at)).where(
            jobs.c.state.in_(sorted(OPEN_STATES))
        )
        stalled = _stalled(gates, quiet_since)
        by_event = select(deliveries.c.event, deliveries.c.state, func.count().label("number"))
        by_verdict = select(delivery_attempts.c.verdict, func.count().label("number"))
        events = _with(by_event.group_by(deliveries.c.event, deliveries.c.state), select(*pruned_deliveries.c))
        tries = _with(by_verdict.group_by(delivery_attempts.c.verdict), select(*pruned_delivery_attempts.c))

        def read(connection: Connection) -> Standing:
            states = connection.execute(opened.group_by(jobs.c.state)).all()
            ended: Counter[tuple[str, str]] = Counter()
            for event, state, number in connection.execute(events):
                ended[event, state] += number
            verdicts: Counter[str] = Counter()
            for verdict, number in connection.execute(tries):
                verdicts[verdict] += number
            return Standing(
                open={state: count for state, count, _ in states},
                oldest=min((oldest for _, _, oldest in states), default=None),
                stalled=connection.execute(stalled).scalar_one(),
                deliveries=dict(ended),
                delivery_attempts=dict(verdicts),
            )

        return await self._db.autocommit(read)


def _within(moment: ColumnElement[Any], window: TimeSpan) -> ColumnElement[bool]:
    before = moment < window.until
    return before if window.since is None else and_(before, moment >= window.since)


def _ended_jobs(window: TimeSpan) -> Select[Any]:
    # The final snapshot may still mend a row's times and state; what only grows must not be taken back.
    unsettled = select(jobs.c.id).where(jobs.c.snapshot.is_(None))
    ended = job_sums(_within(jobs.c.closed_at, window), jobs.c.id.not_in(unsettled))
    if window.since is not None:
        return ended
    missing = -1
    bucket = (func.nullif(pruned_jobs.c[name], missing).label(name) for name in ("duration", "wait"))
    sums = (pruned_jobs.c[name] for name in ("number", "duration_ms", "wait_ms"))
    return _with(ended, select(pruned_jobs.c.kind, pruned_jobs.c.definition, pruned_jobs.c.state, *bucket, *sums))


def _ended_attempts(window: TimeSpan) -> Select[Any]:
    ended = attempt_sums(_within(attempts.c.completed_at, window))
    return ended if window.since is not None else _with(ended, select(*pruned_attempts.c))


def _with(ended: Select[Any], pruned: Select[Any]) -> Select[Any]:
    """Both, in one statement: rows that are pruned meanwhile are seen on one side of it and never on both."""
    return select(union_all(ended, pruned).subquery())


def _stalled(gates: Sequence[Gate], quiet_since: datetime) -> Select[int]:
    of_job = attempts.c.job_id == jobs.c.id
    moved = exists().where(of_job, or_(attempts.c.started_at >= quiet_since, attempts.c.completed_at >= quiet_since))
    return (
        select(func.count())
        .select_from(jobs)
        .where(
            jobs.c.state.in_(sorted(UNPAUSED_STATES)),
            jobs.c.created_at < quiet_since,
            or_(jobs.c.started_at.is_(None), jobs.c.started_at < quiet_since),
            not_(moved),
            *(not_(_waits_at(gate)) for gate in gates),
        )
    )


def _waits_at(gate: Gate) -> ColumnElement[bool]:
    """Whether everything before an approval step is over, and the step has not begun: then a person is asked."""
    of_job = attempts.c.job_id == jobs.c.id
    begun = exists().where(of_job, attempts.c.step == gate.step)
    done = (
        exists().where(of_job, attempts.c.step == step, attempts.c.agent == agent, attempts.c.status.in_(_OVER))
        for step, agent in gate.calls
    )
    return and_(jobs.c.definition == gate.definition, jobs.c.state == JobState.RUNNING, not_(begun), *done)
