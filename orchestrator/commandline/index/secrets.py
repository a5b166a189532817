"""`orchestrator secrets rotate`: reseals stored secrets with the current secret key (decision 0026)."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from orchestrator.commandline.index.audit import command_entry
from orchestrator.commandline.terminal.exits import FAILED, OK, say, warn
from orchestrator.composition.backend import audit_trail, secret_key_of
from orchestrator.logs import configure
from orchestrator.services.access.tokens import REFRESH_LIFETIME
from orchestrator.services.secrets.installation import Installation
from orchestrator.services.secrets.rotation import Rotation, SecretRotation
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.webhooks import WebhookRepository

_MAX_NAMED: Final = 20


def rotate(settings: Settings, *, apply: bool) -> int:
    """Reseal, or print what would be resealed. Returns the exit code. Raises `Misconfigured`, `Unavailable`."""
    configure(settings.log_level, settings.log_format)
    rotation = asyncio.run(_rotation(settings, apply=apply))
    fallback = settings.secret_key_fallback is not None
    for line in _report(rotation, apply=apply, fallback=fallback):
        say(line)
    for line in _warnings(rotation):
        warn(line)
    return OK if rotation.complete else FAILED


async def _rotation(settings: Settings, *, apply: bool) -> Rotation:
    database = Database(settings.index_url())
    try:
        key, marks = secret_key_of(settings), InstallationRepository(database)
        await database.migrate(audit_trail(database, key.sealer).begin)
        await Installation(marks, key).check_secret_key()
        webhooks, keys = WebhookRepository(database), KeyRepository(database)
        rotation = SecretRotation(webhooks, keys, marks, key.sealer, clock=lambda: datetime.now(UTC))
        if not apply:
            return await rotation.look()
        # The entry also seals the head of the audit trail with the current key.
        await audit_trail(database, key.sealer).add(command_entry("secrets rotate"))
        return await rotation.rotate(lambda so_far: say(f"{so_far.webhooks} webhooks, {so_far.resealed} resealed"))
    finally:
        await database.close()


def _report(rotation: Rotation, *, apply: bool, fallback: bool) -> list[str]:
    lines = [f"webhooks: {rotation.webhooks}; to reseal: {rotation.outdated}; resealed: {rotation.resealed}"]
    if rotation.keys:
        lines.append(f"API keys not used with the new secret key yet: {len(rotation.keys)}")
        lines += [
            f"  {key.id} {key.name!r}, last used {_moment(key.last_used_at)}" for key in rotation.keys[:_MAX_NAMED]
        ]
    if not apply:
        if not rotation.complete:
            return [*lines, "nothing was changed: run the command with --apply"]
        if not fallback:
            return [*lines, "nothing to reseal"]
        return [
            *lines,
            "nothing to reseal: the index belongs to ORCHESTRATOR_SECRET_KEY",
            "if the fallback is the new key: exchange the two now",
            f"if the fallback is the old key: remove it {REFRESH_LIFETIME.days} days after the exchange",
        ]
    if not rotation.complete:
        return [
            *lines,
            "other processes changed secrets meanwhile: run this again once every process uses the new secret key",
        ]
    if not fallback:
        return [*lines, "done"]
    days = REFRESH_LIFETIME.days
    return [
        *lines,
        "done: every stored secret is sealed with the secret key, and the index belongs to it",
        f"remove ORCHESTRATOR_SECRET_KEY_FALLBACK after {days} days; if removed earlier, users must sign in again",
        *(["API keys that are not used until then stop working: rotate or revoke them"] if rotation.keys else []),
    ]


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else "never"


def _warnings(rotation: Rotation) -> list[str]:
    if not rotation.lost:
        return []
    webhooks = ", ".join(rotation.lost[:_MAX_NAMED])
    return [f"neither key opens the secrets of {len(rotation.lost)} webhooks: rotate the secrets of {webhooks}"]
