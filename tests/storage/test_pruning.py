"""What pruning deletes, what it never touches, and that counters do not fall by it; on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.metrics import TimeSpan
from orchestrator.domain.retention import Retention
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.services.jobs.retention import IndexPruner
from orchestrator.storage import tables
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database
from orchestrator.storage.figures import FiguresRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.pruning import PruningRepository
from orchestrator.storage.users import UserRepository
from tests.storage.ended import attempt_row, job_row, write
from tests.storage.rows import T0, at, closed

OLD = T0 - timedelta(days=100)
LINE = T0 - timedelta(days=90)
EVER = TimeSpan(None, at(1))


@pytest.fixture
def pruning(database: Database) -> PruningRepository:
    return PruningRepository(database)


def delivery_row(delivery_id: str, job_id: str, state: DeliveryState = DeliveryState.DELIVERED) -> dict[str, Any]:
    return {
        "id": delivery_id,
        "owner": "alice",
        "job_id": job_id,
        "event": "job.completed",
        "url": "https://example.com",
        "message_id": delivery_id,
        "state": state,
        "started": True,
        "attempts": 1,
        "created_at": OLD,
        "completed_at": None if state is DeliveryState.PENDING else OLD,
    }


def try_row(delivery_id: str) -> dict[str, Any]:
    return {"delivery_id": delivery_id, "number": 1, "at": OLD, "verdict": "delivered", "duration": 0.1}


async def add(database: Database, table: Table, *rows: dict[str, Any]) -> None:
    await database.transaction(lambda connection: connection.execute(insert(table), list(rows)).close())


async def left(database: Database, table: Table, name: str = "id") -> list[Any]:
    wanted = select(table.c[name]).order_by(table.c[name])
    return await database.autocommit(lambda connection: list(connection.execute(wanted).scalars()))


async def test_an_old_job_goes_with_all_that_belongs_to_it(
    database: Database, pruning: PruningRepository, artifacts: ArtifactRepository
):
    await write(
        database,
        job_rows=[job_row("old", closed_at=OLD), job_row("new"), job_row("open", JobState.RUNNING, closed_at=OLD)],
        attempt_rows=[attempt_row(job_id, completed_at=OLD) for job_id in ("old", "new", "open")],
    )
    await add(database, tables.deliveries, *(delivery_row(f"d_{job_id}", job_id) for job_id in ("old", "new")))
    await add(database, tables.delivery_attempts, *(try_row(f"d_{job_id}") for job_id in ("old", "new")))
    for job_id in ("old", "new"):
        await artifacts.put(job_id, "partial", {"status": "partial"})

    assert await pruning.jobs(LINE, 10) == 1

    assert await left(database, tables.jobs) == ["new", "open"]
    assert await left(database, tables.attempts, "job_id") == ["new", "open"]
    assert await left(database, tables.artifacts, "job_id") == ["new"]
    assert await left(database, tables.deliveries) == ["d_new"]
    assert await left(database, tables.delivery_attempts, "delivery_id") == ["d_new"]
    assert await pruning.jobs(LINE, 10) == 0


async def test_a_job_stays_that_is_not_written_to_its_end_or_has_a_delivery_under_way(
    database: Database, pruning: PruningRepository
):
    rows = [job_row("unwritten", closed_at=OLD, snapshot=None), job_row("telling", closed_at=OLD)]
    await write(database, job_rows=rows)
    await add(database, tables.deliveries, delivery_row("d", "telling", DeliveryState.PENDING))

    assert await pruning.jobs(LINE, 10) == 0
    assert await pruning.deliveries(LINE, 10) == 0


async def test_memories_of_conversations_go_once_they_were_not_used_for_as_long(
    database: Database, pruning: PruningRepository
):
    await write(database, job_rows=[job_row("open", JobState.RUNNING)])
    written = {"left": OLD, "used": T0, "open": OLD}
    memories = [(job_id, "memory", at) for job_id, at in written.items()]
    rows = [
        {"id": f"{job_id}/{name}", "job_id": job_id, "name": name, "body": {}, "created_at": at}
        for job_id, name, at in [*memories, ("left", "value", OLD), ("used", "value", OLD)]
    ]
    await add(database, tables.artifacts, *rows)

    assert await pruning.jobs(LINE, 10) == 2
    assert await left(database, tables.artifacts) == ["open/memory", "used/memory", "used/value"]


async def test_a_batch_is_no_larger_than_asked(database: Database, pruning: PruningRepository):
    await write(database, job_rows=[job_row(f"job_{n}", closed_at=OLD + timedelta(days=n)) for n in range(5)])

    assert [await pruning.jobs(LINE, 2) for _ in range(4)] == [2, 2, 1, 0]


async def test_old_events_go_and_their_job_stays(database: Database, pruning: PruningRepository, jobs: JobRepository):
    rows = [job_row("old", JobState.RUNNING, closed_at=OLD), job_row("new", JobState.RUNNING)]
    await write(database, job_rows=rows)
    await closed(jobs, "old", at=OLD)
    await closed(jobs, "new", at=T0)

    assert await pruning.events(LINE, 10) == 1
    assert await pruning.events(LINE, 10) == 0

    assert await jobs.events("old") is None
    assert await jobs.snapshot("old") is not None
    assert await jobs.events("new") is not None


async def test_old_attempts_go_but_the_newest_of_an_agent_and_those_of_open_jobs(
    database: Database, pruning: PruningRepository, attempts: AttemptRepository
):
    lost = {"status": AttemptStatus.UNKNOWN, "completed_at": None}
    await write(
        database,
        job_rows=[job_row("closed", closed_at=OLD), job_row("open", JobState.RUNNING)],
        attempt_rows=[
            attempt_row("closed", completed_at=OLD),
            attempt_row("closed", step="b", completed_at=OLD) | lost,
            attempt_row("closed", step="c", completed_at=OLD, agent="retired"),
            attempt_row("nobody", completed_at=OLD),
            attempt_row("open", completed_at=OLD),
            attempt_row("young"),
        ],
    )

    assert await pruning.attempts(LINE, 2) == 2
    assert await pruning.attempts(LINE, 2) == 1
    assert await pruning.attempts(LINE, 2) == 0

    assert await left(database, tables.attempts, "job_id") == ["closed", "open", "young"]
    assert (await attempts.agent_health("retired", since=LINE)).last_execution == OLD - timedelta(seconds=1)


async def test_old_deliveries_go_with_their_attempts(database: Database, pruning: PruningRepository):
    await add(database, tables.deliveries, *(delivery_row(f"d_{state}", "job", state) for state in DeliveryState))
    await add(database, tables.delivery_attempts, *(try_row(f"d_{state}") for state in DeliveryState))

    assert await pruning.deliveries(LINE, 10) == len(DeliveryState) - 1

    assert await left(database, tables.deliveries) == ["d_pending"]
    assert await left(database, tables.delivery_attempts, "delivery_id") == ["d_pending"]


async def test_expired_refresh_tokens_go(database: Database, pruning: PruningRepository):
    users = UserRepository(database)
    await users.grant("expired", family="f", subject="alice", expires_at=OLD)
    await users.grant("fresh", family="f", subject="alice", expires_at=T0)

    assert await pruning.refresh_tokens(LINE, 10) == 1
    assert await left(database, tables.refresh_tokens) == ["fresh"]


async def test_counters_are_the_same_after_pruning(database: Database, pruning: PruningRepository):
    await write(
        database,
        job_rows=[
            job_row("a", closed_at=OLD - timedelta(days=2), seconds=3),
            job_row("b", JobState.FAILED, closed_at=OLD - timedelta(days=1), started_at=None),
            job_row("c", closed_at=OLD, seconds=3),
            job_row("d"),
        ],
        attempt_rows=[
            attempt_row("a", completed_at=OLD),
            attempt_row("b", AttemptStatus.FAILED, completed_at=OLD, cost=None),
            attempt_row("c", completed_at=OLD, prompt_tokens=None, completion_tokens=None, cost=None),
            attempt_row("d"),
        ],
    )
    await add(database, tables.deliveries, *(delivery_row(f"d_{job_id}", job_id) for job_id in "abd"))
    await add(database, tables.delivery_attempts, *(try_row(f"d_{job_id}") for job_id in "abd"))
    figures = FiguresRepository(database)
    tally, standing = await figures.tally(EVER), await figures.standing([], quiet_since=T0)

    assert [await pruning.jobs(LINE, 1) for _ in range(2)] == [1, 1]
    assert await pruning.attempts(LINE, 10) == 1
    assert await pruning.deliveries(LINE, 10) == 1
    assert await pruning.jobs(LINE, 10) == 1

    assert await figures.tally(EVER) == tally
    after = await figures.standing([], quiet_since=T0)
    assert (after.deliveries, after.delivery_attempts) == (standing.deliveries, standing.delivery_attempts)


async def test_a_pass_prunes_what_the_settings_say_in_bounded_batches(
    database: Database, pruning: PruningRepository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.services.jobs.retention._BATCH", 2)
    monkeypatch.setattr("orchestrator.services.jobs.retention._BATCHES", 2)
    rows = [job_row(f"job_{n}", closed_at=OLD) for n in range(5)]
    await write(database, job_rows=rows, attempt_rows=[attempt_row(row["id"], completed_at=OLD) for row in rows])

    async def number(table: Table) -> int:
        count = select(func.count()).select_from(table)
        return await database.autocommit(lambda connection: connection.execute(count).scalar_one())

    trail = AuditRepository(database, b"key")
    assert await IndexPruner(pruning, trail, Retention()).prune(T0) == 0
    assert await IndexPruner(pruning, trail, Retention(jobs=timedelta(days=90))).prune(T0) == 4
    assert (await number(tables.jobs), await number(tables.attempts)) == (1, 1)
    assert await IndexPruner(pruning, trail, Retention(jobs=timedelta(days=90))).prune(T0) == 1
