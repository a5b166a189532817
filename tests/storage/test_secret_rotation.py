"""The secret key is exchanged while the installation works: nothing is lost, and it may stop at any point."""

import base64
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from orchestrator.domain.access import ORDINARY
from orchestrator.domain.errors import Misconfigured, Unauthenticated
from orchestrator.domain.webhooks import Webhook
from orchestrator.security.sealing import Sealer, Unsealable
from orchestrator.services.access.authentication import ADMIN, IssuedKeys
from orchestrator.services.access.keys import KeyIssuer, KeyRequest
from orchestrator.services.secrets.installation import SECRET, Installation, SecretKey
from orchestrator.services.secrets.rotation import Rotation, SecretRotation
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.webhooks import SealedSecrets, WebhookRepository

OLD, NEW = "the secret key of last year", "the secret key of this year"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Process:
    """What one process of an installation has, with its secret keys."""

    def __init__(self, database: Database, secret: str, fallback: str | None = None) -> None:
        self.sealer = Sealer(secret, fallback)
        self.webhooks, self.keys = WebhookRepository(database), KeyRepository(database)
        marks = InstallationRepository(database)
        self.marks = marks
        self.installation = Installation(marks, SecretKey(self.sealer, "ORCHESTRATOR_SECRET_KEY"))
        self.issued = IssuedKeys(self.keys, self.sealer, clock=lambda: NOON)
        self.issuer = KeyIssuer(
            self.keys, self.sealer, self.issued, clock=lambda: NOON, new_id=lambda: secrets.token_hex(16)
        )
        self.rotation = SecretRotation(self.webhooks, self.keys, marks, self.sealer, clock=lambda: NOON)

    async def webhook(self, name: str, secret: str, *, previous: str | None = None, unbound: bool = False) -> Webhook:
        row = Webhook(name, "alice", "https://example.com", ["job.completed"], "", NOON, NOON)
        if unbound:
            box = Fernet(base64.urlsafe_b64encode(self.sealer.derived("seal")))
            row = replace(row, secret=box.encrypt(secret.encode()).decode())
        else:
            row = replace(row, secret=self.sealer.seal(secret, row.sealed_for))
        if previous is not None:
            row = replace(
                row, previous_secret=self.sealer.seal(previous, row.sealed_for), previous_until=NOON + timedelta(days=1)
            )
        await self.webhooks.add(row, most=1000)
        return row

    async def opened(self, name: str) -> tuple[str, str | None]:
        row = await self.webhooks.get(name)
        assert row is not None
        previous = row.previous_secret
        place = row.sealed_for
        return (
            self.sealer.unseal(row.secret, place),
            self.sealer.unseal(previous, place) if previous is not None else None,
        )

    async def issue(self, name: str) -> str:
        return (await self.issuer.issue(ADMIN, KeyRequest(name, ORDINARY))).token

    async def lets_in(self, token: str) -> bool:
        issued = IssuedKeys(self.keys, self.sealer, clock=lambda: NOON)  # which has seen no key yet
        try:
            return await issued.principal(token) is not None
        except Unauthenticated:
            return False
        finally:
            await issued.settle()


def silent(_: Rotation) -> None:
    """Progress that nobody looks at."""


async def test_a_secret_that_was_copied_to_another_row_is_not_used(database: Database) -> None:
    process = Process(database, OLD)
    victim, own = await process.webhook("wh_1", "of a victim"), await process.webhook("wh_2", "of an attacker")
    await process.webhooks.change(own.id, secret=victim.secret)
    with pytest.raises(Unsealable):
        await process.opened("wh_2")
    assert await process.opened("wh_1") == ("of a victim", None)


async def test_the_key_is_exchanged_process_by_process(database: Database) -> None:
    old = Process(database, OLD)
    await old.installation.check_secret_key()
    await old.webhook("wh_1", "one", unbound=True)
    await old.webhook("wh_2", "two", previous="before two")
    used, unused = await old.issue("used"), await old.issue("unused")

    # 1. Every process learns the next key; none seals with it yet.
    waiting = Process(database, OLD, NEW)
    # 2. One after another changes over. Whatever one of them writes, the others read.
    changed = Process(database, NEW, OLD)
    for process in (waiting, changed):
        await process.installation.check_secret_key()
    await waiting.webhook("wh_3", "three")
    await changed.webhook("wh_4", "four")
    tokens = [used, await waiting.issue("waiting"), await changed.issue("changed")]
    for process in (waiting, changed):
        assert [await process.opened(f"wh_{n}") for n in (1, 2, 3, 4)] == [
            ("one", None),
            ("two", "before two"),
            ("three", None),
            ("four", None),
        ]
        assert [await process.lets_in(token) for token in tokens] == [True] * 3

    # 3. A look changes nothing; then what the old key sealed is resealed.
    before = await changed.webhooks.secrets(after="", limit=10)
    look = await changed.rotation.look()
    assert (look.webhooks, look.outdated, look.resealed, look.complete) == (4, 3, 0, False)
    assert await changed.webhooks.secrets(after="", limit=10) == before
    done = await changed.rotation.rotate(silent)
    assert (done.outdated, done.resealed, done.lost, done.complete) == (3, 3, [], True)
    assert [key.name for key in done.keys] == ["unused"]
    again = await changed.rotation.rotate(silent)
    assert (again.outdated, again.complete) == (0, True)
    assert [key.name for key in again.keys] == ["unused"]

    # 4. Without the old key everything opens but the key that nobody used.
    after = Process(database, NEW)
    await after.installation.check_secret_key()
    assert [await after.opened(f"wh_{n}") for n in (1, 2, 3, 4)] == [
        ("one", None),
        ("two", "before two"),
        ("three", None),
        ("four", None),
    ]
    assert [await after.lets_in(token) for token in tokens] == [True] * 3
    assert not await after.lets_in(unused)
    with pytest.raises(Misconfigured):
        await old.installation.check_secret_key()
    assert (await after.marks.read())[SECRET] == after.sealer.check_value()


async def test_an_exchange_that_stopped_goes_on_where_it_was(database: Database) -> None:
    old = Process(database, OLD)
    await old.installation.check_secret_key()
    for number in range(3):
        await old.webhook(f"wh_{number}", f"secret {number}")
    process = Process(database, NEW, OLD)
    reseal, resealed = process.webhooks.resealed, 0

    async def stopping(before: SealedSecrets, now: SealedSecrets) -> bool:
        nonlocal resealed
        if resealed == 2:
            raise InterruptedError
        resealed += 1
        return await reseal(before, now)

    process.webhooks.resealed = stopping  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        await process.rotation.rotate(silent)
    assert (await process.marks.read())[SECRET] == old.sealer.check_value(), "not done, and not said to be"
    again = Process(database, NEW, OLD)
    done = await again.rotation.rotate(silent)
    assert (done.webhooks, done.outdated, done.resealed, done.complete) == (3, 1, 1, True)
    assert [(await Process(database, NEW).opened(f"wh_{n}"))[0] for n in range(3)] == [f"secret {n}" for n in range(3)]


async def test_a_secret_that_changes_meanwhile_is_kept_and_the_exchange_is_not_done(database: Database) -> None:
    old = Process(database, OLD)
    await old.installation.check_secret_key()
    row = await old.webhook("wh_1", "first")
    process = Process(database, NEW, OLD)
    reseal = process.webhooks.resealed

    async def overtaken(before: SealedSecrets, now: SealedSecrets) -> bool:
        await old.webhooks.change(row.id, secret=old.sealer.seal("second", row.sealed_for))
        return await reseal(before, now)

    process.webhooks.resealed = overtaken  # type: ignore[method-assign]
    assert not (await process.rotation.rotate(silent)).complete
    assert (await process.opened("wh_1"))[0] == "second"
    assert (await Process(database, NEW, OLD).rotation.rotate(silent)).complete
    assert (await Process(database, NEW).opened("wh_1"))[0] == "second"


async def test_what_neither_key_opens_is_named_and_left_alone(database: Database) -> None:
    old = Process(database, OLD)
    await old.installation.check_secret_key()
    await old.webhook("wh_1", "ours")
    lost = await Process(database, "a key that is lost").webhook("wh_2", "lost")
    done = await Process(database, NEW, OLD).rotation.rotate(silent)
    assert (done.lost, done.outdated, done.complete) == (["wh_2"], 1, True)
    assert await old.webhooks.get("wh_2") == lost


async def test_a_wrong_fallback_is_refused_before_anything_changes(database: Database) -> None:
    old = Process(database, OLD)
    await old.installation.check_secret_key()
    with pytest.raises(Misconfigured):
        await Process(database, NEW, "a typo in the old key").installation.check_secret_key()


async def test_an_index_without_a_mark_belongs_to_the_key_that_sealed_in_it(database: Database) -> None:
    await Process(database, OLD).webhook("wh_1", "one", unbound=True)
    process = Process(database, NEW, OLD)
    await process.installation.check_secret_key()
    assert (await process.marks.read())[SECRET] == Sealer(OLD).check_value()
