"""`orchestrator doctor` in broken situations, each real: the finding names what is wrong, and the remedy."""

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from temporalio.client import Client

from orchestrator.commandline.doctor import probes
from orchestrator.commandline.doctor.command import _Doctor
from orchestrator.domain.findings import Finding, Verdict
from orchestrator.engine.namespace import create_namespace, ensure_namespace
from orchestrator.security.sealing import Sealer
from orchestrator.services.secrets.installation import Installation, SecretKey
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.migrate import VERSION_TABLE
from tests.e2e.processes import Command, free_port
from tests.fakes.bucket import Bucket
from tests.fakes.openai_server import OpenAIServer
from tests.redis_server import RedisServer
from tests.storage.postgres import PostgresServer, running_postgres

SECRET = "s3cret-and-long-enough"


@dataclass
class Machine:
    """Where a situation happens."""

    folder: Path
    temporal: str
    postgres: PostgresServer
    redis: RedisServer
    monkeypatch: pytest.MonkeyPatch

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self) -> str:
        return self.postgres.new_database().replace("postgres@", f"postgres:{SECRET}@")

    def plugin(self, name: str, source: str) -> dict[str, str]:
        (self.folder / f"{name}.py").write_text(source)
        self.monkeypatch.syspath_prepend(str(self.folder))
        return {"ORCHESTRATOR_PLUGINS": name}

    async def database(self, url: str, *statements: str) -> Database:
        """A migrated index, after these statements."""
        database = Database(url)
        await database.migrate()
        for statement in statements:
            run = text(statement)
            await database.transaction(lambda connection, run=run: connection.execute(run).close())
        return database


@dataclass
class Situation:
    """What is set, and what `doctor` has to say of it."""

    check: str
    sentence: str
    remedy: str
    settings: dict[str, str] = field(default_factory=dict)
    verdict: Verdict = Verdict.FAILED
    ports: tuple[int | None, int | None, int | None] = (None, None, None)


Make = Callable[[Machine], AsyncIterator[Situation]]
SITUATIONS: list[Callable[[Machine], AbstractAsyncContextManager[Situation]]] = []


def situation(make: Make) -> Make:
    SITUATIONS.append(asynccontextmanager(make))
    return make


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@situation
async def the_port_of_the_api_is_taken(machine: Machine) -> AsyncIterator[Situation]:
    with held_port() as port:
        ports = (port, free_port(), free_port())
        yield Situation(f"port {port}", "API: taken by another program", "--port", ports=ports)


@situation
async def the_port_of_temporal_is_taken_by_another_program(machine: Machine) -> AsyncIterator[Situation]:
    with held_port() as port:
        ports = (free_port(), port, free_port())
        yield Situation(
            "temporal", f"another program answers at 127.0.0.1:{port}", "--temporal-port", {}, Verdict.WARNING, ports
        )


@situation
async def temporal_is_down(machine: Machine) -> AsyncIterator[Situation]:
    where = f"127.0.0.1:{free_port()}"
    yield Situation(
        "temporal",
        f"Temporal does not answer at {where}: connection refused",
        "Start the server, or correct TEMPORAL_ADDRESS",
        {"TEMPORAL_ADDRESS": where},
    )


@situation
async def the_host_of_temporal_is_unknown(machine: Machine) -> AsyncIterator[Situation]:
    report = "Temporal does not answer at temporal.invalid:7233: its host name is not known"
    yield Situation("temporal", report, "Correct TEMPORAL_ADDRESS", {"TEMPORAL_ADDRESS": "temporal.invalid:7233"})


@situation
async def the_address_of_temporal_has_no_port(machine: Machine) -> AsyncIterator[Situation]:
    yield Situation("temporal", "Invalid TEMPORAL_ADDRESS 'temporal'", "HOST:PORT", {"TEMPORAL_ADDRESS": "temporal"})


@situation
async def the_port_of_temporal_is_none(machine: Machine) -> AsyncIterator[Situation]:
    yield Situation(
        "temporal", "Invalid TEMPORAL_ADDRESS 'h:70000'", "from 1 to 65535", {"TEMPORAL_ADDRESS": "h:70000"}
    )


@situation
async def temporal_speaks_no_tls(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": machine.temporal, "TEMPORAL_TLS": "true"}
    yield Situation("temporal", "does not use TLS, but TLS is switched on", "TEMPORAL_TLS", settings)


@situation
async def the_certificate_for_temporal_is_missing(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": machine.temporal, "TEMPORAL_TLS_CLIENT_CERT_PATH": "/no/such/file"}
    yield Situation("temporal", "No such file or directory", "Correct the TEMPORAL_* variables", settings)


@situation
async def something_else_answers_as_temporal(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": f"127.0.0.1:{machine.redis.port}"}
    yield Situation("temporal", f"Temporal does not answer at {settings['TEMPORAL_ADDRESS']}", "TEMPORAL_", settings)


@situation
async def the_namespace_does_not_exist(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": machine.temporal, "TEMPORAL_NAMESPACE": "prodd"}
    yield Situation("namespace", "has no namespace 'prodd'", "Correct TEMPORAL_NAMESPACE", settings)


@situation
async def the_namespace_is_not_that_of_the_index(machine: Machine) -> AsyncIterator[Situation]:
    database = await machine.database(f"sqlite:///{machine.data}/index.sqlite3")
    key = SecretKey(Sealer(SECRET), "a test")
    await Installation(InstallationRepository(database), key).check_namespace("another-id", "prod")
    await database.close()
    report = "are in the Temporal namespace 'prod' (id another-id), and this process uses 'default'"
    yield Situation("namespace", report, "orchestrator bind --namespace", {"TEMPORAL_ADDRESS": machine.temporal})


@asynccontextmanager
async def namespace(machine: Machine, name: str, **attributes: str) -> AsyncIterator[dict[str, str]]:
    client = await Client.connect(machine.temporal, namespace=name)
    await create_namespace(client, retention_days=3)
    if attributes:
        await ensure_namespace(client, retention_days=3, attributes=attributes)
    yield {"TEMPORAL_ADDRESS": machine.temporal, "TEMPORAL_NAMESPACE": name}


@situation
async def nobody_has_prepared_the_namespace(machine: Machine) -> AsyncIterator[Situation]:
    async with namespace(machine, "doctor-bare") as settings:
        webhook = "not registered: JobDefinition, JobKind, JobOwner"
        yield Situation("search attributes", webhook, "start of a worker registers them", settings, Verdict.WARNING)


@situation
async def a_search_attribute_has_another_type(machine: Machine) -> AsyncIterator[Situation]:
    async with namespace(machine, "doctor-types", JobKind="Int") as settings:
        yield Situation("search attributes", "JobKind is Int, not Keyword", "TEMPORAL_NAMESPACE", settings)


@situation
async def temporal_forgets_sooner_than_the_settings_say(machine: Machine) -> AsyncIterator[Situation]:
    async with namespace(machine, "doctor-retention") as settings:
        report = "3 days; the settings say 30"
        yield Situation("retention", report, "start of a worker sets it", settings, Verdict.WARNING)


@situation
async def nobody_polls_the_task_queue(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": machine.temporal, "ORCHESTRATOR_TASK_QUEUE": "misspelt"}
    async with namespace(machine, "default"):
        yield Situation(
            "worker", "no worker polls task queue misspelt", "orchestrator worker", settings, Verdict.WARNING
        )


@situation
async def the_database_is_down(machine: Machine) -> AsyncIterator[Situation]:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/index"
    yield Situation("database", "Connection refused", "Start the database", {"ORCHESTRATOR_DATABASE_URL": url})


@situation
async def the_database_does_not_exist(machine: Machine) -> AsyncIterator[Situation]:
    url = f"postgresql://postgres:{SECRET}@127.0.0.1:{machine.postgres.port}/missing"
    yield Situation(
        "database", 'database "missing" does not exist', "Create that database", {"ORCHESTRATOR_DATABASE_URL": url}
    )


@asynccontextmanager
async def guarded_role(machine: Machine, name: str) -> AsyncIterator[str]:
    """A role that needs a password and may not connect."""
    configuration = machine.postgres.data / "pg_hba.conf"
    before = configuration.read_text()
    with psycopg.connect(machine.postgres.conninfo, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 0")  # type: ignore[arg-type]
        configuration.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield f"127.0.0.1:{machine.postgres.port}/postgres"
        finally:
            configuration.write_text(before)
            admin.execute("SELECT pg_reload_conf()")


@situation
async def the_password_of_the_database_is_wrong(machine: Machine) -> AsyncIterator[Situation]:
    async with guarded_role(machine, "wrong_password") as place:
        settings = {"ORCHESTRATOR_DATABASE_URL": f"postgresql://wrong_password:{SECRET}x@{place}"}
        report = 'password authentication failed for user "wrong_password"'
        yield Situation("database", report, "Correct the user and the password", settings)


@situation
async def the_database_has_too_many_clients(machine: Machine) -> AsyncIterator[Situation]:
    async with guarded_role(machine, "too_many") as place:
        settings = {"ORCHESTRATOR_DATABASE_URL": f"postgresql://too_many:{SECRET}@{place}"}
        yield Situation("database", "too many connections", "max_connections", settings)


@situation
async def the_index_is_no_database(machine: Machine) -> AsyncIterator[Situation]:
    machine.data.mkdir()
    (machine.data / "index.sqlite3").write_text("Minutes of the meeting. " * 100)
    yield Situation("database", "file is not a database", "Move the file away")


@situation
async def the_database_is_another_programs(machine: Machine) -> AsyncIterator[Situation]:
    url = machine.url()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    report = "has tables of another program (invoices)"
    yield Situation("database", report, "a separate database", {"ORCHESTRATOR_DATABASE_URL": url})


@situation
async def the_index_is_of_a_newer_release(machine: Machine) -> AsyncIterator[Situation]:
    url = f"sqlite:///{machine.data}/index.sqlite3"
    await (await machine.database(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")).close()
    yield Situation("database", "schema 9999 is newer than this version", "Use the version that created it")


@situation
async def a_variable_is_misspelt(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"ORCHESTRATOR_DATABSE_URL": "sqlite:///x"}
    report = "ORCHESTRATOR_DATABSE_URL is not a setting"
    yield Situation("settings", report, "ORCHESTRATOR_DATABASE_URL?", settings, Verdict.WARNING)


@situation
async def the_data_directory_is_a_file(machine: Machine) -> AsyncIterator[Situation]:
    machine.data.write_text("")
    yield Situation("data directory", f"{machine.data} is not a directory", "--data-dir")


@situation
async def the_disk_is_full(machine: Machine) -> AsyncIterator[Situation]:
    usage = shutil.disk_usage(machine.folder)._replace(free=3 * 2**20)
    machine.monkeypatch.setattr(probes.shutil, "disk_usage", lambda _path: usage)
    yield Situation("data directory", "3 MiB free on its disk", "Free some space")


@situation
async def the_secret_key_is_another(machine: Machine) -> AsyncIterator[Situation]:
    database = await machine.database(url := machine.url())
    key = SecretKey(Sealer(SECRET), "a test")
    await Installation(InstallationRepository(database), key).check_secret_key()
    await database.close()
    settings = {"ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_SECRET_KEY": "another secret key"}
    report = "belongs to another secret key than that of ORCHESTRATOR_SECRET_KEY"
    yield Situation("secret key", report, "Give every process the same", settings)


@situation
async def the_secret_key_is_left_to_each_data_directory(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"ORCHESTRATOR_DATABASE_URL": machine.url()}
    report = "processes with another data directory use another key"
    yield Situation("secret key", report, "Set ORCHESTRATOR_SECRET_KEY", settings, Verdict.WARNING)


@situation
async def nobody_has_the_admin_key(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"TEMPORAL_ADDRESS": machine.temporal}
    yield Situation(
        "admin key", "this installation cannot be managed", "Set ORCHESTRATOR_ADMIN_API_KEY", settings, Verdict.WARNING
    )


@situation
async def strangers_may_start_sessions(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"ORCHESTRATOR_PUBLIC_SESSIONS": "true"}
    remedy = "Unset ORCHESTRATOR_PUBLIC_SESSIONS"
    yield Situation("public sessions", "can start sessions without a key", remedy, settings, Verdict.WARNING)


@situation
async def the_clock_is_wrong(machine: Machine) -> AsyncIterator[Situation]:
    offset = datetime.now(UTC) - datetime(2026, 1, 1, tzinfo=UTC)
    machine.monkeypatch.setattr(probes, "_now", lambda: datetime.now(UTC) - offset)
    settings = {"ORCHESTRATOR_DATABASE_URL": machine.url()}
    yield Situation("clock", "s ahead of this machine's", "time server", settings)


@situation
async def redis_is_down(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"ORCHESTRATOR_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"}
    yield Situation("redis", "Connect call failed", "Start that Redis", settings)


@situation
async def the_password_of_redis_is_wrong(machine: Machine) -> AsyncIterator[Situation]:
    machine.redis.ready()
    settings = {"ORCHESTRATOR_REDIS_URL": f"redis://nobody:{SECRET}@127.0.0.1:{machine.redis.port}/0"}
    yield Situation("redis", "invalid username-password pair", "Correct the password", settings)


@situation
async def the_bucket_refuses(machine: Machine) -> AsyncIterator[Situation]:
    async with Bucket() as bucket:
        bucket.denied = True
        yield Situation("value store", "The value store does not answer", "AWS_", _bucket(bucket.endpoint))


@situation
async def the_library_for_buckets_is_not_installed(machine: Machine) -> AsyncIterator[Situation]:
    machine.monkeypatch.setitem(sys.modules, "orchestrator.storage.bucket", None)
    report = "ORCHESTRATOR_VALUE_STORE_URL needs the extra `s3`"
    yield Situation("value store", report, "pip install 'orchestrator[s3]'", _bucket("http://127.0.0.1:1"))


def _bucket(endpoint: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
    return {"ORCHESTRATOR_VALUE_STORE_URL": "s3://bucket/prefix", "AWS_ENDPOINT_URL": endpoint, **keys}


@situation
async def a_plugin_cannot_be_imported(machine: Machine) -> AsyncIterator[Situation]:
    settings = machine.plugin("doctor_import", "import acme_that_is_nowhere")
    yield Situation("catalogue", "doctor_import: cannot be imported: No module named", "Fix the plugin", settings)


@situation
async def a_plugin_forgets_a_comma(machine: Machine) -> AsyncIterator[Situation]:
    source = (
        "from orchestrator.authoring import Plugin\n"
        "from workflows.registry import DEFINITIONS\n"
        "plugin = Plugin(name='acme', workflows=(DEFINITIONS[0]))\n"
    )
    report = "`workflows` of the plugin is a WorkflowDefinition: use a tuple, also for one entry: (workflow,)"
    yield Situation("catalogue", report, "Fix the plugin", machine.plugin("doctor_comma", source))


@situation
async def a_plugin_ends_the_program(machine: Machine) -> AsyncIterator[Situation]:
    settings = machine.plugin("doctor_exit", "raise SystemExit('ACME_TOKEN is not set')")
    yield Situation("catalogue", "ACME_TOKEN is not set", "Fix the plugin", settings)


@situation
async def a_model_has_no_provider(machine: Machine) -> AsyncIterator[Situation]:
    settings = {"OPENAI_API_KEY": "sk-test", "ORCHESTRATOR_DEFAULT_MODEL": "anthropic:claude-sonnet"}
    yield Situation("models", "no provider for anthropic:claude-sonnet", "Set ORCHESTRATOR_DEFAULT_MODEL", settings)


@situation
async def the_model_server_is_down(machine: Machine) -> AsyncIterator[Situation]:
    url = f"http://127.0.0.1:{free_port()}/v1"
    yield Situation("models", f"{url} does not answer", "Start that server", {"ORCHESTRATOR_LLM_BASE_URL": url})


@situation
async def a_proxy_is_set_and_the_model_server_is_on_this_machine(machine: Machine) -> AsyncIterator[Situation]:
    async with OpenAIServer() as server:
        dead = f"http://127.0.0.1:{free_port()}"
        settings = {"HTTP_PROXY": dead, "http_proxy": dead, "ORCHESTRATOR_LLM_BASE_URL": server.url}
        yield Situation("models", f"OpenAI-compatible endpoint {server.url}", "", settings, Verdict.OK)


def name_of(make: Callable[..., object]) -> str:
    return make.__name__


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def machine(
    tmp_path: Path,
    temporal_address: str,
    postgres: PostgresServer,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    for name in [name for name in os.environ if name.startswith(("ORCHESTRATOR_", "TEMPORAL_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path, temporal_address, postgres, redis_server, monkeypatch)


async def findings(machine: Machine, found: Situation) -> list[Finding]:
    for name, value in found.settings.items():
        machine.monkeypatch.setenv(name, value)
    return await _Doctor(Settings(data_dir=machine.data), found.ports).findings()


@pytest.mark.parametrize("make", SITUATIONS, ids=name_of)
async def test_each_situation_is_named_with_its_remedy(
    machine: Machine, make: Callable[[Machine], AbstractAsyncContextManager[Situation]]
) -> None:
    async with make(machine) as expected:
        before = set(machine.folder.rglob("*"))
        results = await findings(machine, expected)
    entries = [f"{one.verdict} {one.check}: {one.message} {one.remedy}" for one in results]
    (finding,) = [one for one in results if one.check == expected.check]
    assert finding.verdict is expected.verdict, entries
    assert expected.sentence in finding.message
    assert expected.remedy in (finding.remedy or "")
    assert not [line for line in entries if SECRET in line]
    assert not [line for line in entries if "the check itself failed" in line]
    made = {path.name for path in set(machine.folder.rglob("*")) - before}
    assert not {name for name in made if "pycache" not in name and not name.endswith((".pyc", "-shm", "-wal"))}


async def test_findings_are_printed_and_counted_in_the_exit_code(machine: Machine) -> None:
    sound = Command(machine.folder, "doctor", "--json", "--data-dir", str(machine.data))
    await sound.start(cwd=machine.folder)
    assert sound.process is not None
    assert await sound.process.wait() == 0, sound.text()
    before = sound.text()
    broken = Command(
        machine.folder,
        "doctor",
        "--data-dir",
        str(machine.data),
        TEMPORAL_ADDRESS="nowhere",
        ORCHESTRATOR_DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/index",
    )
    await broken.start(cwd=machine.folder)
    assert broken.process is not None
    assert await broken.process.wait() == 1
    output = broken.text().removeprefix(before)
    assert "failed  temporal" in output
    assert "failed  database" in output
    assert "Traceback" not in output
    assert SECRET not in output
