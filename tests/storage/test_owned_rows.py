"""How many rows an owner may have, added by two processes at once, and how much one list shows; on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput, LimitExceeded
from orchestrator.domain.rows import MAX_KEYS, MAX_SESSIONS
from orchestrator.storage.configurations import ConfigurationRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.user_agents import UserAgentRepository
from orchestrator.storage.webhooks import WebhookRepository
from tests.ledger import ledger
from tests.storage.rows import at, job_input
from tests.storage.test_keys import NOON, digested, new_key
from tests.storage.test_user_agents import configuration, user_agent
from tests.storage.test_webhooks import webhook

Add = Callable[[Database, int], Awaitable[Any]]

ADDED: dict[str, tuple[int, Add]] = {
    "webhooks": (5, lambda db, n: WebhookRepository(db).add(webhook(f"wh_{n}"), most=5)),
    "agents": (5, lambda db, n: UserAgentRepository(db).add(user_agent(n), most=5)),
    "configurations": (5, lambda db, n: ConfigurationRepository(db).add(configuration(n), most=5)),
    "keys": (MAX_KEYS, lambda db, n: KeyRepository(db).add(new_key(n), digested("digest"))),
}


@ledger("D-098")
@pytest.mark.parametrize("kind", ADDED)
async def test_rows_added_at_once_by_two_processes_stop_at_the_limit(database: Database, url: str, kind: str) -> None:
    most, add = ADDED[kind]
    another = Database(url)
    try:
        databases = (database, another)
        answers = await asyncio.gather(*(add(databases[n % 2], n) for n in range(most + 10)), return_exceptions=True)
    finally:
        await another.close()
    refused = [answer for answer in answers if isinstance(answer, InvalidInput)]
    assert (answers.count(None), len(refused)) == (most, 10)
    details = refused[0].details
    assert (details["limit"], details["allowed"], details["used"]) == (kind, most, most)


async def test_rows_that_are_over_do_not_count(database: Database) -> None:
    agents, keys = UserAgentRepository(database), KeyRepository(database)
    for number in (1, 2):
        await agents.add(user_agent(number), most=1)
        await agents.delete("alice", user_agent(number).id, at=at(9))
    for number in range(MAX_KEYS):
        await keys.add(new_key(number), digested("digest"))
    await keys.change(new_key(0).id, revoked_at=NOON)
    await keys.add(new_key(MAX_KEYS), digested("digest"))
    with pytest.raises(InvalidInput, match="revoke one first"):
        await keys.add(new_key(MAX_KEYS + 1), digested("digest"))


async def test_a_list_reads_what_rows_hold_only_up_to_its_size(database: Database) -> None:
    configurations = ConfigurationRepository(database)
    for number in range(40):
        await configurations.add(configuration(number, configuration={"text": "x" * 1000}), most=100)
    wanted = {"framework": None, "templates": False, "public": True, "search": None, "limit": 100}
    found = await configurations.list("bob", **wanted, most_bytes=10**6)
    assert found == []
    found = await configurations.list("alice", **wanted, most_bytes=20_500)
    assert [one.configuration is not None for one in found] == [True] * 20 + [False] * 20
    assert found[0].name == "Style 39"
    whole = await configurations.list("alice", **wanted, most_bytes=10**6)
    assert {one.configuration["text"] for one in whole if one.configuration} == {"x" * 1000}
    assert len(whole) == 40


async def test_an_owner_has_so_many_sessions_within_an_hour(jobs: JobRepository) -> None:
    async def turn(session: int, seconds: float, turn: int = 0) -> None:
        job = job_input(f"wf_job_{session}_{turn}", subject=f"conv_{session}")
        assert await jobs.accept(job, request_hash="h", at=at(seconds), limit=1000) is None

    for session in range(MAX_SESSIONS):
        await turn(session, 0)
    with pytest.raises(LimitExceeded, match="chat sessions") as refused:
        await turn(MAX_SESSIONS, 1)
    details = refused.value.details
    assert (details["limit"], details["allowed"], details["used"]) == ("sessions", MAX_SESSIONS, MAX_SESSIONS)
    await turn(0, 2, turn=1)
    job = job_input("wf_job_no_turn")
    assert await jobs.accept(job, request_hash="h", at=at(3), limit=1000) is None
    await turn(MAX_SESSIONS, 3601)
