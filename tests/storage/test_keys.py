"""Keys and their secrets in the index."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.access import ApiKey, Scope
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.limits import Tier
from orchestrator.storage.database import Database
from orchestrator.storage.keys import KeyedDigest, KeyRepository
from tests.ledger import ledger

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def new_key(number: int = 1, **more: object) -> ApiKey:
    key = ApiKey(
        id=f"key_{number:032x}",
        owner="newsroom",
        name="Newsroom ü",
        scopes=frozenset({Scope.JOBS_READ, Scope.AGENTS_EXECUTE}),
        tier=Tier.PRO,
        created_by="admin",
        created_at=NOON + timedelta(seconds=number),
        expires_at=NOON + timedelta(days=1),
        revoked_at=None,
        last_used_at=None,
        prefix=f"{number:016x}",
    )
    return replace(key, **more)


def digested(value: str) -> KeyedDigest:
    return KeyedDigest(value, "check value")


@pytest.fixture
def keys(database: Database) -> KeyRepository:
    return KeyRepository(database)


@ledger("D-012")
async def test_a_key_comes_back_as_it_was_written(keys: KeyRepository) -> None:
    key = new_key()
    await keys.add(key, digested("digest"))
    assert await keys.get(key.id) == key
    assert await keys.get(new_key(2).id) is None
    found = await keys.find(key.prefix)
    assert found is not None
    assert (found.key, found.digest, found.expires_at) == (key, "digest", None)
    assert await keys.find("f" * 16) is None


async def test_keys_are_paged_newest_first(keys: KeyRepository) -> None:
    for number in (2, 1, 3):
        await keys.add(new_key(number), digested("digest"))
    page, total = await keys.list(limit=2, offset=0)
    assert ([key.prefix[-1] for key in page], total) == (["3", "2"], 3)
    page, total = await keys.list(limit=2, offset=2)
    assert ([key.prefix[-1] for key in page], total) == (["1"], 3)
    assert await keys.list(limit=2, offset=9) == ([], 3)


async def test_a_key_changes_until_it_is_revoked(keys: KeyRepository) -> None:
    key = new_key()
    await keys.add(key, digested("digest"))
    assert await keys.change(key.id, name="Desk", scopes=frozenset({Scope.ADMIN}), tier=Tier.FREE, expires_at=None)
    changed = replace(key, name="Desk", scopes=frozenset({Scope.ADMIN}), tier=Tier.FREE, expires_at=None)
    assert await keys.get(key.id) == changed
    assert await keys.change(key.id, revoked_at=NOON)
    assert not await keys.change(key.id, revoked_at=NOON + timedelta(hours=1)), "the first revocation stands"
    assert not await keys.change(key.id, name="Again")
    assert await keys.get(key.id) == replace(changed, revoked_at=NOON)
    assert not await keys.change(new_key(2).id, name="Nobody")


async def test_a_rotation_leaves_two_secrets_and_ends_the_older_one(keys: KeyRepository) -> None:
    key, until = new_key(), NOON + timedelta(hours=1)
    await keys.add(key, digested("first"))
    assert await keys.rotate(key.id, prefix="second", digest=digested("2"), at=NOON, until=until)
    old, new = await keys.find(key.prefix), await keys.find("second")
    assert old is not None
    assert new is not None
    assert (old.digest, old.expires_at) == ("first", until)
    assert (new.digest, new.expires_at) == ("2", None)
    assert await keys.get(key.id) == replace(key, prefix="second"), "shown with its newest secret"

    assert await keys.rotate(key.id, prefix="third", digest=digested("3"), at=NOON, until=NOON)
    assert await keys.find(key.prefix) is None, "only the secret before the newest has an overlap"
    assert (await keys.list(limit=9, offset=0))[1] == 1
    replaced = await keys.find("second")
    assert replaced is not None
    assert replaced.expires_at == NOON


async def test_a_key_that_is_revoked_or_unknown_is_not_rotated(keys: KeyRepository) -> None:
    key = new_key()
    await keys.add(key, digested("first"))
    await keys.change(key.id, revoked_at=NOON)
    for key_id in (key.id, new_key(2).id):
        assert not await keys.rotate(key_id, prefix="second", digest=digested("2"), at=NOON, until=NOON)
    assert await keys.find("second") is None


async def test_rotations_at_once_leave_one_newest_secret(keys: KeyRepository) -> None:
    key = new_key()
    await keys.add(key, digested("first"))
    names = [f"prefix{number}" for number in range(6)]
    done = await asyncio.gather(
        *(keys.rotate(key.id, prefix=name, digest=digested(name), at=NOON, until=NOON) for name in names)
    )
    assert all(done)
    left = [found for name in names if (found := await keys.find(name)) is not None]
    assert sorted(found.expires_at is None for found in left) == [False, True]
    assert (await keys.list(limit=9, offset=0))[1] == len((await keys.list(limit=9, offset=0))[0]) == 1


async def test_a_use_is_noted_once_in_a_while(keys: KeyRepository) -> None:
    key, minute = new_key(), timedelta(minutes=1)
    await keys.add(key, digested("digest"))
    noted = []
    for later in (0, 30, 61):
        at = NOON + timedelta(seconds=later)
        await keys.used(key.id, at=at, unless_since=at - minute)
        found = await keys.get(key.id)
        assert found is not None
        noted.append(found.last_used_at)
    assert noted == [NOON, NOON, NOON + timedelta(seconds=61)]


async def test_an_index_that_is_down_is_unavailable(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'index.sqlite3'}")
    with pytest.raises(Unavailable):
        await KeyRepository(database).find("x")
    await database.close()
