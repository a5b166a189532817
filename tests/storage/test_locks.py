"""One owner's transactions take turns: they neither fill the pool nor fail because they are many."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from orchestrator.domain.budgets import Claim, TokenBudget, TokenUse
from orchestrator.domain.errors import LimitExceeded, Unavailable
from orchestrator.storage import database as database_module
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.locks import Turns
from orchestrator.storage.token_use import TokenClaim, token_use
from orchestrator.testing import eventually
from tests.storage.postgres import PostgresServer
from tests.storage.rows import at, job_input, task

MONTH = TokenBudget(monthly=1000)
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
_END = "UPDATE attempts SET status = 'completed', completed_at = %s, prompt_tokens = 300, completion_tokens = 0"
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database on PostgreSQL: on SQLite no two transactions overlap."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A migrated database with the pool that is shipped."""
    database = Database(url, pool_size=3, max_overflow=2)
    await database.migrate()
    yield database
    await database.close()


@contextmanager
def held(url: str, owner: str) -> Iterator[psycopg.Connection]:
    """Another process counts what the owner has."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as other:
        other.execute(_HOLD, (owner,))
        yield other


async def claim(attempts: AttemptRepository, number: int, tokens: int = 300) -> Claim:
    job = job_input("wf_job_1", tokens=MONTH, agents=number + 1)
    call = task(job, number).model_copy(update={"owner": job.owner})
    return await attempts.claim(call, attempt=1, at=at(1), run_id="run-1", budget=MONTH, tokens=tokens, least=1)


async def test_forty_claims_and_starts_of_one_owner_leave_the_pool_to_others(
    url: str, database: Database, jobs: JobRepository, attempts: AttemptRepository
) -> None:
    await jobs.accept(job_input("wf_job_1", agents=40), request_hash="h", at=at(0))
    with held(url, "alice") as other:
        claims = [asyncio.create_task(claim(attempts, number)) for number in range(40)]
        starts = [
            asyncio.create_task(
                jobs.accept(job_input(f"wf_job_a{n}", tokens=MONTH), request_hash="h", at=at(0), limit=5)
            )
            for n in range(10)
        ]

        async def waiting() -> int:
            row = other.execute(_WAITING).fetchone()
            assert row is not None
            return int(row[0])

        await eventually(waiting, bool)
        for n in range(10):
            assert (
                await jobs.accept(job_input(f"wf_job_b{n}", owner="bob"), request_hash="h", at=at(0), limit=20) is None
            )
            assert await jobs.get(f"wf_job_b{n}") is not None
        assert await waiting() == 1
        assert not any(each.done() for each in (*claims, *starts))
    got = await asyncio.gather(*claims)
    assert sum(each.tokens for each in got) == 1000
    assert sorted(each.tokens for each in got)[-5:] == [0, 100, 300, 300, 300]
    refused = await asyncio.gather(*starts, return_exceptions=True)
    assert {type(each) for each in refused} == {LimitExceeded}


async def test_an_owner_held_for_too_long_is_a_slow_index_and_no_silent_one(
    url: str, database: Database, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "DEADLINE", 0.3)
    with held(url, "alice"):
        faults = await asyncio.gather(*(claim(attempts, number) for number in range(4)), return_exceptions=True)
    assert {each.details["fault"] for each in faults if isinstance(each, Unavailable)} == {"slow"}
    assert len(faults) == 4
    monkeypatch.undo()
    assert (await claim(attempts, 0)).tokens == 300


async def test_a_call_that_ends_while_tokens_are_counted_is_billed_or_claimed(
    url: str, database: Database, jobs: JobRepository, attempts: AttemptRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await jobs.accept(job_input("wf_job_1"), request_hash="h", at=at(0))
    assert (await claim(attempts, 0)).tokens == 300
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as worker:

        def count(connection: Connection) -> TokenUse:
            execute = connection.execute

            def then_the_call_ends(*asked: Any) -> Any:
                answer = execute(*asked)
                worker.execute(_END, (at(2),))
                return answer

            monkeypatch.setattr(connection, "execute", then_the_call_ends)
            return token_use(connection, "alice", at(3), TokenClaim())

        use = await database.transaction(count)
    assert use.used + use.claimed == 300


async def test_a_turn_is_one_per_owner_and_forgotten_when_nobody_has_it() -> None:
    turns = Turns()
    turn = turns.of("alice")
    assert turns.of("alice") is turn
    assert turns.of("bob") is not turn
    del turn
    assert len(turns._locks) == 0
