"""The probes of `orchestrator doctor`: read this machine and other servers, change nothing, reveal no secret."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
from sqlalchemy import URL, Connection, func, inspect, make_url, select
from sqlalchemy.exc import ArgumentError

from orchestrator.bus.over_redis import open_redis, redis_fault
from orchestrator.commandline.doctor.checks import Folder, Index, Key, Port, PortUse
from orchestrator.commandline.server.ports import is_taken
from orchestrator.composition.backend import open_value_store
from orchestrator.domain.errors import OrchestratorError, Unavailable
from orchestrator.engine.devserver import HOST
from orchestrator.network.loopback import leads_to_this_machine
from orchestrator.security.data_files import open_to_others
from orchestrator.security.sealing import Sealer, secret_file
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.migrate import foreign_tables, schema_version, versions
from orchestrator.storage.tables import installation

_API: Final = 8000
TEMPORAL_PORT: Final = 7233
_UI: Final = 8233
_TIMEOUT: Final = 5.0


def folder(data_dir: Path) -> Folder:
    """The data directory, or where it would be created."""
    place = str(data_dir)
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if not existing.is_dir():
        return Folder(place, exists=False, fault=f"{existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Folder(place, exists=existing == data_dir, fault=f"this user cannot write to {existing}")
    free = shutil.disk_usage(existing).free
    readable_paths = tuple(str(path) for path in open_to_others(data_dir))
    return Folder(place, exists=existing == data_dir, free=free, readable_paths=readable_paths)


async def ports(options: tuple[int | None, int | None, int | None], *, temporal_answers: bool | None) -> list[Port]:
    """The ports of API, Temporal and its UI; only the API's if `dev` starts no Temporal (`temporal_answers` None)."""
    (api, temporal, ui), named = zip(*map(_or_default, options, (_API, TEMPORAL_PORT, _UI)), strict=True)
    async with httpx2.AsyncClient(timeout=3, trust_env=False) as http:
        api_answers = await _answers(http, f"http://{HOST}:{api}/readyz", "checks")
        ui_answers = await _answers(http, f"http://{HOST}:{ui}/api/v1/settings", "DefaultNamespace")
    used = [Port(api, "API", "--port", _use(api, ours=api_answers), named[0])]
    if temporal_answers is not None:
        used.append(Port(temporal, "Temporal", "--temporal-port", _use(temporal, ours=temporal_answers), named[1]))
        used.append(Port(ui, "Temporal UI", "--ui-port", _use(ui, ours=ui_answers), named[2]))
    return used


def _or_default(port: int | None, default: int) -> tuple[int, bool]:
    return (default, False) if port is None else (port, True)


def _use(port: int, *, ours: bool) -> PortUse:
    if not is_taken(HOST, port):
        return PortUse.FREE
    return PortUse.OURS if ours else PortUse.OTHERS


async def _answers(http: httpx2.AsyncClient, url: str, word: str) -> bool:
    try:
        return word in (await http.get(url)).text
    except httpx2.HTTPError:
        return False


async def index(index_url: str) -> Index:
    """The job index's database."""
    try:
        url = make_url(index_url)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        return Index("ORCHESTRATOR_DATABASE_URL", fault="is not a database URL")
    place = url.render_as_string(hide_password=True)
    if not _exists(url):
        return Index(place, exists=False)
    database = Database(index_url)
    try:
        return await database.autocommit(lambda connection: _index(connection, place))
    except Unavailable as fault:
        return Index(place, fault=fault.cause or fault.message, remedy=fault.remedy)
    except OrchestratorError as fault:
        return Index(place, fault=fault.message)
    finally:
        await database.close()


def _exists(url: URL) -> bool:
    """Whether there is a database to open: a probe must not create a file."""
    return url.get_backend_name() != "sqlite" or not url.database or Path(url.database).exists()


def _index(connection: Connection, place: str) -> Index:
    has_marks = inspect(connection).has_table(installation.name)
    marks = connection.execute(select(installation.c.name, installation.c.value)).all() if has_marks else []
    ahead = None
    if connection.dialect.name == "postgresql":
        before = _now()
        server_time = connection.execute(select(func.clock_timestamp())).scalar_one()
        ahead = (server_time - before - (_now() - before) / 2).total_seconds()
    return Index(
        place,
        current=schema_version(connection),
        newest=versions()[-1],
        known_versions=frozenset(versions()),
        foreign=tuple(foreign_tables(connection)),
        marks=dict(marks),
        ahead=ahead,
    )


def secret_key(settings: Settings) -> Key:
    """The secret key that a process would use. Raises `OSError`."""
    shared = not settings.index_url().startswith("sqlite")
    fallback = settings.secret_key_fallback.get_secret_value() if settings.secret_key_fallback is not None else None
    if settings.secret_key is not None:
        sealer = Sealer(settings.secret_key.get_secret_value(), fallback)
        return Key("ORCHESTRATOR_SECRET_KEY", in_file=False, check_values=sealer.key_ids, shared=shared)
    file = secret_file(settings.data_dir)
    values = Sealer(file.read_text().strip(), fallback).key_ids if file.exists() else []
    return Key(f"the file {file}", in_file=True, check_values=values, shared=shared)


async def value_store(settings: Settings) -> str:
    """The store of large values. Raises `Unavailable` if it does not answer or its library is missing."""
    if settings.value_store_url is None:
        return "the job index"
    store = open_value_store(settings.value_store_url)
    await store.ping()
    return settings.value_store_url


async def redis_ahead(url: str) -> float:
    """The number of seconds by which the clock of Redis is ahead of this machine's. Raises `Unavailable`."""
    redis = open_redis(url)
    try:
        before = _now()
        seconds, micros = await redis.time()
        middle = before + (_now() - before) / 2
    except Exception as fault:  # the library raises many kinds of errors if the server is not Redis
        raise redis_fault(fault) from fault
    finally:
        await redis.aclose()
    return float(seconds) + micros / 1e6 - middle.timestamp()


async def model_server(base_url: str, key: str | None) -> Unavailable | None:
    """The error of an OpenAI-compatible server, or None. The probe reads its list of models, which is free."""
    url = f"{base_url.rstrip('/')}/models"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=not leads_to_this_machine(url)) as http:
            status = (await http.get(url, headers=headers)).status_code
    except httpx2.HTTPError as fault:
        reason = str(fault) or type(fault).__name__
        return Unavailable(
            f"{base_url} does not answer: {reason}", remedy="Start that server, or correct ORCHESTRATOR_LLM_BASE_URL."
        )
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return Unavailable(f"{base_url} refuses the key ({status})", remedy="Correct ORCHESTRATOR_LLM_API_KEY.")
    return None


def _now() -> datetime:
    return datetime.now(UTC)
