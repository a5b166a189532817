"""The audit trail in the index."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.access import AuditEntry
from orchestrator.domain.audit_chain import ChainVerdict
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database
from orchestrator.storage.migrate import migration_config

COLUMNS = "(id, at, principal, action, path, status, request_id"
VALUES = "(6, '2026-07-01 12:00:00', 'x', 'x', 'x', 200, 'x'"
RESET = (
    "UPDATE audit_chain SET seal='', digest='', pruned=0, pruned_digest='', broken=NULL, "
    "number=(SELECT max(id) FROM audit), unchained=(SELECT max(id) FROM audit)"
)
EMPTIED = (
    "UPDATE audit_chain SET pruned = 99999; DELETE FROM audit; "
    "UPDATE audit_chain SET seal='', digest='', number=0, unchained=0, pruned=0, pruned_digest='', broken=NULL"
)
SECOND = (
    "INSERT INTO audit_chain (id, number, digest, unchained, pruned, pruned_digest, broken, sealed_by, seal) "
    "SELECT 2, number, digest, unchained, 9, pruned_digest, broken, sealed_by, seal FROM audit_chain"
)
KEY = b"the key of the tests"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ENTRY = AuditEntry(
    at=NOON,
    principal="newsroom",
    key_id="key_1",
    action="POST /v1/jobs/{job_id}/cancel",
    path="/v1/jobs/job_1/cancel",
    status=200,
    address="127.0.0.1",
    request_id="req_1",
)


@pytest.fixture
async def audit(database: Database) -> AuditRepository:
    trail = AuditRepository(database, KEY)
    await database.transaction(trail.begin)
    return trail


async def listed(audit: AuditRepository, **wanted: Any) -> list[AuditEntry]:
    nothing = {"principal": None, "action": None, "since": None, "until": None, "before": None, "limit": 50}
    return await audit.list(**nothing | wanted)


async def test_entries_come_back_newest_first_with_ids_that_grow(audit: AuditRepository) -> None:
    bare = replace(ENTRY, principal="admin", key_id=None, address=None, status=500)
    for entry in (ENTRY, bare):
        await audit.add(entry)
    newest, oldest = await listed(audit)
    assert newest.id > oldest.id > 0
    assert (replace(newest, id=0, digest=None), replace(oldest, id=0, digest=None)) == (bare, ENTRY)


async def test_entries_are_filtered(audit: AuditRepository) -> None:
    for number, action in enumerate(("POST /v1/webhooks", "POST /v1/jobs/{job_id}/cancel", "post /v1/jobs", "DELETE")):
        at = NOON + timedelta(minutes=number)
        await audit.add(replace(ENTRY, principal=f"p{number % 2}", action=action, at=at, request_id=str(number)))

    async def numbers(**wanted: Any) -> list[str]:
        return [entry.request_id for entry in await listed(audit, **wanted)]

    assert await numbers() == ["3", "2", "1", "0"]
    assert await numbers(principal="p1") == ["3", "1"]
    assert await numbers(principal="p") == []
    assert await numbers(action="POST /v1/jobs") == ["1"], "as it is written, not in another case"
    assert await numbers(action="POST") == ["1", "0"]
    assert await numbers(action="%") == []
    assert await numbers(since=NOON + timedelta(minutes=2)) == ["3", "2"]
    assert await numbers(until=NOON + timedelta(minutes=2)) == ["1", "0"]
    assert await numbers(limit=2) == ["3", "2"]
    second = (await listed(audit, limit=2))[-1].id
    assert await numbers(before=second) == ["1", "0"]


async def execute(database: Database, *statements: str) -> None:
    for statement in statements:
        await database.transaction(lambda connection, sql=statement: connection.exec_driver_sql(sql))


async def without_triggers(database: Database, url: str) -> None:
    """What somebody does who owns the database."""
    if url.startswith("sqlite"):
        names = "audit_is_chained audit_is_never_changed audit_is_kept"
        names += " audit_chain_is_one audit_chain_goes_on audit_chain_is_kept"
        await execute(database, *(f"DROP TRIGGER {name}" for name in names.split()))
    else:
        tables = ("audit", "audit_chain")
        await execute(database, *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables))


async def filled(audit: AuditRepository, number: int = 5) -> None:
    for each in range(1, number + 1):
        await audit.add(replace(ENTRY, at=NOON + timedelta(minutes=each), request_id=str(each)))


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit SET principal = 'nobody' WHERE id = 3",
        "UPDATE audit SET id = 99 WHERE id = 3",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
        "DELETE FROM audit_chain",
        f"INSERT INTO audit {COLUMNS}) VALUES {VALUES})",
        f"INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES}, 'forged')",
        f"INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES.replace('6', '-5', 1)}, 'forged')",
        "UPDATE audit_chain SET number = 3",
        "UPDATE audit_chain SET pruned = 99999",
        "UPDATE audit_chain SET unchained = 5",
        "UPDATE audit_chain SET seal = ''",
        RESET,
        SECOND,
    ],
)
async def test_the_database_refuses_to_change_the_trail(
    database: Database, audit: AuditRepository, attack: str
) -> None:
    await filled(audit)
    with pytest.raises((Unavailable, IntegrityError)):
        await execute(database, attack)
    assert (await audit.verify()).checked == 5


async def test_postgresql_refuses_to_empty_the_trail(database: Database, audit: AuditRepository, url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("SQLite has no TRUNCATE")
    await filled(audit)
    for table in ("audit", "audit_chain"):
        with pytest.raises((Unavailable, IntegrityError)):
            await execute(database, f"TRUNCATE {table}")
    assert (await audit.verify()).checked == 5


@pytest.mark.parametrize(
    ("attack", "broken"),
    [
        ("UPDATE audit SET principal = 'nobody' WHERE id = 3", 3),
        ("UPDATE audit SET at = '2026-07-01 13:00:00+00' WHERE id = 1", 1),
        ("UPDATE audit SET calls = 2 WHERE id = 5", 5),
        ("UPDATE audit SET digest = 'forged' WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id > 3", 4),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET id = 9 WHERE id = 5", 5),
        ("UPDATE audit_chain SET number = 3", 3),
        ("UPDATE audit_chain SET pruned = 2", 5),
        ("UPDATE audit_chain SET seal = ''", 5),
        (
            f"INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES}, 'forged')",
            6,
        ),
    ],
)
async def test_who_owns_the_database_cannot_change_the_trail_unseen(
    database: Database, audit: AuditRepository, url: str, attack: str, broken: int
) -> None:
    await filled(audit)
    assert await audit.verify() == ChainVerdict(5, (await audit.verify()).head)
    await without_triggers(database, url)
    await execute(database, attack)
    assert (await audit.verify()).broken == broken


async def test_a_forged_chain_is_found_by_the_next_writer_and_stays_found(
    database: Database, audit: AuditRepository, url: str
) -> None:
    """The owner of the database can rebuild the whole chain, but has no key for its head."""
    await filled(audit)
    await without_triggers(database, url)
    await AuditRepository(database, b"another key").reseal()
    await audit.add(ENTRY)
    verdict = await audit.verify()
    assert (verdict.broken, verdict.why) == (6, "a writer found that the chain before this entry was changed")
    await audit.add(ENTRY)
    assert (await audit.verify()).broken == 6
    assert len(await listed(audit)) == 7, "no entry is lost over it"


async def test_the_trail_outlives_a_change_of_its_key(database: Database, audit: AuditRepository) -> None:
    await filled(audit)
    both = AuditRepository(database, b"a new key", KEY)
    assert (await both.verify()).checked == 5
    await both.add(ENTRY)
    assert (await AuditRepository(database, KEY, b"a new key").verify()).checked == 6, (
        "a process that is not so far yet"
    )
    new = AuditRepository(database, b"a new key")
    await new.add(ENTRY)
    assert (await new.verify()).checked == 7


async def test_writers_at_once_make_one_chain(url: str, database: Database, audit: AuditRepository) -> None:
    others = [Database(url) for _ in range(3)]
    trails = [audit, *(AuditRepository(other, KEY) for other in others)]
    async with asyncio.TaskGroup() as tasks:
        for number in range(40):
            tasks.create_task(trails[number % 4].add(ENTRY, replace(ENTRY, request_id=str(number))))
    verdict = await audit.verify()
    assert (verdict.broken, verdict.checked, verdict.head.number) == (None, 80, 80)
    for other in others:
        await other.close()


async def test_what_pruning_leaves_is_a_chain(audit: AuditRepository) -> None:
    await filled(audit)
    late = NOON + timedelta(hours=1)
    await audit.add(replace(ENTRY, at=late), replace(ENTRY, at=NOON), ENTRY)
    assert await audit.prune(NOON + timedelta(minutes=30), 2) == 2
    assert (await audit.verify()).checked == 6
    assert await audit.prune(NOON + timedelta(minutes=30), 100) == 3, "the old ones behind a newer one stay with it"
    verdict = await audit.verify()
    assert (verdict.broken, verdict.checked, verdict.head.pruned) == (None, 3, 5)
    assert await audit.prune(late + timedelta(days=1), 100) == 3
    assert await audit.verify() == ChainVerdict(0, (await audit.verify()).head)
    await audit.add(ENTRY)
    assert [entry.id for entry in await listed(audit)] == [9], "no number is given twice"
    assert (await audit.verify()).checked == 1


async def test_entries_of_an_older_release_stay_and_the_chain_begins_after_them(url: str) -> None:
    database = Database(url)
    await database.transaction(lambda connection: command.upgrade(migration_config(connection), "0011"))
    insert = (
        "INSERT INTO audit (id, at, principal, action, path, status, request_id) "
        "VALUES ({}, '2026-07-01 12:00:00+00', 'old', 'x', 'x', 200, 'x')"
    )
    await execute(database, insert.format(3), insert.format(7))
    audit = AuditRepository(database, KEY)
    await database.migrate(audit.begin)
    await database.migrate(audit.begin)
    assert (await audit.verify()).broken is None
    await audit.add(ENTRY)
    verdict = await audit.verify()
    assert (verdict.broken, verdict.checked, verdict.head.unchained, verdict.head.number) == (None, 1, 7, 8)
    assert await audit.prune(NOON + timedelta(seconds=1), 1) == 1
    assert (await audit.verify()).checked == 1
    assert await audit.prune(NOON + timedelta(seconds=1), 9) == 2
    assert (await audit.verify()).broken is None
    await database.close()


async def test_the_trail_is_read_page_by_page(audit: AuditRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.storage.audit._PAGE", 2)
    await filled(audit)
    assert [entry.request_id async for entry in audit.read()] == ["1", "2", "3", "4", "5"]
    assert [entry.id async for entry in audit.read(after=3)] == [4, 5]
    assert (await audit.verify()).checked == 5


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit SET digest = NULL, principal = 'mallory'; " + RESET,
        EMPTIED,
        "DELETE FROM audit_chain",
        "DELETE FROM audit_chain; DELETE FROM audit; DELETE FROM installation",
        "UPDATE audit_chain SET seal = 'é'",
        "UPDATE audit_chain SET sealed_by = 'junk'",
        "UPDATE audit_chain SET number = 2147483647",
        f"INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES.replace('6', '-5', 1)}, 'forged')",
        f"INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES.replace('6', '2147483647', 1)}, 'forged')",
        "sqlite UPDATE audit SET at = 'junk' WHERE id = 3",
        "sqlite UPDATE audit SET path = x'ff00' WHERE id = 3",
        "sqlite UPDATE audit SET calls = 'many' WHERE id = 3",
        "sqlite UPDATE audit_chain SET number = 'abc'",
        "sqlite UPDATE audit_chain SET seal = CAST(x'ff' AS TEXT)",
        f"sqlite INSERT INTO audit {COLUMNS}, digest) VALUES {VALUES.replace('6', str(2**63 - 1), 1)}, 'forged')",
        "postgresql UPDATE audit SET at = 'infinity' WHERE id = 3",
    ],
)
async def test_whatever_was_done_to_the_trail_is_named_and_writers_go_on(
    database: Database, audit: AuditRepository, url: str, attack: str
) -> None:
    kind, _, rest = attack.partition(" ")
    if kind in ("sqlite", "postgresql"):
        if not url.startswith(kind):
            pytest.skip(f"only {kind} takes it")
        attack = rest
    await filled(audit)
    await without_triggers(database, url)
    await execute(database, *attack.split("; "))
    assert (await audit.verify()).broken is not None
    entries = [entry async for entry in audit.read(after=-10)]
    await audit.add(ENTRY)
    await audit.add(ENTRY, ENTRY)
    assert (await audit.verify()).broken is not None
    assert len([entry async for entry in audit.read(after=-10)]) == len(entries) + 3


async def test_writers_go_on_with_the_triggers_after_a_broken_head(
    database: Database, audit: AuditRepository, url: str
) -> None:
    await filled(audit)
    await execute(database, "UPDATE audit_chain SET number = 2147483647")
    await audit.add(ENTRY)
    await audit.add(ENTRY)
    assert (await audit.verify()).broken == 6
    with pytest.raises((Unavailable, IntegrityError)):
        await execute(database, "UPDATE audit_chain SET broken = NULL")
    assert [entry.id for entry in await listed(audit, limit=1)] == [7]


@pytest.mark.parametrize(
    "attack",
    ["DELETE FROM audit WHERE id = 3", "UPDATE audit SET principal = 'eve' WHERE id = 3"],
)
@pytest.mark.parametrize("number", [0, 2])
async def test_entries_of_an_older_release_are_bound(url: str, attack: str, number: int) -> None:
    database = Database(url)
    await database.transaction(lambda connection: command.upgrade(migration_config(connection), "0011"))
    insert = (
        "INSERT INTO audit (id, at, principal, action, path, status, request_id) "
        "VALUES ({}, '2026-07-01 12:00:00+00', 'old', 'x', 'x', 200, 'x')"
    )
    await execute(database, insert.format(3), insert.format(7))
    audit = AuditRepository(database, KEY)
    await database.migrate(audit.begin)
    await filled(audit, number)
    assert (await audit.verify()).broken is None
    await without_triggers(database, url)
    await execute(database, attack)
    assert (await audit.verify()).broken is not None
    await database.close()


async def test_a_process_that_lacks_the_next_key_is_refused_and_breaks_nothing(
    database: Database, audit: AuditRepository
) -> None:
    await filled(audit)
    next_key = b"a new key"
    await AuditRepository(database, KEY, next_key).add(ENTRY)
    await audit.add(ENTRY)  # not everybody knows the next key, and nobody writes with it
    both = AuditRepository(database, next_key, KEY)
    await both.add(ENTRY)
    with pytest.raises(Unavailable, match="newer secret key"):
        await audit.add(ENTRY)
    assert (await audit.verify()).broken is None
    assert (await both.verify()).checked == 8
    assert (await AuditRepository(database, next_key).verify()).checked == 8
