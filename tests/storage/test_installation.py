"""An index belongs to one installation: the first process marks it, and others are refused."""

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from orchestrator.domain.errors import Misconfigured
from orchestrator.security.sealing import Sealer
from orchestrator.services.secrets.installation import Installation, SecretKey
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.migrate import VERSION_TABLE

OURS, OTHERS = "the secret of all our processes", "another installation's secret"


def installation(database: Database, secret: str = OURS) -> Installation:
    return Installation(InstallationRepository(database), SecretKey(Sealer(secret), "ORCHESTRATOR_SECRET_KEY"))


async def test_a_process_with_another_secret_key_is_refused(database: Database) -> None:
    await installation(database).check_secret_key()
    await installation(database).check_secret_key()
    with pytest.raises(Misconfigured) as caught:
        await installation(database, OTHERS).check_secret_key()
    assert "belongs to another secret key than that of ORCHESTRATOR_SECRET_KEY" in caught.value.for_operators
    assert database.place in caught.value.for_operators
    assert "secret" not in caught.value.message  # what callers read
    await installation(database, OTHERS).bind_secret_key()
    await installation(database, OTHERS).check_secret_key()
    with pytest.raises(Misconfigured):
        await installation(database).check_secret_key()


async def test_of_processes_that_begin_at_once_only_one_secret_key_wins(database: Database) -> None:
    secrets = [OURS, OTHERS] * 4
    checks = (installation(database, secret).check_secret_key() for secret in secrets)
    answers = await asyncio.gather(*checks, return_exceptions=True)
    refused = {secret for secret, answer in zip(secrets, answers, strict=True) if isinstance(answer, Misconfigured)}
    admitted = {secret for secret, answer in zip(secrets, answers, strict=True) if answer is None}
    assert (len(refused), len(admitted)) == (1, 1)
    assert refused.isdisjoint(admitted)


async def test_the_mark_reveals_nothing_of_the_secret(database: Database) -> None:
    await installation(database).check_secret_key()
    (mark,) = (await InstallationRepository(database).read()).values()
    sealer = Sealer(OURS)
    assert len(mark) == 16
    for derived in (sealer.derived("digest"), sealer.derived("seal"), sealer.derived("tokens"), OURS.encode()):
        assert mark not in derived.hex()


def unbound(secret: str, text: str) -> str:
    """What releases before there were places sealed."""
    return Fernet(base64.urlsafe_b64encode(Sealer(secret).derived("seal"))).encrypt(text.encode()).decode()


async def test_an_index_from_before_there_were_marks_is_recognised_by_what_is_sealed_in_it(database: Database) -> None:
    row = {"sealed": unbound(OURS, "whsec_abc"), "at": datetime.now(UTC)}
    insert = text(
        "INSERT INTO webhooks (id, owner, url, events, secret, created_at, updated_at)"
        " VALUES ('w', 'alice', 'https://example.com', '[]', :sealed, :at, :at)"
    )
    await database.transaction(lambda connection: connection.execute(insert, row).close())
    with pytest.raises(Misconfigured):
        await installation(database, OTHERS).check_secret_key()
    await installation(database).check_secret_key()


async def test_jobs_stay_in_one_namespace(database: Database) -> None:
    await installation(database).check_namespace("id-1", "default")
    await installation(database).check_namespace("id-1", "default")
    with pytest.raises(Misconfigured) as caught:
        await installation(database).check_namespace("id-2", "defualt")
    reason = caught.value.for_operators
    assert "are in the Temporal namespace 'default' (id id-1), and this process uses 'defualt' (id id-2)" in reason
    assert "`orchestrator bind --namespace`" in reason
    await installation(database).bind_namespace("id-2", "defualt")
    await installation(database).check_namespace("id-2", "defualt")


async def test_a_database_of_another_program_is_left_alone(url: str) -> None:
    database = Database(url)
    for name in ("jobs", "invoices"):
        create = text(f"CREATE TABLE {name} (id INTEGER)")
        await database.transaction(lambda connection, create=create: connection.execute(create).close())
    with pytest.raises(Misconfigured) as caught:
        await database.migrate()
    assert "belongs to another program: it has tables (invoices, jobs)" in caught.value.for_operators
    assert "ORCHESTRATOR_DATABASE_URL" in caught.value.for_operators
    await database.close()


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite3"
    file.write_bytes(b"meeting notes\n" * 1000)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(Misconfigured) as caught:
        await database.migrate()
    assert "file is not a database. Move the file away" in caught.value.for_operators
    await database.close()


async def test_an_index_of_a_newer_release_is_left_alone(database: Database) -> None:
    newer = text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    await database.transaction(lambda connection: connection.execute(newer).close())
    with pytest.raises(Misconfigured) as caught:
        await database.migrate()
    assert "was created by a newer release" in caught.value.for_operators
