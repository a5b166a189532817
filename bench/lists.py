"""`python -m bench.lists`: lists of jobs among a million, on SQLite and on PostgreSQL.

Fills an empty index. With each filter, reads a page and its total as the API does, and a page by cost and the counts
by state as the operators' page does. `--url` names the database, which keeps its rows: a second run reads them again.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console
from sqlalchemy import Connection, create_engine, func, select, text

from bench.figures import Figure, at_most, show
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.domain.pages import CostPosition, Position
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.lists import Filter
from orchestrator.storage.overviews import OverviewRepository
from orchestrator.storage.tables import jobs

_ROWS: Final = 1_000_000
_READS: Final = 25
_API_MS: Final = 10
_PAGE_MS: Final = 200
_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SERIES: Final = {
    "sqlite": (
        "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < :last)",
        "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-01-01', '+' || i || ' seconds')",
        "X'00'",
    ),
    "postgresql": (
        "WITH numbers AS (SELECT i FROM generate_series(0, :last) AS numbers(i))",
        "TIMESTAMPTZ '2026-01-01 00:00:00Z' + i * INTERVAL '1 second'",
        "'\\x00'::bytea",
    ),
}
# One owner has half of the jobs, 1,000 owners the rest. One job in four has a label: of a team, of a customer, or of a
# trial, which all jobs of the cheapest definition have.
# Jobs cost more, the higher the number of their definition: those of the first one are at the end of a list by cost.
_FILL: Final = """
INSERT INTO jobs (id, kind, definition, name, owner, state, progress, job_input, request_hash, start_state, run_id,
                  total_calls, created_at, started_at, closed_at, snapshot, reason_code, labels, cost)
{series}
SELECT 'wf_job_' || i, CASE WHEN i % 10 = 0 THEN 'agent' ELSE 'workflow' END, 'definition_' || (i % 20), 'A job',
       CASE WHEN i % 2 = 0 THEN 'large' ELSE 'owner_' || (i % 1000) END,
       CASE WHEN i % 1000 = 7 THEN 'RUNNING' WHEN i % 25 = 1 THEN 'FAILED' WHEN i % 25 = 2 THEN 'CANCELLED'
            ELSE 'COMPLETED' END,
       100, {blob}, '', 'started', 'run', 3, {moment}, {moment},
       CASE WHEN i % 1000 = 7 THEN NULL ELSE {moment} END, CASE WHEN i % 1000 = 7 THEN NULL ELSE {blob} END,
       CASE WHEN i % 1000 = 7 THEN CASE WHEN i % 3000 = 7 THEN 'waiting_for_approval' ELSE 'running' END END,
       CASE WHEN i % 10 = 3 THEN '{line}' || 'team:' || (i % 40) || '{line}'
            WHEN i % 10 = 4 THEN '{line}' || 'customer:' || (i / 100) || '{line}'
            WHEN i % 20 = 1 THEN '{line}' || 'stage:' || 'trial' || '{line}' END,
       CASE WHEN i % 1000 <> 7 THEN (i % 20) + (i % 100003 * 7919 % 100003) / 100003.0 END
FROM numbers
"""
_FILL_LABELS: Final = """
INSERT INTO job_labels (label, created_at, job_id, owner, kind, definition, state, cost)
SELECT trim(labels, '{line}'), created_at, id, owner, kind, definition, state, cost FROM jobs WHERE labels IS NOT NULL
"""
_FILTERS: Final[dict[str, dict[str, Any]]] = {
    "all jobs": {},
    "of an owner of 500,000": {"owner": "large"},
    "of an owner of 1,000": {"owner": "owner_501"},
    "in one state": {"states": [JobState.FAILED]},
    "in three states": {"states": [JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED]},
    "of an owner, in one state": {"owner": "large", "states": [JobState.COMPLETED]},
    "of a workflow": {"kind": JobKind.WORKFLOW, "definition": "definition_3"},
    "of an owner and a workflow": {"owner": "large", "kind": JobKind.WORKFLOW, "definition": "definition_4"},
    "of a time, a state and a workflow": {
        "since": _BEGAN + timedelta(seconds=100_000),
        "until": _BEGAN + timedelta(seconds=500_000),
        "states": [JobState.FAILED],
        "kind": JobKind.WORKFLOW,
        "definition": "definition_1",
    },
    "with a frequent label": {"labels": {"team": "3"}},
    "with a rare label": {"labels": {"customer": "12"}},
    "with an unused label": {"labels": {"customer": "nobody"}},
    "with a frequent label, in one state": {"labels": {"team": "3"}, "states": [JobState.FAILED]},
    "of an owner, with a frequent label": {"labels": {"team": "3"}, "owner": "owner_3"},
    "of a workflow, with a frequent label": {"labels": {"team": "3"}, "definition": "definition_3"},
    "of an owner, with a rare label": {"owner": "large", "labels": {"customer": "12"}},
    "with a reason": {"reasons": [ReasonCode.WAITING_FOR_APPROVAL]},
    "that need attention": {"attention": True},
    "of an owner, that need attention": {"owner": "large", "attention": True},
    "at offset 5,000": {"offset": 5000},
    "after the 500,000th": {"after": Position(_BEGAN + timedelta(seconds=500_000), "wf_job_500000")},
}


_BY_COST: Final[dict[str, dict[str, Any]]] = {
    what: criteria
    for what, criteria in _FILTERS.items()
    if not criteria.keys() & {"reasons", "attention", "offset", "after"}
} | {
    "after the 500,000th": {"after": CostPosition(10.0, "wf_job_0")},
    "of the cheapest workflow": {"kind": JobKind.WORKFLOW, "definition": "definition_1"},
    "in a state without jobs": {"states": [JobState.TIMEOUT]},
    "of an owner, in a state without jobs": {"owner": "large", "states": [JobState.TIMEOUT]},
    "of a workflow, in a state without jobs": {"definition": "definition_3", "states": [JobState.FAILED]},
    "of an owner, of a workflow of others": {"owner": "large", "definition": "definition_3"},
    "with a label of 50,000 cheap jobs": {"labels": {"stage": "trial"}},
    "of a workflow, with a label of others": {"definition": "definition_3", "labels": {"customer": "12"}},
}
_COUNTED: Final = {what: criteria for what, criteria in _FILTERS.items() if not criteria.keys() & {"offset", "after"}}
_SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "by the end of an id": {"id_part": "499999"},
    "of an owner, by the end of an id": {"id_part": "499998", "owner": "large"},
    "by the beginning of an id": {"id_start": "wf_job_49999"},
}


async def measure(url: str, rows: int) -> list[Figure]:
    """Fill the index unless it has rows, and measure each filter."""
    database = Database(url)
    try:
        await database.migrate()
        name = await asyncio.to_thread(_fill, url, rows)
        lists, overviews = JobRepository(database), OverviewRepository(database)
        figures = [
            await _list_figure(f"{name}, jobs {what}", lists, _API_MS if what in _FILTERS else _PAGE_MS, criteria)
            for what, criteria in (_FILTERS | _SEARCHES).items()
        ]
        for what, criteria in (_BY_COST | _SEARCHES).items():
            after, chosen = criteria.get("after"), {key: value for key, value in criteria.items() if key != "after"}
            reading = partial(overviews.dearest, Filter(**chosen), limit=51, after=after)
            figures.append(await _figure(f"{name}, by cost {what}", _PAGE_MS, reading))
        for what, criteria in (_COUNTED | _SEARCHES).items():
            reading = partial(overviews.states, Filter(**criteria))
            figures.append(await _figure(f"{name}, counts {what}", _PAGE_MS, reading))
        return figures
    finally:
        await database.close()


def _fill(url: str, rows: int) -> str:
    """Fill an empty index over a connection without the product's time limits. Returns the name of the dialect."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if connection.execute(select(func.max(jobs.c.id))).scalar() is None:
                _insert(connection, rows)
            return engine.dialect.name
    finally:
        engine.dispose()


def _insert(connection: Connection, rows: int) -> None:
    dialect = connection.dialect.name
    series, moment, blob = _SERIES[dialect]
    line = "' || char(10) || '" if dialect == "sqlite" else "' || chr(10) || '"
    fill = _FILL.format(series=series, moment=moment, blob=blob, line=line)
    connection.execute(text(fill.replace(":' ||", "\\:' ||")), {"last": rows - 1})
    connection.execute(text(_FILL_LABELS.format(line=line)))
    connection.exec_driver_sql("ANALYZE" if dialect == "sqlite" else "VACUUM ANALYZE jobs, job_labels")


async def _list_figure(name: str, lists: JobRepository, limit_ms: float, criteria: dict[str, Any]) -> Figure:
    arguments = {"owner": None, "states": None, "kind": None, "definition": None, "limit": 21, "offset": 0, **criteria}
    reading = partial(lists.list, **arguments)
    return await _figure(name, limit_ms, reading, f"total {(await reading())[1]:,}, ")


async def _figure(name: str, limit_ms: float, reading: Callable[[], Awaitable[Any]], note: str = "") -> Figure:
    times = []
    for _ in range(_READS):
        began = time.perf_counter()
        await reading()
        times.append((time.perf_counter() - began) * 1000)
    return at_most(name, limit_ms, median(times), "ms", f"{note}fastest {min(times):.1f} ms")


def main() -> None:
    """Measure one database, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="the database; a temporary SQLite file by default")
    parser.add_argument("--rows", type=int, default=_ROWS)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{Path(folder) / 'index.sqlite3'}"
        show(Console(width=130), asyncio.run(measure(url, options.rows)))


if __name__ == "__main__":
    main()
