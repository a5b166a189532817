"""An index that an older release has filled is brought up to date, and back."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from cryptography.fernet import Fernet
from sqlalchemy import Connection, MetaData, create_engine, inspect, text

from orchestrator.domain.jobs import JobState
from orchestrator.security.sealing import Sealer
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.database import Database
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.lists import Filter
from orchestrator.storage.migrate import migration_config, schema_version, versions
from orchestrator.storage.new_index import SCHEMA
from orchestrator.storage.overviews import OverviewRepository
from orchestrator.storage.tables import metadata
from orchestrator.storage.users import UserRepository
from orchestrator.storage.webhooks import WebhookRepository
from tests.storage.ended import attempt_row, job_row, write
from tests.storage.rows import at, closed, job_input
from tests.storage.schema import migrated_schema

_COLUMNS = (
    *("id", "kind", "definition", "name", "owner", "state", "progress", "job_input", "request_hash", "start_state"),
    *("total_calls", "created_at", "snapshot", "events", "result"),
)
_BEFORE = "0004"
_SECRET = "the secret key of the tests"


def _old_row(job_id: str, **documents: Any) -> dict[str, Any]:
    """A job as release 0.4 wrote it: its documents are text."""
    texts = {name: json.dumps(documents[name]) if name in documents else None for name in _COLUMNS[-3:]}
    job = job_input(job_id)
    return {
        "id": job_id,
        "kind": "workflow",
        "definition": job.definition,
        "name": job.name,
        "owner": job.owner,
        "state": "COMPLETED" if documents else "PENDING",
        "progress": 0,
        "job_input": job.model_dump_json(),
        "request_hash": "h",
        "start_state": "started",
        "total_calls": 2,
        "created_at": "2026-11-20 12:00:00+00",
        **texts,
    }


def _fill(connection: Connection) -> None:
    names = ", ".join(_COLUMNS)
    values = ", ".join(f":{name}" for name in _COLUMNS)
    result = {"output": "done"}
    ended = _old_row("ended", snapshot={"id": "ended"}, events=[{"type": "job_completed"}], result=result)
    for row in (_old_row("open"), ended):
        connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({values})"), row)
    artifact = {"id": "ended/a", "job_id": "ended", "name": "a", "body": '{"a": 1}', "at": "2026-11-20 12:00:00+00"}
    insert = "INSERT INTO artifacts (id, job_id, name, body, created_at) VALUES (:id, :job_id, :name, :body, :at)"
    connection.execute(text(insert), artifact)


def test_versions_are_those_of_the_migrations() -> None:
    with create_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(migration_config(connection))
        assert schema_version(connection) is None
    assert versions() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert scripts.get_heads() == versions()[-1:]


async def test_a_new_index_is_made_as_all_migrations_would_make_it(tmp_path: Path) -> None:
    remedy = "after a new migration, run `python -m tests.storage.schema`"
    assert SCHEMA.read_text() == migrated_schema(), remedy
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    await database.migrate()
    made = await database.autocommit(_objects)
    await database.close()
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "head")
        assert made == _objects(connection)
    engine.dispose()


def _objects(connection: Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute(text("SELECT type, name, coalesce(sql, '') FROM sqlite_master"))
    return {(kind, name, sql.strip()) for kind, name, sql in rows}


async def test_an_index_of_this_release_is_not_migrated_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(url)
    await database.migrate()
    upgrades = list[str]()
    monkeypatch.setattr(command, "upgrade", lambda config, revision: upgrades.append(revision))
    await database.migrate()
    assert await database.autocommit(schema_version) == versions()[-1]
    await database.close()
    assert not upgrades


async def test_rows_of_an_older_release_are_read_and_taken_back(url: str):
    database = Database(url)
    jobs = JobRepository(database)
    await database.transaction(lambda connection: command.upgrade(migration_config(connection), _BEFORE))
    await database.transaction(_fill)

    await database.migrate()

    row = await jobs.get("open")
    assert row is not None
    assert row.job == job_input("open")
    assert await jobs.snapshot("ended") == {"id": "ended", "result": {"output": "done"}}
    assert await jobs.events("ended") == [{"type": "job_completed"}]
    assert [each.id for each in await jobs.unfinished(before=at(100))] == ["open"]
    artifacts = ArtifactRepository(database)
    assert await artifacts.get("ended/a") == {"a": 1}
    await artifacts.put("open", "b", {"text": "x" * 1000})
    assert await closed(jobs, "open")
    rows, total = await jobs.list(
        owner="alice", states=[JobState.COMPLETED], kind=None, definition=None, limit=10, offset=0
    )
    assert ([each.id for each in rows], total) == (["open", "ended"], 2)
    assert (await ExecutionRepository(database).list("alice", agent_id=None, states=None, limit=1, offset=0)) == ([], 0)

    await database.transaction(lambda connection: command.downgrade(migration_config(connection), _BEFORE))

    read = text("SELECT job_input, result, events FROM jobs WHERE id = 'open'")
    found = await database.autocommit(lambda connection: tuple(connection.execute(read).one()))
    documents = [json.loads(each) if isinstance(each, str) else each for each in found]
    assert documents == [job_input("open").model_dump(mode="json"), {"output": "done"}, [{"type": "job_completed"}]]
    bodies = text("SELECT body FROM artifacts ORDER BY id")
    kept = await database.autocommit(lambda connection: list(connection.execute(bodies).scalars()))
    assert [json.loads(body) if isinstance(body, str) else body for body in kept] == [{"a": 1}, {"text": "x" * 1000}]
    names = await database.autocommit(lambda connection: inspect(connection).get_table_names())
    assert not [name for name in names if name.startswith("pruned")]
    await database.close()


async def test_jobs_of_an_older_release_are_found_by_their_labels(url: str):
    database = Database(url)
    jobs = JobRepository(database)
    await database.migrate()
    labels = {"team": "press", "odd:name": "line\n"}
    await jobs.accept(job_input("wf_job_1", labels=labels), request_hash="h", at=at(0))
    await jobs.accept(job_input("wf_job_2"), request_hash="h", at=at(1))
    await closed(jobs, "wf_job_1")
    await database.transaction(lambda connection: command.downgrade(migration_config(connection), "0019"))

    await database.migrate()

    wanted: dict[str, Any] = {"owner": None, "states": None, "kind": None, "definition": None}
    for name, value in labels.items():
        rows, total = await jobs.list(**wanted, labels={name: value}, limit=10, offset=0)
        assert ([row.id for row in rows], total) == (["wf_job_1"], 1)
        ended = await OverviewRepository(database).states(Filter(owner="alice", labels={name: value}))
        assert ended == {JobState.COMPLETED: 1}
    await database.close()


async def test_jobs_of_an_older_release_are_found_by_their_cost(url: str):
    database = Database(url)
    await database.migrate()
    await write(
        database,
        job_rows=[job_row("wf_job_1"), job_row("wf_job_2"), job_row("wf_job_3", JobState.RUNNING)],
        attempt_rows=[attempt_row(f"wf_job_{number}", attempt=number) for number in (1, 2, 3)],
    )
    await database.transaction(lambda connection: command.downgrade(migration_config(connection), "0021"))
    await database.migrate()
    rows = await OverviewRepository(database).dearest(Filter(), limit=10)
    assert [(row.id, row.cost) for row in rows] == [("wf_job_2", 0.01), ("wf_job_1", 0.01)]
    await database.close()


def _fill_webhooks(connection: Connection) -> None:
    keys = text(
        "INSERT INTO api_keys (id, owner, name, scopes, created_by, created_at)"
        " VALUES (:id, :owner, 'n', '[\"jobs:read\"]', 'admin', '2026-11-20 12:00:00+00')"
    )
    for key_id, owner in (("key_1", "key_1"), ("key_2", "newsroom")):
        connection.execute(keys, {"id": key_id, "owner": owner})
    hooks = text(
        "INSERT INTO webhooks (id, owner, url, events, secret, created_at, updated_at) VALUES (:id, :owner,"
        " 'https://example.com', '[]', :secret, '2026-11-20 12:00:00+00', '2026-11-20 12:00:00+00')"
    )
    for number, owner in enumerate(("key_1", "newsroom", "user:ada"), start=1):
        box = Fernet(base64.urlsafe_b64encode(Sealer(_SECRET).derived("seal")))
        sealed = box.encrypt(f"secret {number}".encode()).decode()
        connection.execute(hooks, {"id": f"wh_{number}", "owner": owner, "secret": sealed})


async def test_webhooks_of_an_older_release_open_and_get_the_key_that_is_their_account(url: str):
    database = Database(url)
    await database.transaction(lambda connection: command.upgrade(migration_config(connection), "0011"))
    await database.transaction(_fill_webhooks)
    await database.migrate()
    rows, _ = await WebhookRepository(database).list(owner=None, limit=10, offset=0)
    assert {row.id: row.key_id for row in rows} == {"wh_1": "key_1", "wh_2": None, "wh_3": None}
    for row in rows:
        assert Sealer(_SECRET).unseal(row.secret, row.sealed_for) == f"secret {row.id[-1]}"
    await database.close()


async def test_the_users_of_an_older_release_keep_their_jobs_and_their_sign_ins(url: str):
    database = Database(url)
    users = UserRepository(database)
    await database.transaction(lambda connection: command.upgrade(migration_config(connection), "0011"))
    moment = "2026-11-20 12:00:00+00"

    def fill(connection: Connection) -> None:
        user = {"name": "ada", "hash": "h", "roles": '["admin"]', "at": moment}
        insert = "INSERT INTO users (username, password_hash, roles, created_at) VALUES (:name, :hash, :roles, :at)"
        connection.execute(text(insert), user)
        token = "INSERT INTO refresh_tokens (id, family, subject, expires_at) VALUES ('t', 'f', 'ada', :at)"
        connection.execute(text(token), {"at": "2036-11-20 12:00:00+00"})

    await database.transaction(fill)
    await database.migrate()
    found = await users.account("ada", "f")
    assert found is not None
    assert (found.id, found.username) == ("ada", "ada"), "the jobs of user:ada are hers"
    assert await users.exchange("t", successor="u", expires_at=at(100), at=at(1))
    assert await users.remove("ada", at=at(2)) == "ada"
    await database.transaction(lambda connection: command.downgrade(migration_config(connection), "0011"))
    await database.migrate()
    await database.close()


def test_partial_indices_hold_the_rows_that_the_tables_say(tmp_path: Path) -> None:
    """Alembic does not compare their conditions. A query that repeats another condition would not use the index."""

    def conditions(indexes: Iterable[Any]) -> dict[str, str]:
        options = {index.name: index.dialect_options["sqlite"]["where"] for index in indexes}
        return {name: str(where) for name, where in options.items() if where is not None}

    engine, migrated = create_engine(f"sqlite:///{tmp_path / 'index.db'}"), MetaData()
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "head")
        migrated.reflect(connection)
    engine.dispose()
    declared, made = (
        conditions(index for table in tables.tables.values() for index in table.indexes)
        for tables in (metadata, migrated)
    )
    assert len(declared) > 10
    assert made == declared
