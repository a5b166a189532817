"""Every filter of every list is served by an index: the page, its order, and the exact count."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.jobs import JobRepository
from tests.storage.ended import job_row, write
from tests.storage.rows import T0

FAILED = [JobState.FAILED, JobState.TIMEOUT]
WORKFLOW = {"kind": JobKind.WORKFLOW, "definition": "api_development"}
_FILTERS: list[dict[str, Any]] = [{}, {"states": [JobState.COMPLETED]}, {"states": FAILED}]
JOB_FILTERS = [
    about | states | {"owner": owner} for about in ({}, WORKFLOW) for states in _FILTERS for owner in (None, "alice")
]


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every SELECT that is run meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def plans(database: Database, look: Callable[[], Awaitable[object]]) -> list[str]:
    """The lines of the plans of all statements of a reading, as the database explains them."""
    with statements() as seen:
        await look()

    def explain(connection: Connection) -> list[str]:
        how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        if connection.dialect.name == "postgresql":  # A table of few rows is walked, whatever its indices.
            for way in ("seqscan", "bitmapscan"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        lines: list[str] = []
        for statement, parameters in seen:
            cursor = connection.connection.cursor()
            cursor.execute(f"{how} {statement}", parameters)
            lines += [str(row[-1]) for row in cursor.fetchall()]
            cursor.close()
        return lines

    return await database.transaction(explain)


def walks(lines: list[str], table: str) -> list[str]:
    """How the plans come to the rows of a table."""
    return [line for line in lines if re.search(rf"(SCAN|SEARCH|Scan).*\b(ix_)?{table}", line)]


@pytest.mark.parametrize("chosen", JOB_FILTERS, ids=lambda chosen: "+".join(name for name in chosen if chosen[name]))
async def test_every_filter_of_jobs_has_its_index(database: Database, jobs: JobRepository, chosen: dict[str, Any]):
    await write(database, job_rows=[job_row(f"wf_job_{n}") for n in range(50)])
    wanted = {"states": None, "kind": None, "definition": None} | chosen

    lines = await plans(database, lambda: jobs.list(**wanted, limit=5, offset=2))

    found = walks(lines, "jobs")
    assert found
    for line in found:
        # Only the rows of the page are read by their ids; all else stays inside an index.
        assert re.search(r"COVERING INDEX ix_jobs_|Index Only Scan.* ix_jobs_|autoindex_jobs|jobs_pkey", line), line


async def test_lists_of_executions_walk_an_index_of_jobs_about_agents(database: Database):
    executions = ExecutionRepository(database)
    await write(database, job_rows=[job_row(f"job_{n}", subject=f"agent_{n % 3}") for n in range(50)])

    for agent_id in (None, "agent_1"):
        for states in (None, FAILED):
            lines = await plans(
                database,
                lambda agent_id=agent_id, states=states: executions.list(
                    "alice", agent_id=agent_id, states=states, limit=5, offset=0
                ),
            )
            for line in walks(lines, "jobs"):
                assert re.search(r"INDEX ix_jobs_|Scan.* ix_jobs_|autoindex_jobs|jobs_pkey", line), line


@pytest.mark.parametrize("state", [None, DeliveryState.FAILED])
async def test_lists_of_deliveries_are_counted_inside_their_index(database: Database, state: DeliveryState | None):
    deliveries = DeliveryRepository(database)

    lines = await plans(database, lambda: deliveries.list(webhook_id="wh_1", state=state, limit=5, offset=0))

    found = walks(lines, "deliveries")
    assert any("ix_deliveries_webhook" in line for line in found)
    assert all("ix_deliveries_webhook" in line for line in found)
    assert not any("TEMP B-TREE" in line for line in lines)


async def test_deliveries_under_way_are_found_without_a_look_at_those_that_ended(database: Database):
    deliveries = DeliveryRepository(database)

    for look in (deliveries.unstarted, deliveries.overdue):
        lines = await plans(database, lambda look=look: look(before=T0, limit=5))
        assert "ix_deliveries_pending" in "".join(walks(lines, "deliveries"))
