"""`orchestrator doctor`: checks this installation and reports what to fix. It changes nothing."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import SecretStr
from rich.console import Console

from orchestrator import logs
from orchestrator.catalogue_warnings import catalogue_warnings
from orchestrator.commandline.admin_key import key_file
from orchestrator.commandline.doctor import checks, probes
from orchestrator.commandline.doctor.checks import Index, Models, Port
from orchestrator.commandline.doctor.collisions import installed_collisions
from orchestrator.commandline.doctor.connections import check_connections, connections
from orchestrator.commandline.terminal import exits
from orchestrator.composition.backend import redis_url
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import CatalogueError, NotFound, OrchestratorError, Unavailable
from orchestrator.domain.findings import Finding, Verdict
from orchestrator.engine.connect import connect_options, connect_within
from orchestrator.engine.devserver import HOST
from orchestrator.engine.inspection import inspect_namespace, server_version
from orchestrator.engine.namespace import unknown_namespace
from orchestrator.engine.server_files import search_attributes
from orchestrator.plugins import build_catalogue, load_plugins
from orchestrator.settings import Settings
from orchestrator.settings.misspellings import misspelt, not_read

DevPorts = tuple[int | None, int | None, int | None]

_TIMEOUT: Final = 20.0  # Seconds for one check.
_CONNECT_TIMEOUT: Final = 5.0
_STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}


def run(settings: Settings, console: Console | None, ports: DevPorts = (None, None, None)) -> int:
    """Run all checks; print the findings to the console, or as JSON without one. Returns 1 if a check failed, else 0.

    `ports` are the user's ports for the API, Temporal and its UI.
    """
    logs.configure("ERROR", settings.log_format)
    findings = asyncio.run(_Doctor(settings, ports).findings())
    if console is None:
        exits.say(json.dumps([_document(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            _print(console, finding)
    return exits.FAILED if any(finding.verdict is Verdict.FAILED for finding in findings) else exits.OK


def _document(finding: Finding) -> dict[str, str | None]:
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _print(console: Console, finding: Finding) -> None:
    console.print(f"{finding.verdict:<8}", style=_STYLES[finding.verdict], end="")
    line = f"{finding.check:<18} {finding.message}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    if finding.remedy and finding.verdict is not Verdict.OK:
        console.print(f"{'':<27}{finding.remedy}", markup=False, highlight=False, soft_wrap=True)


class _Doctor:
    """All checks. An error of one check becomes its finding and does not stop the others."""

    def __init__(self, settings: Settings, ports: DevPorts) -> None:
        self._settings = settings
        self._chosen = ports
        self._configured = bool(os.environ.get("TEMPORAL_ADDRESS", "").strip())
        self._ports: list[Port] = []
        self._index = Index(settings.index_url(), exists=False)
        self._catalogue: Catalogue | None = None

    async def findings(self) -> list[Finding]:
        """The findings of all checks; what others depend on comes first."""
        parts: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
            "python": self._python,
            "packages": self._packages,
            "settings": self._variables,
            "data directory": self._folder,
            "ports": self._check_ports,
            "database": self._database,
            "secret key": self._secret_key,
            "admin key": self._admin_key,
            "public sessions": self._public_sessions,
            "temporal": self._temporal,
            "redis": self._redis,
            "value store": self._value_store,
            "catalogue": self._load_catalogue,
            "models": self._models,
        }
        return [finding for name, check in parts.items() for finding in await _isolated(name, check())]

    async def _python(self) -> list[Finding]:
        return [checks.check_python(sys.version_info[:3])]

    async def _packages(self) -> list[Finding]:
        return [checks.check_packages(installed_collisions())]

    async def _variables(self) -> list[Finding]:
        return [checks.check_variables(misspelt(os.environ), not_read())]

    async def _folder(self) -> list[Finding]:
        return [checks.check_folder(probes.folder(self._settings.data_dir))]

    async def _check_ports(self) -> list[Finding]:
        temporal = None if self._configured else await self._has_local_server()
        self._ports = await probes.ports(self._chosen, temporal_answers=temporal)
        return [checks.check_port(port) for port in self._ports]

    async def _has_local_server(self) -> bool:
        """Whether a Temporal server answers at the address that `dev` would use."""
        try:
            await connect_within(_CONNECT_TIMEOUT, address=self._address())
        except Unavailable:
            return False
        return True

    def _address(self) -> str | None:
        """The address at which `dev` would start Temporal; None if the environment names a server."""
        port = self._chosen[1] or probes.TEMPORAL_PORT
        return None if self._configured else f"{HOST}:{port}"

    async def _database(self) -> list[Finding]:
        self._index = await probes.index(self._settings.index_url())
        findings = [checks.check_index(self._index)]
        if self._index.ahead is not None:
            findings.append(checks.check_clock(self._index.ahead, "the database"))
        if (usage := await connections(self._settings)) is not None:
            findings.append(check_connections(usage))
        return findings

    async def _secret_key(self) -> list[Finding]:
        return [checks.check_key(probes.secret_key(self._settings), self._index)]

    async def _admin_key(self) -> list[Finding]:
        file = key_file(self._settings.data_dir)
        place = "ORCHESTRATOR_ADMIN_API_KEY" if self._settings.admin_api_key else str(file) if file.exists() else None
        return [checks.check_admin(place, scaled=self._configured)]

    async def _public_sessions(self) -> list[Finding]:
        return [checks.check_public_sessions(self._settings.public_sessions)]

    async def _temporal(self) -> list[Finding]:
        address = str(connect_options(address=self._address())["target_host"])
        port = next((port for port in self._ports if port.purpose == "Temporal"), None)
        try:
            client = await connect_within(_CONNECT_TIMEOUT, address=self._address())
            findings = [checks.check_temporal(await server_version(client), None, address, port)]
        except Unavailable as fault:
            return [checks.check_temporal(None, fault, address, port)]
        try:
            namespace = await inspect_namespace(client, self._settings.task_queue)
        except NotFound:
            return [*findings, checks.refused("namespace", unknown_namespace(client))]
        return [
            *findings,
            checks.check_namespace(client.namespace, namespace.id, self._index),
            checks.check_attributes(namespace.attributes, search_attributes()),
            checks.check_retention(namespace.retention, self._settings.retention_days),
            checks.check_worker(namespace.pollers, self._settings.task_queue),
        ]

    async def _redis(self) -> list[Finding]:
        url = redis_url(self._settings)
        if url is None:
            return [Finding("redis", Verdict.OK, "not configured: each process counts requests separately")]
        ahead = await probes.redis_ahead(url)
        return [Finding("redis", Verdict.OK, "answers"), checks.check_clock(ahead, "Redis")]

    async def _value_store(self) -> list[Finding]:
        place = await probes.value_store(self._settings)
        return [Finding("value store", Verdict.OK, place)]

    async def _load_catalogue(self) -> list[Finding]:
        try:
            self._catalogue = build_catalogue(load_plugins(self._settings.plugin_modules()))
        except CatalogueError as fault:
            return [checks.check_catalogue(0, 0, fault.message)]
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - the edge to author code, which can raise anything
            return [checks.check_catalogue(0, 0, f"{type(fault).__name__}: {fault}")]
        warnings = catalogue_warnings(self._catalogue)
        return [checks.check_catalogue(len(self._catalogue.agents), len(self._catalogue.workflows), None, warnings)]

    async def _models(self) -> list[Finding]:
        settings = self._settings
        agents = self._catalogue.agents.values() if self._catalogue else ()
        keys = {"openai": settings.openai_api_key, "anthropic": settings.anthropic_api_key}
        fault = None
        if settings.llm_base_url:
            fault = await probes.model_server(settings.llm_base_url, _plain(settings.llm_api_key))
        models = Models(
            providers=frozenset(name for name, key in keys.items() if key),
            base_url=settings.llm_base_url,
            default_model=settings.default_model,
            agents_models=frozenset(agent.settings.default_model for agent in agents if agent.function is None),
            fault=fault,
        )
        return [checks.check_models(models)]


async def _isolated(name: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await check
    except Unavailable as fault:
        return [checks.refused(name, fault)]
    except OrchestratorError as fault:
        return [Finding(name, Verdict.FAILED, fault.message)]
    except TimeoutError:
        return [
            Finding(
                name, Verdict.FAILED, f"no answer within {_TIMEOUT:.0f} s", "Check whether the server is overloaded."
            )
        ]
    except OSError as fault:
        place = f"{fault.filename}: " if fault.filename else ""
        return [Finding(name, Verdict.FAILED, f"{place}{fault.strerror or fault}", "Let this user read that file.")]
    except Exception as fault:  # noqa: BLE001 - the edge of a check: its failure must not hide the findings of the others
        message = f"the check itself failed: {type(fault).__name__}: {fault}"
        return [Finding(name, Verdict.FAILED, message, "Report this as a defect of orchestrator.")]


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
