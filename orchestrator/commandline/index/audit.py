"""`orchestrator audit`: verifies and exports the audit trail without the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from orchestrator.commandline.terminal.exits import FAILED, OK, say, warn
from orchestrator.composition.backend import audit_trail, secret_key_of
from orchestrator.domain.access import AuditEntry
from orchestrator.domain.audit_chain import ChainVerdict
from orchestrator.logs import configure
from orchestrator.services.secrets.installation import Installation
from orchestrator.settings import Settings
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository

_DONE: Final = 200


def verify(settings: Settings) -> int:
    """Print whether the trail is complete, or its first invalid entry. Returns the exit code. Raises `Unavailable`."""
    configure(settings.log_level, settings.log_format)
    verdict = asyncio.run(_verify(settings))
    if verdict.broken is not None:
        warn(f"the audit trail breaks at entry {verdict.broken}: {verdict.why}")
        return FAILED
    say(_summary(verdict))
    return OK


def export(settings: Settings, after: int) -> int:
    """Print every later entry as a line of JSON, oldest first. Returns the exit code. Raises `Unavailable`."""
    configure(settings.log_level, settings.log_format)
    asyncio.run(_export(settings, after))
    return OK


def command_entry(command: str) -> AuditEntry:
    """The audit entry of a command that changes or reads the index without the API."""
    return AuditEntry(datetime.now(UTC), "cli", None, f"CLI {command}", "", _DONE, None, "", surface="cli")


def _summary(verdict: ChainVerdict) -> str:
    head = verdict.head
    text = f"{verdict.checked} entries are unchanged; the last is {head.number} ({head.digest or 'none'})"
    if head.pruned:
        text += f"; entries up to {head.pruned} were pruned"
    if head.unchained > head.pruned:
        text += f"; entries up to {head.unchained} are older than the chain, and unchanged since the chain began"
    return text


async def _verify(settings: Settings) -> ChainVerdict:
    async with _trail(settings) as trail:
        return await trail.verify()


async def _export(settings: Settings, after: int) -> None:
    async with _trail(settings) as trail:
        await trail.add(command_entry("audit export"))
        async for entry in trail.read(after=after):
            say(_line(entry))


@asynccontextmanager
async def _trail(settings: Settings) -> AsyncIterator[AuditRepository]:
    database = Database(settings.index_url())
    try:
        key = secret_key_of(settings)
        trail = audit_trail(database, key.sealer)
        await database.migrate(trail.begin)
        await Installation(InstallationRepository(database), key).check_secret_key()
        yield trail
    finally:
        await database.close()


def _line(entry: AuditEntry) -> str:
    at = entry.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({**asdict(entry), "at": at})
