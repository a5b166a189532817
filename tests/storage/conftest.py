"""The job index on SQLite and on PostgreSQL: every test that takes `database` runs on both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.storage import database as database_module
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from tests.storage.postgres import PostgresServer, running_postgres


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for seconds is no fault here. Tests of the deadline set their own."""
    monkeypatch.setattr(database_module, "DEADLINE", 60.0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole session."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'index.sqlite3'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    database = Database(url)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def jobs(database: Database) -> JobRepository:
    return JobRepository(database)


@pytest.fixture
def attempts(database: Database) -> AttemptRepository:
    return AttemptRepository(database)


@pytest.fixture
def artifacts(database: Database) -> ArtifactRepository:
    return ArtifactRepository(database)
