"""Every filter of every list is served by an index: the page, its order, and the exact count."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, Reason, ReasonCode
from orchestrator.domain.pages import CostPosition, Position
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage import lists
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.labels import add_labels, packed
from orchestrator.storage.lists import Filter
from orchestrator.storage.overviews import OverviewRepository
from tests.storage.ended import job_row, write
from tests.storage.rows import T0

FAILED = [JobState.FAILED, JobState.TIMEOUT]
WORKFLOW = {"kind": JobKind.WORKFLOW, "definition": "api_development"}
_FILTERS: list[dict[str, Any]] = [
    {},
    {"states": [JobState.COMPLETED]},
    {"states": FAILED},
    {"reasons": [ReasonCode.STUCK, ReasonCode.RUNNING]},
    {"attention": True},
    {"attention": True, "states": FAILED},
    {"after": Position(T0, "wf_job_9")},
    {"after": Position(T0, "wf_job_9"), "states": FAILED},
    {"after": Position(T0, "wf_job_9"), "attention": True},
    {"since": T0 - timedelta(hours=1), "until": T0},
    {"since": T0 - timedelta(hours=1), "attention": True},
    {"labels": {"team": "press"}},
    {"labels": {"team": "press"}, "states": [JobState.COMPLETED], "after": Position(T0, "wf_job_9")},
]
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
    return [line for lines in await plans_of_each(database, look) for line in lines]


async def plans_of_each(database: Database, look: Callable[[], Awaitable[object]]) -> list[list[str]]:
    """The lines of the plan of each statement of a reading."""
    with statements() as seen:
        await look()

    def explain(connection: Connection) -> list[list[str]]:
        how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        if connection.dialect.name == "postgresql":  # A table of few rows is walked, whatever its indices.
            for way in ("seqscan", "bitmapscan"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        lines: list[list[str]] = []
        for statement, parameters in seen:
            cursor = connection.connection.cursor()
            cursor.execute(f"{how} {statement}", parameters)
            lines.append([str(row[-1]) for row in cursor.fetchall()])
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


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        ({}, "ix_jobs_cost"),
        (WORKFLOW, "ix_jobs_definition_cost"),
        ({"owner": "alice"}, "ix_jobs_owner_cost"),
        ({"owner": "alice", **WORKFLOW}, "ix_jobs_definition_cost"),
        ({"states": [JobState.COMPLETED]}, "ix_jobs_cost"),
        ({"since": T0}, "ix_jobs_cost"),
        ({"labels": {"team": "a"}}, "ix_job_labels_cost"),
        ({"id_part": "abcdef"}, "ix_jobs_cost"),
    ],
)
async def test_many_jobs_by_cost_are_read_from_an_index_in_its_order(
    database: Database, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any], index: str
):
    monkeypatch.setattr("orchestrator.storage.overviews.MOST_COUNTED", 0)
    await write(database, job_rows=[job_row(f"wf_job_{n}", cost=n / 8) for n in range(50)])
    after = CostPosition(2.5, "wf_job_20")
    reading = partial(OverviewRepository(database).dearest, Filter(**chosen), limit=5, after=after)
    *_, lines = await plans_of_each(database, reading)
    assert index in "".join(lines)
    assert not any("TEMP B-TREE" in line or "Sort" in line for line in lines if "_cost" in line)
    for line in walks(lines, "jobs"):
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


@pytest.mark.parametrize("criteria", [{}, {"states": FAILED}, {"attention": True}, {"labels": {"a": "b"}}])
async def test_a_total_counts_up_to_a_bound_beyond_the_offset(
    database: Database, jobs: JobRepository, monkeypatch: pytest.MonkeyPatch, criteria: dict[str, Any]
):
    rows = [job_row(f"job_{n}", JobState.FAILED, labels=packed({"a": "b"})) for n in range(9)]
    await write(database, job_rows=rows)
    await database.transaction(lambda connection: [add_labels(connection, row) for row in rows] and None)
    monkeypatch.setattr(lists, "MOST_COUNTED", 4)
    fields = {"owner": None, "states": None, "kind": None, "definition": None, **criteria}
    totals = {offset: (await jobs.list(**fields, limit=3, offset=offset))[1] for offset in (0, 2, 6, 20)}
    assert totals == {0: 4, 2: 6, 6: 9, 20: 9}


async def _needing_attention(jobs: JobRepository, **more: Any) -> set[str]:
    wanted = {"owner": None, "states": None, "kind": None, "definition": None, "attention": True, **more}
    rows, total = await jobs.list(**wanted, limit=50, offset=0)
    assert total == len(rows)
    return {row.id for row in rows}


async def test_work_that_failed_shows_once_until_it_is_done_or_being_done(database: Database, jobs: JobRepository):
    def line(name: str, *states: JobState) -> list[dict[str, Any]]:
        rows = [job_row(f"{name}0", JobState.FAILED)]
        for n, state in enumerate(states, 1):
            later = {"retry_of": f"{name}{n - 1}", "retry_root": f"{name}0", "created_at": T0 + timedelta(minutes=n)}
            rows.append({**job_row(f"{name}{n}", state, **later), "closed_at": T0 if state.terminal else None})
        return rows

    rows = [
        *line("never"),
        *line("done", JobState.COMPLETED),
        *line("again", JobState.FAILED),
        *line("twice", JobState.TIMEOUT, JobState.COMPLETED),
        *line("runs", JobState.RUNNING),
        *line("left", JobState.CANCELLED),
        job_row("fine"),
        job_row("gone", JobState.CANCELLED),
    ]
    await write(database, job_rows=[{"retry_of": None, "retry_root": None, **row} for row in rows])
    assert await _needing_attention(jobs) == {"never0", "again1", "left0"}
    assert await _needing_attention(jobs, states=[JobState.TIMEOUT]) == set()
    assert await _needing_attention(jobs, owner="bob") == set()


async def test_open_jobs_show_by_their_reason(database: Database, jobs: JobRepository):
    open_rows = [job_row(f"job_{n}", JobState.RUNNING) for n in range(4)]
    await write(database, job_rows=open_rows)
    codes = [ReasonCode.STUCK, ReasonCode.WAITING_FOR_APPROVAL, ReasonCode.RUNNING]
    notes = {f"job_{n}": Reason(code=code, message=f"why {n}") for n, code in enumerate(codes)}
    await jobs.note_reasons(notes, at=T0)
    assert await _needing_attention(jobs) == {"job_0", "job_1"}
    assert await _needing_attention(jobs, attention=False, reasons=[ReasonCode.RUNNING]) == {"job_2"}
    # What waits for a person does so without a worker, too.
    assert await _needing_attention(jobs, unattended=True) == {"job_0", "job_1", "job_2", "job_3"}
    lost = {"attention": False, "unattended": True, "reasons": [ReasonCode.NO_WORKER]}
    assert await _needing_attention(jobs, **lost) == {"job_2", "job_3"}
    # An older look changes nothing, a newer one keeps since when it is so.
    await jobs.note_reasons({"job_0": Reason(code=ReasonCode.QUEUED, message="old")}, at=T0 - timedelta(seconds=1))
    await jobs.note_reasons({"job_0": Reason(code=ReasonCode.STUCK, message="new")}, at=T0 + timedelta(seconds=5))
    (row,) = (
        await jobs.list(owner=None, states=None, kind=None, definition=None, reasons=codes[:1], limit=9, offset=0)
    )[0]
    report = (row.reason_code, row.reason_message, row.reason_since, row.reason_seen)
    assert report == (ReasonCode.STUCK, "new", T0, T0 + timedelta(seconds=5))
    await jobs.close(
        "job_0", state=JobState.FAILED, snapshot=None, events=None, result=None, error=None, run_id=None, at=T0
    )
    failed = {"owner": None, "states": [JobState.FAILED], "kind": None, "definition": None, "limit": 9, "offset": 0}
    (closed,) = (await jobs.list(**failed))[0]
    assert (closed.reason_code, closed.reason_seen) == (None, None)
