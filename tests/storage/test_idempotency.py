"""Claims of idempotency keys, on both databases: one at a time, free after a refusal, a death or a day."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from orchestrator.storage.database import Database
from orchestrator.storage.idempotency import FirstRequest, IdempotencyRepository, KeyClaim
from orchestrator.storage.pruning import PruningRepository
from orchestrator.storage.tables import idempotency_keys
from tests.storage.rows import T0, at

DAY = timedelta(days=1)


@pytest.fixture
def requests(database: Database) -> IdempotencyRepository:
    return IdempotencyRepository(database)


async def claim(
    requests: IdempotencyRepository, id: str, *, owner: str = "alice", digest: str = "d", seconds: float = 0
) -> FirstRequest | None:
    return await requests.claim(
        KeyClaim(owner, "k", id),
        request_digest=digest,
        at=at(seconds),
        until=at(seconds + 100),
        forgotten=at(seconds) - DAY,
    )


async def test_the_first_request_has_the_key_until_it_is_answered(requests: IdempotencyRepository):
    first = KeyClaim("alice", "k", "1")
    assert await claim(requests, "1") is None
    assert await claim(requests, "2") == FirstRequest("d", None)
    assert await claim(requests, "3", owner="bob") is None
    await requests.complete(first, "sealed")
    assert await claim(requests, "4", digest="other") == FirstRequest("d", "sealed")
    await requests.release(first)  # An answer stays.
    assert await claim(requests, "5", seconds=3600) == FirstRequest("d", "sealed")


async def test_of_many_at_once_one_has_it(requests: IdempotencyRepository):
    answers = await asyncio.gather(*(claim(requests, str(number)) for number in range(8)))
    assert answers.count(None) == 1


async def test_a_refused_request_leaves_nothing(requests: IdempotencyRepository):
    await claim(requests, "1")
    await requests.release(KeyClaim("alice", "k", "1"))
    assert await claim(requests, "2") is None


async def test_the_key_of_a_dead_process_is_free_after_its_lease(requests: IdempotencyRepository):
    await claim(requests, "1")
    assert await claim(requests, "2", seconds=99) is not None
    assert await claim(requests, "3", seconds=101) is None
    # The first one was not dead after all: its answer is not that of the third.
    await requests.complete(KeyClaim("alice", "k", "1"), "late")
    await requests.release(KeyClaim("alice", "k", "1"))
    assert await claim(requests, "4", seconds=102) == FirstRequest("d", None)


async def test_an_answer_is_kept_for_a_day_and_pruned(requests: IdempotencyRepository, database: Database):
    await claim(requests, "1")
    await requests.complete(KeyClaim("alice", "k", "1"), "sealed")
    pruning = PruningRepository(database)
    assert await pruning.idempotency_keys(T0 - timedelta(seconds=1), 10) == 0
    assert await claim(requests, "2", seconds=DAY.total_seconds() - 1) == FirstRequest("d", "sealed")
    assert await claim(requests, "3", seconds=DAY.total_seconds() + 1) is None
    assert await pruning.idempotency_keys(at(2 * DAY.total_seconds()), 10) == 1
    count = select(func.count()).select_from(idempotency_keys)
    assert await database.autocommit(lambda connection: connection.execute(count).scalar_one()) == 0
