"""A database that is wrong says how, to operators alone: real servers, real files."""

import os
import stat
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from orchestrator.domain.errors import Unavailable
from orchestrator.storage.database import Database
from orchestrator.storage.faults import described
from tests.storage.postgres import PostgresServer


async def fault_of(url: str, *, migrate: bool = False) -> Unavailable:
    database = Database(url)
    try:
        with pytest.raises(Unavailable) as caught:
            await (database.migrate() if migrate else database.ping())
    finally:
        await database.close()
    assert caught.value.message == "The job index does not answer."  # what callers read
    assert "s3cret" not in f"{caught.value.cause} {caught.value.details}"
    return caught.value


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    return f"postgresql+psycopg://postgres:s3cret@127.0.0.1:{postgres.port}/postgres"


async def test_faults_of_postgresql_are_distinguished(postgres: PostgresServer, postgres_url: str) -> None:
    url = make_url(postgres_url)
    missing = await fault_of(url.set(database="nobodys").render_as_string(hide_password=False))
    assert 'database "nobodys" does not exist' in (missing.cause or "")
    assert (missing.remedy or "").startswith("Create that database")

    stranger = await fault_of(url.set(username="stranger").render_as_string(hide_password=False))
    assert 'role "stranger" does not exist' in (stranger.cause or "")
    assert (stranger.remedy or "").startswith("Correct the user and the password")

    refused = await fault_of(url.set(port=1).render_as_string(hide_password=False))
    assert "port 1 failed: Connection refused" in (refused.cause or "")
    assert (refused.remedy or "").startswith("Start the database")

    unknown = await fault_of(url.set(host="no-such-host.invalid").render_as_string(hide_password=False))
    assert "failed to resolve host 'no-such-host.invalid'" in (unknown.cause or "")

    tls = await fault_of(url.update_query_dict({"sslmode": "require"}).render_as_string(hide_password=False))
    assert "server does not support SSL" in (tls.cause or "")
    assert "sslmode" in (tls.remedy or "")


async def test_a_wrong_password_and_too_many_clients(postgres: PostgresServer, postgres_url: str) -> None:
    configuration = postgres.data / "pg_hba.conf"
    before = configuration.read_text()
    with psycopg.connect(postgres.conninfo, autocommit=True) as admin:
        admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'right' CONNECTION LIMIT 0")
        configuration.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            url = make_url(postgres_url).set(username="guarded")
            wrong = await fault_of(url.render_as_string(hide_password=False))
            assert 'password authentication failed for user "guarded"' in (wrong.cause or "")
            assert (wrong.remedy or "").startswith("Correct the user and the password")
            full = await fault_of(url.set(password="right").render_as_string(hide_password=False))
            assert 'too many connections for role "guarded"' in (full.cause or "")
            assert "max_connections" in (full.remedy or "")
        finally:
            configuration.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("DROP ROLE guarded")


async def test_faults_of_files_are_distinguished(tmp_path: Path) -> None:
    prose = tmp_path / "prose"
    prose.write_text("This is not a database. " * 100)
    fault = await fault_of(f"sqlite:///{prose}")
    assert (fault.cause, fault.remedy) == (
        "file is not a database",
        "Move the file away, or restore it from a backup.",
    )

    fault = await fault_of(f"sqlite:///{tmp_path}")
    assert fault.cause == "unable to open database file"
    assert (fault.remedy or "").startswith("Allow this user to write there")

    fault = await fault_of(f"sqlite:///{prose}/inside", migrate=True)
    assert fault.cause in (f"{prose}: Not a directory", f"{prose}: File exists")


async def test_a_full_disk_and_a_read_only_database(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'index.sqlite3'}")
    await database.migrate()
    with pytest.raises(Unavailable) as caught:
        await database.transaction(
            lambda connection: (
                connection.execute(text("PRAGMA max_page_count = 1")).close(),
                connection.execute(text("CREATE TABLE more AS SELECT randomblob(1000000) AS bytes")),
            )
        )
    assert caught.value.cause == "database or disk is full"
    assert caught.value.remedy == "Free space on the disk of the database."
    with pytest.raises(Unavailable) as caught:
        await database.autocommit(
            lambda connection: (
                connection.execute(text("PRAGMA query_only = 1")).close(),
                connection.execute(text("CREATE TABLE more (a INTEGER)")),
            )
        )
    assert caught.value.cause == "attempt to write a readonly database"
    assert (caught.value.remedy or "").startswith("Allow this user to write there")
    await database.close()


async def test_the_log_has_the_sentence_once(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}")
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await database.ping()
    assert [(line["event"], line["fault"]) for line in lines] == [("index_unavailable", "unable to open database file")]
    await database.close()


@pytest.mark.parametrize(
    "message",
    [
        "cannot reach postgresql://u:s3cret@h/n",
        "invalid dsn: host=h password=s3cret user=u",
        "invalid dsn: host=h password = 's3cret' user=u",
        "s3cret is not an option",
    ],
)
def test_no_sentence_has_the_password(message: str) -> None:
    assert "s3cret" not in described(OSError(message), "s3cret").sentence
    if "=" in message or "://" in message:
        assert "s3cret" not in described(OSError(message)).sentence


async def test_the_file_of_an_index_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = Database(f"sqlite:///{tmp_path / 'new' / 'index.sqlite3'}")
        await database.migrate()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
