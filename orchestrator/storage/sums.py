"""Sums over ended jobs and attempts: over a window for the metrics, over a batch of rows for pruning."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal_column, select

from orchestrator.domain.metrics import DURATIONS, WAITS
from orchestrator.storage.moments import Seconds
from orchestrator.storage.tables import attempts, jobs


def job_sums(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Jobs by labels and by the buckets of their duration and wait. The bucket of a missing time is null."""
    columns = (
        jobs.c.kind,
        jobs.c.definition,
        jobs.c.state,
        _not_negative(Seconds(jobs.c.started_at, jobs.c.closed_at)).label("duration"),
        _not_negative(Seconds(jobs.c.created_at, jobs.c.started_at)).label("wait"),
    )
    # Materialized, because SQLite would compute the seconds again for each bucket.
    timed = select(*columns).where(*conditions).cte("timed").prefix_with("MATERIALIZED")
    labels = (
        timed.c.kind,
        timed.c.definition,
        timed.c.state,
        _bucket(timed.c.duration, DURATIONS).label("duration"),
        _bucket(timed.c.wait, WAITS).label("wait"),
    )
    return select(
        *labels,
        func.count().label("number"),
        func.sum(func.round(timed.c.duration * 1000)).label("duration_ms"),
        func.sum(func.round(timed.c.wait * 1000)).label("wait_ms"),
    ).group_by(*(literal_column(str(number)) for number in range(1, len(labels) + 1)))


def attempt_sums(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Attempts by agent and status, with their tokens and their cost in millionths of a dollar."""
    return (
        select(
            attempts.c.agent,
            attempts.c.status,
            func.count().label("number"),
            func.sum(attempts.c.prompt_tokens).label("prompt"),
            func.sum(attempts.c.completion_tokens).label("completion"),
            func.sum(func.round(attempts.c.cost * 1_000_000)).label("micro_usd"),
        )
        .where(*conditions)
        .group_by(attempts.c.agent, attempts.c.status)
    )


def _not_negative(seconds: ColumnElement[float]) -> ColumnElement[float]:
    # The clocks of different machines may disagree.
    return case((seconds < 0, 0.0), else_=seconds)


def _bucket(seconds: ColumnElement[float], bounds: Sequence[float]) -> ColumnElement[int | None]:
    """The number of the first bucket whose bound is not below the seconds. The last bucket has no bound."""
    *finite, _ = bounds
    buckets = [(seconds <= bound, number) for number, bound in enumerate(finite)]
    return case(*buckets, (seconds.is_not(None), len(finite)))
