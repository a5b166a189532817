import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from structlog.testing import capture_logs

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.usage import Usage
from orchestrator.storage import attempts as attempts_module
from orchestrator.storage import database as database_module
from orchestrator.storage import late_writes
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.migrate import VERSION_TABLE, migration_config
from orchestrator.storage.tables import metadata
from orchestrator.testing import GivenSettings, eventually
from tests.ledger import ledger
from tests.storage.postgres import PostgresServer
from tests.storage.rows import accepted, at, closed, job_input, task, tokens_since

MIGRATE = """
import asyncio, sys
from orchestrator.storage.database import Database

async def main():
    database = Database(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await database.migrate()
    await database.close()

asyncio.run(main())
"""


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrations_make_what_the_tables_say(database: Database):
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await database.autocommit(differences) == []
    assert await database.autocommit(_tables) == {*metadata.tables, VERSION_TABLE}


async def test_migration_again_keeps_the_rows(database: Database, jobs: JobRepository):
    job = await accepted(jobs, job_input())

    await database.migrate()

    assert await jobs.get(job.job_id) is not None


async def test_processes_migrate_at_once(url: str):
    assert await asyncio.to_thread(_migrate_in_processes, url, 3) == [("", 0)] * 3

    database = Database(url)
    assert await database.autocommit(_tables) == {*metadata.tables, VERSION_TABLE}
    await database.close()


def _migrate_in_processes(url: str, count: int) -> list[tuple[str, int]]:
    """Error output and exit code of processes that are let go together."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", MIGRATE, url], text=True, **pipes) for _ in range(count)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return [(process.communicate(timeout=60)[1], process.returncode) for process in processes]


async def test_attempts_from_before_calls_were_numbered_are_those_of_first_calls(
    database: Database, attempts: AttemptRepository, jobs: JobRepository
):
    job = await accepted(jobs, job_input())
    for number in (1, 2):
        again = task(job, 0).model_copy(update={"call": number})
        await attempts.started(again, attempt=1, at=at(1))
        await attempts.ended(again, attempt=1, at=at(2), status=AttemptStatus.COMPLETED)
    first, _ = await attempts.for_job(job.job_id)

    await database.transaction(lambda connection: command.downgrade(migration_config(connection), "0004"))
    await database.migrate()

    assert await attempts.for_job(job.job_id) == [first]
    indices = await database.autocommit(lambda connection: inspect(connection).get_indexes("attempts"))
    assert {index["name"] for index in indices} == {index.name for index in metadata.tables["attempts"].indexes}


async def test_migrations_can_be_taken_back(database: Database):
    await database.transaction(lambda connection: command.downgrade(migration_config(connection), "base"))

    assert await database.autocommit(_tables) == {VERSION_TABLE}


async def test_transaction_is_all_or_nothing(database: Database, jobs: JobRepository):
    await accepted(jobs, job_input())

    def interrupted(connection: Connection) -> None:
        connection.execute(text("UPDATE jobs SET owner = 'bob'"))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await database.transaction(interrupted)

    row = await jobs.get("wf_job_1")
    assert row is not None
    assert row.owner == "alice"


async def test_transaction_that_reads_first_can_write_although_another_wants_to(url: str, database: Database):
    other = threading.Thread(target=lambda: asyncio.run(_accept_elsewhere(url)))

    def read_then_write(connection: Connection) -> None:
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0
        other.start()
        other.join(0.2)
        connection.execute(text("DELETE FROM attempts"))

    await database.transaction(read_then_write)
    await asyncio.to_thread(other.join)

    assert await JobRepository(database).get("wf_job_1") is not None


async def _accept_elsewhere(url: str) -> None:
    database = Database(url)
    await accepted(JobRepository(database), job_input())
    await database.close()


async def test_another_program_that_closes_the_database_does_not_delete_the_log_of_this_process(tmp_path: Path):
    file = tmp_path / "index.sqlite3"
    database = Database(f"sqlite:///{file}")
    await database.migrate()
    await database.migrate()  # the API and the worker of one process both do so
    read = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM jobs').fetchone()[0])"
    command = [sys.executable, "-c", read, str(file)]
    first = await asyncio.to_thread(subprocess.check_output, command)
    await JobRepository(database).accept(job_input(), request_hash="hash", at=at(0))
    second = await asyncio.to_thread(subprocess.check_output, command)
    await database.close()
    assert (first.strip(), second.strip()) == (b"0", b"1")


async def test_sqlite_is_tuned(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'new' / 'index.sqlite3'}")
    await database.migrate()

    names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    values = await database.autocommit(
        lambda connection: [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]
    )

    await database.close()
    assert values == ["wal", 1, 5000, 1]


async def test_stopped_postgres_is_unavailable_and_comes_back(postgres: PostgresServer):
    url = postgres.new_database()
    database = Database(url)
    await database.migrate()
    jobs, attempts = JobRepository(database), AttemptRepository(database)
    job = await accepted(jobs, job_input())
    postgres.stop()
    try:
        with pytest.raises(Unavailable):
            await database.ping()
        with pytest.raises(Unavailable):
            await database.migrate()
        await _nothing_answers(jobs, attempts)
    finally:
        postgres.start()

    await attempts.started(task(job, 0), attempt=1, at=at(1))
    (row,) = await attempts.for_job(job.job_id)
    assert row.attempt.status is AttemptStatus.RUNNING
    await database.close()
    postgres.drop_database(url)


async def test_restart_of_postgres_costs_no_request(postgres: PostgresServer):
    url = postgres.new_database()
    database = Database(url)
    await database.migrate()
    postgres.stop()
    postgres.start()

    await accepted(JobRepository(database), job_input())

    await database.close()
    postgres.drop_database(url)


async def test_unusable_database_is_unavailable(tmp_path: Path):
    (tmp_path / "index.sqlite3").write_text("this is no database, " * 100)
    database = Database(f"sqlite:///{tmp_path / 'index.sqlite3'}")

    with pytest.raises(Unavailable):
        await database.ping()
    with pytest.raises(Unavailable):
        await database.migrate()
    await _nothing_answers(JobRepository(database), AttemptRepository(database))
    await database.close()


async def test_database_without_the_schema_is_unavailable(url: str):
    database = Database(url)

    await _nothing_answers(JobRepository(database), AttemptRepository(database))
    await database.close()


async def _nothing_answers(jobs: JobRepository, attempts: AttemptRepository) -> None:
    job = job_input("wf_job_new")
    with pytest.raises(Unavailable):
        await jobs.accept(job, request_hash="hash", at=at(0))
    with pytest.raises(Unavailable):
        await jobs.snapshot(job.job_id)
    with pytest.raises(Unavailable):
        await attempts.for_job(job.job_id)
    with capture_logs() as logs:
        await attempts.started(task(job, 0), attempt=1, at=at(1))
        await attempts.ended(task(job, 0), attempt=1, at=at(2), status=AttemptStatus.COMPLETED)
    # Other tests' engines may still be at work in this process.
    failed = [log for log in logs if log["event"] == "index_write_failed" and log["job_id"] == job.job_id]
    assert [log["operation"] for log in failed] == ["started", "ended"]


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[None]:
    """Another program holds the tables."""
    with _sqlite_lock(url) if url.startswith("sqlite") else _postgres_lock(url):
        yield


@contextmanager
def _sqlite_lock(url: str) -> Iterator[None]:
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def _postgres_lock(url: str) -> Iterator[None]:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as other:
        other.execute("LOCK TABLE jobs, attempts IN ACCESS EXCLUSIVE MODE")
        yield


async def test_locked_database_is_unavailable(url: str, jobs: JobRepository, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_module, "DEADLINE", 0.5)
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 100)
    job = await accepted(jobs, job_input())
    impatient = Database(url)

    async with _locked(url):
        with pytest.raises(Unavailable):
            await JobRepository(impatient).started(job.job_id, "run-1", "ns")
        with pytest.raises(Unavailable):
            await closed(JobRepository(impatient), job.job_id)

    await JobRepository(impatient).started(job.job_id, "run-2", "ns")
    row = await jobs.get(job.job_id)
    assert row is not None
    assert (row.run_id, row.state) == ("run-2", JobState.PENDING)
    await impatient.close()


async def test_locked_database_holds_no_attempt(
    url: str, jobs: JobRepository, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attempts_module, "WRITE_LIMIT", 0.3)
    job = await accepted(jobs, job_input())

    async with _locked(url):
        async with asyncio.timeout(4):
            with capture_logs() as logs:
                await attempts.started(task(job, 0), attempt=1, at=at(1))

    assert [log["fault"] for log in logs if log["event"] == "index_write_failed"] == ["slow"]
    await attempts.started(task(job, 0), attempt=2, at=at(5))
    assert [row.attempt.number for row in await attempts.for_job(job.job_id)] == [2]


async def test_an_end_that_a_locked_database_does_not_take_is_written_later(
    url: str, jobs: JobRepository, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attempts_module, "WRITE_LIMIT", 0.3)
    monkeypatch.setattr(database_module, "DEADLINE", 0.5)
    job = await accepted(jobs, job_input())
    mine = task(job, 0).model_copy(update={"owner": "alice"})
    await attempts.started(mine, attempt=1, at=at(1))
    async with _locked(url):
        await attempts.ended(
            mine, attempt=1, at=at(2), status=AttemptStatus.COMPLETED, usage=Usage(prompt_tokens=3)
        )  # the call has its answer, although nothing is written
    await eventually(lambda: tokens_since(attempts, "alice", at(0)), lambda used: used == 3)
    (row,) = await attempts.for_job(job.job_id)
    assert (row.attempt.status, row.attempt.completed_at) == (AttemptStatus.COMPLETED, at(2))


async def test_ends_that_are_late_are_written_before_the_process_ends(
    url: str, jobs: JobRepository, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(late_writes, "_BACKOFF", Backoff(3600.0, 3600.0))
    monkeypatch.setattr(attempts_module, "WRITE_LIMIT", 0.3)
    monkeypatch.setattr(late_writes, "_MAX_WRITES", 2)
    job = await accepted(jobs, job_input())
    with capture_logs() as logs:
        async with _locked(url):
            for number in (1, 2, 3):
                await attempts.ended(task(job, 0), attempt=number, at=at(number), status=AttemptStatus.FAILED)
            await attempts.settle()
    assert await attempts.for_job(job.job_id) == []
    given_up = [(log["count"], log["reason"]) for log in logs if log["event"] == "late_writes_given_up"]
    assert given_up == [(1, "the queue is full"), (2, "the process ends")]
    monkeypatch.setattr(attempts_module, "WRITE_LIMIT", 10)
    await attempts.settle()
    assert [row.attempt.number for row in await attempts.for_job(job.job_id)] == [1, 2]


async def test_short_lock_is_waited_for(
    url: str, jobs: JobRepository, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
):
    job = await accepted(jobs, job_input())

    async with _locked(url):
        writing = asyncio.create_task(attempts.started(task(job, 0), attempt=1, at=at(1)))
        await asyncio.wait({writing}, timeout=0.1)
        assert not writing.done()
    with capture_logs() as logs:
        await writing

    assert logs == []
    assert len(await attempts.for_job(job.job_id)) == 1


async def test_fault_does_not_name_the_password():
    database = Database("postgresql+psycopg://user:s3cret@127.0.0.1:1/index")

    with pytest.raises(Unavailable) as caught:
        await database.ping()

    assert "s3cret" not in _log_line(caught.value)
    await database.close()


async def test_fault_does_not_name_the_data(url: str):
    database = Database(url)  # Without its tables, so that the statement fails and not the connection.

    with pytest.raises(Unavailable) as caught:
        await JobRepository(database).accept(job_input(owner="private-owner"), request_hash="hash", at=at(0))

    assert "INSERT INTO jobs" in _log_line(caught.value)
    assert "private-owner" not in _log_line(caught.value)
    await database.close()


def _log_line(fault: Unavailable) -> str:
    return f"{fault!r} {fault.details} {fault.__cause__!r} {fault.__cause__}"


async def test_data_that_cannot_be_stored(url: str, jobs: JobRepository):
    bad = job_input(webhook_url="https://example.com/\0")
    if url.startswith("postgresql"):
        with pytest.raises(InvalidInput):
            await jobs.accept(bad, request_hash="hash", at=at(0))
    else:
        await accepted(jobs, bad)


@pytest.mark.parametrize("field", [{"input": {"text": "half \ud800"}}, {"name": "half \ud800"}])
async def test_half_a_character_cannot_be_stored(jobs: JobRepository, field: dict[str, Any]):
    with pytest.raises(InvalidInput):
        await jobs.accept(job_input().model_copy(update=field), request_hash="hash", at=at(0))


async def test_numbers_that_json_lacks_become_null(jobs: JobRepository):
    await accepted(jobs, job_input(input={"a": float("nan"), "b": float("inf")}))

    row = await jobs.get("wf_job_1")
    assert row is not None
    assert row.job.input == {"a": None, "b": None}


@ledger("M-051")
async def test_a_process_opens_as_many_connections_as_its_pool_and_overflow_allow(postgres: PostgresServer):
    url = postgres.new_database()
    database = Database(url, pool_size=2, max_overflow=1)
    opened: list[int] = []

    def look(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(0.1)"))
        of_ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        opened.append(connection.execute(text(of_ours)).scalar_one())

    await asyncio.gather(*(database.autocommit(look) for _ in range(9)))
    await database.close()
    postgres.drop_database(url)
    assert max(opened) == 3


@ledger("M-051")
def test_the_printed_engine_is_a_matter_of_settings():
    printed = {"database_url": "postgresql+asyncpg://user:password@localhost/db"}
    settings = GivenSettings(**printed, database_pool_size=20, database_max_overflow=40)
    assert settings.index_url() == "postgresql+psycopg://user:password@localhost/db"
    assert (settings.database_pool_size, settings.database_max_overflow) == (20, 40)
