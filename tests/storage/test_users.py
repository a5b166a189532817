"""Users and refresh tokens on both databases."""

import asyncio

import pytest

from orchestrator.storage.database import Database
from orchestrator.storage.users import UserRecord, UserRepository
from tests.storage.rows import at


@pytest.fixture
def users(database: Database) -> UserRepository:
    return UserRepository(database)


def record(username: str = "ada") -> UserRecord:
    return UserRecord(f"{username}:1", username, "hash", ["admin"], at(0))


async def test_a_user_is_stored_once(users: UserRepository):
    assert await users.add(record())
    assert not await users.add(UserRecord("ada:2", "ada", "another", [], at(1)))
    assert await users.get("ada") == record()
    assert await users.list(limit=10, offset=0) == ([record()], 1)


async def test_an_unknown_user_is_none(users: UserRepository):
    assert await users.get("nobody") is None
    assert await users.remove("nobody", at=at(0)) is None
    assert await users.account("nobody", "f") is None


async def test_a_refresh_token_is_used_once_and_a_second_use_voids_its_family(users: UserRepository):
    await users.grant("one", family="f", subject="ada", expires_at=at(100))
    assert await users.exchange("one", successor="two", expires_at=at(200), at=at(1))
    assert not await users.exchange("one", successor="copy", expires_at=at(200), at=at(2))
    assert not await users.exchange("two", successor="three", expires_at=at(200), at=at(3))


async def test_another_login_is_another_family(users: UserRepository):
    await users.grant("one", family="f", subject="ada", expires_at=at(100))
    await users.grant("other", family="g", subject="ada", expires_at=at(100))
    assert await users.exchange("one", successor="two", expires_at=at(200), at=at(1))
    assert not await users.exchange("one", successor="copy", expires_at=at(200), at=at(2))
    assert await users.exchange("other", successor="next", expires_at=at(200), at=at(3))


async def test_of_two_exchanges_at_once_one_succeeds(users: UserRepository):
    await users.grant("one", family="f", subject="ada", expires_at=at(100))
    tries = [users.exchange("one", successor=f"next-{n}", expires_at=at(200), at=at(1)) for n in range(2)]
    assert sorted(await asyncio.gather(*tries)) == [False, True]


async def test_unknown_and_expired_tokens_are_refused(users: UserRepository):
    assert not await users.exchange("never", successor="x", expires_at=at(200), at=at(1))
    await users.grant("old", family="f", subject="ada", expires_at=at(100))
    assert not await users.exchange("old", successor="y", expires_at=at(300), at=at(101))


async def test_removing_a_user_voids_the_tokens(users: UserRepository):
    await users.add(record())
    await users.grant("one", family="f", subject="ada:1", expires_at=at(100))
    await users.grant("other", family="g", subject="ada:2", expires_at=at(100))
    assert await users.account("ada:1", "f") == record()
    assert await users.remove("ada", at=at(1)) == "ada:1"
    assert await users.account("ada:1", "f") is None
    assert not await users.exchange("one", successor="two", expires_at=at(200), at=at(2))
    assert await users.exchange("other", successor="three", expires_at=at(200), at=at(2)), "another account's"


async def test_the_end_of_a_sign_in_voids_its_tokens_and_no_others(users: UserRepository):
    await users.add(record())
    for token, family in (("one", "f"), ("other", "g")):
        await users.grant(token, family=family, subject="ada:1", expires_at=at(100))
    await users.end("f", at=at(1))
    assert not await users.is_live("f")
    assert await users.account("ada:1", "f") is None
    assert not await users.exchange("one", successor="two", expires_at=at(200), at=at(2))
    assert await users.is_live("g")
    assert await users.account("ada:1", "g") == record()
    assert await users.account("ada:1", "never") is None


async def test_a_sign_in_that_ends_while_it_is_renewed_is_over(users: UserRepository):
    for number in range(20):
        first, second = f"first-{number}", f"second-{number}"
        await users.grant(first, family=first, subject="ada:1", expires_at=at(100))
        renewing = users.exchange(first, successor=second, expires_at=at(200), at=at(1))
        await asyncio.gather(renewing, users.end(first, at=at(1)))
        assert not await users.exchange(second, successor="late", expires_at=at(200), at=at(2))
        assert not await users.is_live(first)
