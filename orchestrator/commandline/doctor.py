"""`orchestrator doctor`: looks at this installation, changes nothing, and says how to mend what is wrong."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import httpx2
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import TypeAdapter
from rich.console import Console
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator import logs
from orchestrator.commandline import checks, exits
from orchestrator.commandline.checks import Finding, Index, Models, Port, PortUse, Verdict
from orchestrator.commandline.collisions import installed_collisions
from orchestrator.commandline.connections import check_connections, connections
from orchestrator.commandline.ports import is_taken
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import CatalogueError, OrchestratorError
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.devserver import HOST
from orchestrator.engine.inspection import ServerState, inspect_server
from orchestrator.engine.server_files import search_attributes
from orchestrator.plugins import build_catalogue, load_plugins
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.migrate import VERSION_TABLE, migration_config

_API: Final = 8000
_TEMPORAL: Final = 7233
_UI: Final = 8233
_STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}
_FINDINGS: Final = TypeAdapter(list[Finding])


def run(settings: Settings, console: Console | None) -> int:
    """Check everything and tell: on a console, or as JSON without one. 1 when a check failed, else 0."""
    logs.configure("ERROR", settings.log_format)
    findings = asyncio.run(_findings(settings))
    if console is None:
        exits.say(_FINDINGS.dump_json(findings, indent=2).decode())
    else:
        for finding in findings:
            _tell(console, finding)
    return exits.FAILED if any(finding.verdict is Verdict.FAILED for finding in findings) else exits.OK


def _tell(console: Console, finding: Finding) -> None:
    console.print(f"{finding.verdict:<8}", style=_STYLES[finding.verdict], end="")
    told = f"{finding.check:<18} {finding.message}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    if finding.mend and finding.verdict is not Verdict.OK:
        console.print(f"{'':<27}{finding.mend}", markup=False, highlight=False, soft_wrap=True)


async def _findings(settings: Settings) -> list[Finding]:
    configured = os.environ.get("TEMPORAL_ADDRESS")
    address = str(connect_options()["target_host"])
    server, fault = await _server(settings)
    found = [checks.check_python(sys.version_info[:3]), checks.check_packages(installed_collisions())]
    found += [checks.check_port(port) for port in await _ports(server if not configured else None, configured)]
    found.append(checks.check_temporal(server, fault, address, configured=bool(configured)))
    if server is not None:
        found.append(checks.check_attributes(server.attributes, search_attributes()))
        found.append(checks.check_retention(server.retention, settings.retention_days))
        found.append(checks.check_worker(server.pollers, settings.task_queue))
    found.append(checks.check_index(await _index(settings.index_url())))
    if (shared := await connections(settings)) is not None:
        found.append(check_connections(shared))
    catalogue, broken = _catalogue(settings)
    counts = (len(catalogue.agents), len(catalogue.workflows)) if catalogue else (0, 0)
    found.append(checks.check_catalogue(*counts, broken))
    found.append(checks.check_models(_models(settings, catalogue)))
    return found


async def _server(settings: Settings) -> tuple[ServerState | None, str | None]:
    try:
        async with asyncio.timeout(10):
            return await inspect_server(await connect(connect_options(), lazy=False), settings.task_queue), None
    except OrchestratorError as fault:
        return None, fault.message
    except TimeoutError:
        return None, "no answer within 10 s"


async def _ports(server: ServerState | None, configured: str | None) -> list[Port]:
    async with httpx2.AsyncClient(timeout=3, trust_env=False) as http:
        api = await _answers(http, f"http://{HOST}:{_API}/readyz", "checks")
        ui = await _answers(http, f"http://{HOST}:{_UI}/api/v1/settings", "DefaultNamespace")
    ports = [Port(_API, "API", "--port", _use(_API, ours=api))]
    if not configured:  # with a server of its own elsewhere, `dev` starts none
        ports.append(Port(_TEMPORAL, "Temporal", "--temporal-port", _use(_TEMPORAL, ours=server is not None)))
        ports.append(Port(_UI, "Temporal UI", "--ui-port", _use(_UI, ours=ui)))
    return ports


def _use(port: int, *, ours: bool) -> PortUse:
    if not is_taken(HOST, port):
        return PortUse.FREE
    return PortUse.OURS if ours else PortUse.OTHERS


async def _answers(http: httpx2.AsyncClient, url: str, word: str) -> bool:
    try:
        return word in (await http.get(url)).text
    except httpx2.HTTPError:
        return False


async def _index(index_url: str) -> Index:
    try:
        url = make_url(index_url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        return Index("ORCHESTRATOR_DATABASE_URL", fault="is not a database URL")
    place = url.render_as_string(hide_password=True)
    if not _exists(url):
        return Index(place, exists=False)
    database = Database(index_url)
    try:
        current, newest, known = await database.autocommit(_versions)
    except OrchestratorError as fault:
        return Index(place, fault=fault.message)
    finally:
        await database.close()
    return Index(place, current=current, newest=newest, known=known)


def _exists(url: URL) -> bool:
    """Whether there is something to open: looking must not make a file."""
    return url.get_backend_name() != "sqlite" or not url.database or Path(url.database).exists()


def _versions(connection: Connection) -> tuple[str | None, str | None, frozenset[str]]:
    scripts = ScriptDirectory.from_config(migration_config(connection))
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    known = frozenset(script.revision for script in scripts.walk_revisions())
    return context.get_current_revision(), scripts.get_current_head(), known


def _catalogue(settings: Settings) -> tuple[Catalogue | None, str | None]:
    try:
        return build_catalogue(load_plugins(settings.plugin_modules())), None
    except CatalogueError as fault:
        return None, fault.message


def _models(settings: Settings, catalogue: Catalogue | None) -> Models:
    keys = {"openai": settings.openai_api_key, "anthropic": settings.anthropic_api_key}
    agents = catalogue.agents.values() if catalogue else ()
    return Models(
        providers=frozenset(name for name, key in keys.items() if key),
        base_url=settings.llm_base_url,
        default_model=settings.default_model,
        agents_models=frozenset(agent.settings.default_model for agent in agents if agent.function is None),
    )
