"""`orchestrator keys`: issues an API key in any format without the API (C-18)."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Final

from orchestrator.commandline.index.audit import command_entry
from orchestrator.commandline.terminal.exits import OK, Refused, say
from orchestrator.composition.backend import audit_trail, secret_key_of
from orchestrator.logs import configure
from orchestrator.services.access.authentication import ADMIN, IssuedKeys
from orchestrator.services.access.keys import IssuedKey, KeyIssuer, KeyRequest
from orchestrator.services.secrets.installation import Installation
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.keys import KeyRepository

_MAX_NAME_LENGTH: Final = 100


def create(settings: Settings, request: KeyRequest) -> int:
    """Issue a key and print its secret, for the only time. Returns the exit code. Raises `Refused`, `Unavailable`."""
    if not (0 < len(request.name) <= _MAX_NAME_LENGTH and request.name.isprintable()):
        raise Refused(
            f"invalid --name {request.name[:_MAX_NAME_LENGTH]!r}: expected 1 to {_MAX_NAME_LENGTH} printable characters"
        )
    configure(settings.log_level, settings.log_format)
    issued = asyncio.run(_issue(settings, request))
    say(issued.token)
    return OK


async def _issue(settings: Settings, request: KeyRequest) -> IssuedKey:
    database = Database(settings.index_url())
    try:
        key = secret_key_of(settings)
        await database.migrate(audit_trail(database, key.sealer).begin)
        await Installation(InstallationRepository(database), key).check_secret_key()
        keys, sealer = KeyRepository(database), key.sealer
        issuer = KeyIssuer(keys, sealer, IssuedKeys(keys, sealer, clock=_now), clock=_now, new_id=_new_id)
        await audit_trail(database, sealer).add(command_entry("keys create"))
        return await issuer.issue(ADMIN, request)
    finally:
        await database.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid.uuid4().hex
