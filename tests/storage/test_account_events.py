"""Events of accounts in the index, on both databases: in order, each once, and none of another account."""

import asyncio

import pytest

from orchestrator.domain.jobs import JobState
from orchestrator.domain.webhooks import WebhookEvent
from orchestrator.storage.account_events import AccountEventRepository
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.pruning import PruningRepository
from orchestrator.storage.resets import ResetRepository
from tests.storage.rows import accepted, at, closed, job_input


@pytest.fixture
def events(database: Database) -> AccountEventRepository:
    return AccountEventRepository(database)


@pytest.fixture
def jobs(database: Database) -> JobRepository:
    return JobRepository(database)


async def test_the_end_of_a_job_is_one_event_of_its_owner(events: AccountEventRepository, jobs: JobRepository):
    await accepted(jobs, job_input("job_1"))
    await accepted(jobs, job_input("job_2", owner="bob"))
    assert await events.last("alice") == 0
    # The workflow writes the outcome, and the closed history completes it.
    assert await closed(jobs, "job_1", snapshot=None, events=None, at=at(5))
    assert await closed(jobs, "job_1", at=at(5))
    await closed(jobs, "job_2", JobState.CANCELLED)
    (event,) = await events.after("alice", 0, 10)
    assert (event.number, event.event, event.job_id, event.created_at) == (1, "job.completed", "job_1", at(5))
    assert [(each.number, each.event) for each in await events.after("bob", 0, 10)] == [(1, "job.failed")]
    assert await events.after("alice", 1, 10) == []
    assert (await events.last("alice"), await events.last("nobody")) == (1, 0)


async def test_a_job_that_ends_again_after_a_reset_is_another_event(
    events: AccountEventRepository, jobs: JobRepository, database: Database
):
    await accepted(jobs, job_input("job_1"))
    await closed(jobs, "job_1", at=at(5))
    await ResetRepository(database).reopen("job_1", run_id="other", began_at=at(7))
    await closed(jobs, "job_1", JobState.FAILED, at=at(9), since=at(8))
    assert [(each.event, each.data) for each in await events.after("alice", 0, 10)] == [
        ("job.completed", None),
        ("job.failed", {"replaces_earlier_end": True}),
    ]


async def test_events_without_a_job_are_there_too(events: AccountEventRepository, database: Database):
    notice = {"session_id": "s", "turns": 3}
    for _ in range(2):
        await DeliveryRepository(database).notify(
            "alice", WebhookEvent.SESSION_ENDED, cause="session s", data=notice, at=at(1)
        )
    (event,) = await events.after("alice", 0, 10)
    assert (event.event, event.job_id, event.data) == ("session.ended", None, notice)


async def test_a_reader_that_follows_by_number_misses_none_of_events_at_the_same_moment(
    events: AccountEventRepository, jobs: JobRepository
):
    names = [f"job_{number}" for number in range(30)]
    await asyncio.gather(*(accepted(jobs, job_input(name)) for name in names))
    ends = asyncio.gather(*(closed(jobs, name) for name in names))
    seen: list[str | None] = []
    numbers: list[int] = []
    while len(seen) < len(names):
        page = await events.after("alice", numbers[-1] if numbers else 0, 7)
        seen += [each.job_id for each in page]
        numbers += [each.number for each in page]
        if not page and ends.done():
            break
    await ends
    assert sorted(filter(None, seen)) == sorted(names)
    assert numbers == list(range(1, len(names) + 1))


async def test_old_events_go_and_numbers_go_on(events: AccountEventRepository, jobs: JobRepository, database: Database):
    for number in range(3):
        await accepted(jobs, job_input(f"job_{number}"))
        await closed(jobs, f"job_{number}", at=at(number))
    pruning = PruningRepository(database)
    assert await pruning.account_events(at(100), 1) == 1
    assert await pruning.account_events(at(100), 10) == 1
    assert [each.number for each in await events.after("alice", 0, 10)] == [3], "the newest stays"
    await accepted(jobs, job_input("job_9"))
    await closed(jobs, "job_9")
    assert await events.last("alice") == 4
