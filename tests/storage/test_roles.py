"""The roles that `temporal/setup-roles.sh` makes: each can use its own databases, and nothing else."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.storage.database import Database
from tests.storage.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
DATABASES = {"temporal": "temporal", "temporal_visibility": "temporal", "orchestrator": "orchestrator"}


@pytest.fixture
def server(postgres: PostgresServer, tmp_path: Path) -> Iterator[PostgresServer]:
    if shutil.which("psql") is None:
        pytest.skip("psql is not on the path")
    (tmp_path / "temporal_db_password").write_text("it's a 'test'\n")
    (tmp_path / "orchestrator_db_password").write_text("another\n")
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "SECRETS_DIR": str(tmp_path)}
    subprocess.run(["sh", str(ROOT / "temporal" / "setup-roles.sh")], env={**os.environ, **where}, check=True)
    yield postgres
    with psycopg.connect(postgres.conninfo, autocommit=True) as admin:
        for database in DATABASES:
            admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
        admin.execute("DROP ROLE temporal")
        admin.execute("DROP ROLE orchestrator")


async def test_a_role_has_its_own_databases_and_no_other_right(server: PostgresServer) -> None:
    for role in ("temporal", "orchestrator"):
        for database, owner in DATABASES.items():
            where = f"host=127.0.0.1 port={server.port} user={role} dbname={database}"
            if owner == role:
                with psycopg.connect(where, autocommit=True) as own:
                    own.execute("CREATE TABLE mine (id int)")
                    own.execute("DROP TABLE mine")
                    for right in ("CREATE DATABASE more", "CREATE ROLE more", "COPY (SELECT 1) TO PROGRAM 'true'"):
                        with pytest.raises(psycopg.errors.InsufficientPrivilege):
                            own.execute(right.encode())
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    psycopg.connect(where)
    index = Database(f"postgresql+psycopg://orchestrator@127.0.0.1:{server.port}/orchestrator")
    await index.migrate()
    await index.close()
