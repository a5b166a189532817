"""Open jobs and billed tokens of an owner, counted where the rows are, on both databases."""

import asyncio
from datetime import UTC, datetime

import pytest

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import LimitExceeded, Unavailable
from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.limits import TIERS, Tier, TierLimits
from orchestrator.domain.usage import Usage
from orchestrator.services.access.quotas import Quotas
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.token_use import TokenRepository
from tests.ledger import ledger
from tests.storage.rows import at, closed, job_input, task, tokens_since


async def accept(jobs: JobRepository, name: str, limit: int | None = 5, *, owner: str = "alice") -> bool:
    """Whether the job is new."""
    return await jobs.accept(job_input(name, owner=owner), request_hash="h", at=at(0), limit=limit) is None


@ledger("D-065", "D-068", "C-28")
async def test_fifty_starts_at_once_through_two_engines_take_exactly_the_five_slots(
    database: Database, url: str, jobs: JobRepository
) -> None:
    another = Database(url)
    try:
        repositories = (jobs, JobRepository(another))
        starts = [accept(repositories[n % 2], f"wf_job_{n}") for n in range(50)]
        answers = await asyncio.gather(*starts, return_exceptions=True)
    finally:
        await another.close()
    assert answers.count(True) == 5
    refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
    assert len(refused) == 45
    _, stored = await jobs.list(owner="alice", states=None, kind=None, definition=None, limit=10, offset=0)
    assert stored == 5
    details = refused[0].details
    assert (details["limit"], details["allowed"], details["used"]) == ("concurrent_jobs", 5, 5)
    assert len(details["job_ids"]) == 5
    assert refused[0].retry_after == 5


@ledger("D-065", "D-068")
@pytest.mark.parametrize("tier", [Tier.FREE, Tier.PRO, Tier.BUSINESS])
async def test_a_tier_has_its_documented_slots(jobs: JobRepository, tier: Tier) -> None:
    limit = {Tier.FREE: 1, Tier.PRO: 5, Tier.BUSINESS: 20}[tier]
    assert TIERS[tier].concurrent_jobs == limit
    for n in range(limit):
        assert await accept(jobs, f"wf_job_{n}", TIERS[tier].concurrent_jobs)
    with pytest.raises(LimitExceeded, match=f"{limit} of {limit} concurrent jobs are running"):
        await accept(jobs, "wf_job_more", TIERS[tier].concurrent_jobs)


async def test_a_slot_is_free_as_soon_as_its_row_closes_or_is_dropped(jobs: JobRepository) -> None:
    await accept(jobs, "wf_job_closed", 3)
    await accept(jobs, "wf_job_dropped", 3)
    await accept(jobs, "wf_job_paused", 3)
    await jobs.set_state("wf_job_paused", JobState.PAUSED)
    with pytest.raises(LimitExceeded):
        await accept(jobs, "wf_job_1", 3)
    await closed(jobs, "wf_job_closed", JobState.CANCELLED)
    assert await accept(jobs, "wf_job_1", 3)
    with pytest.raises(LimitExceeded):
        await accept(jobs, "wf_job_2", 3)
    await jobs.doubtful("wf_job_dropped")
    assert await jobs.drop("wf_job_dropped")
    assert await accept(jobs, "wf_job_2", 3)


async def test_a_job_accepted_before_is_given_back_without_a_slot(jobs: JobRepository) -> None:
    assert await accept(jobs, "wf_job_1", 1)
    again = await jobs.accept(job_input("wf_job_1"), request_hash="h", at=at(9), limit=1)
    assert again is not None
    assert (again.id, again.created_at) == ("wf_job_1", at(0))
    await accept(jobs, "wf_job_2", 2)
    assert not await accept(jobs, "wf_job_1", 3)
    await closed(jobs, "wf_job_1")
    assert not await accept(jobs, "wf_job_1", 1)


async def test_one_job_accepted_by_many_at_once_takes_one_slot(jobs: JobRepository) -> None:
    answers = await asyncio.gather(*(accept(jobs, "wf_job_1", 1) for _ in range(20)))
    assert answers.count(True) == 1


async def test_owners_do_not_take_each_others_slots_and_no_limit_counts_nothing(jobs: JobRepository) -> None:
    assert await accept(jobs, "wf_job_1", 1, owner="alice")
    assert await accept(jobs, "wf_job_2", 1, owner="bob")
    assert await accept(jobs, "wf_job_3", None, owner="alice")
    with pytest.raises(LimitExceeded):
        await accept(jobs, "wf_job_4", 2, owner="alice")


async def spend(
    attempts: AttemptRepository,
    job: JobInput,
    tokens: tuple[int, int] | None,
    *,
    call: int = 0,
    attempt: int = 1,
    owner: str = "alice",
    ended: datetime | None = None,
    status: AttemptStatus = AttemptStatus.COMPLETED,
) -> None:
    """One attempt, as the agent's activity writes it."""
    one = task(job, call).model_copy(update={"owner": owner})
    usage = None if tokens is None else Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1])
    moment = ended or at(60)
    await attempts.started(one, attempt=attempt, at=moment)
    await attempts.ended(one, attempt=attempt, at=moment, status=status, usage=usage)


@ledger("D-065", "C-28")
async def test_every_billed_attempt_since_a_time_counts_once(attempts: AttemptRepository) -> None:
    job = job_input()
    assert await tokens_since(attempts, "alice", at(0)) == 0
    await spend(attempts, job, (100, 20), status=AttemptStatus.FAILED)
    await spend(attempts, job, (100, 30), attempt=2)
    await spend(attempts, job, None, call=1, status=AttemptStatus.FAILED)
    assert await tokens_since(attempts, "alice", at(0)) == 250
    await spend(attempts, job, (100, 30), attempt=2)
    assert await tokens_since(attempts, "alice", at(0)) == 250
    await spend(attempts, job_input("wf_job_2"), (7, 0), owner="bob")
    await spend(attempts, job_input("wf_job_3"), (5, 0), ended=at(-1))
    assert await tokens_since(attempts, "alice", at(0)) == 250
    assert await tokens_since(attempts, "alice", at(-1)) == 255
    assert await tokens_since(attempts, "bob", at(0)) == 7


@pytest.mark.parametrize("patience", [60, 1e-6])
async def test_an_attempt_has_its_owner_whether_or_not_its_start_was_written(
    database: Database, patience: float
) -> None:
    attempts = AttemptRepository(database, patience=patience)
    await spend(attempts, job_input(), (40, 2))
    await attempts.written(job_input().job_id)
    assert await tokens_since(attempts, "alice", at(0)) == 42


def quotas(database: Database, now: datetime, tokens: int | None = 1000) -> Quotas:
    tiers = {Tier.PRO: TierLimits(concurrent_jobs=3, monthly_tokens=tokens)}
    nothing = Catalogue(agents={}, workflows={})
    return Quotas(tiers, JobRepository(database), TokenRepository(database), nothing, clock=lambda: now)


ALICE = Principal(id="alice", scopes=frozenset(), tier=Tier.PRO)


@ledger("D-065", "D-068")
async def test_a_months_tokens_are_the_calendar_months_in_utc(database: Database, attempts: AttemptRepository) -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    await spend(attempts, job_input("wf_job_1"), (600, 399), ended=last)
    await quotas(database, last).check_tokens(ALICE)
    await spend(attempts, job_input("wf_job_2"), (1, 0), ended=datetime(2026, 11, 1, tzinfo=UTC))
    with pytest.raises(LimitExceeded, match="1000 of 1000 tokens") as refused:
        await quotas(database, last).check_tokens(ALICE)
    assert refused.value.retry_after == 1
    assert refused.value.details == {"limit": "monthly_tokens", "allowed": 1000, "used": 1000, "reserved": 0}
    await quotas(database, datetime(2026, 12, 1, tzinfo=UTC)).check_tokens(ALICE)


async def test_a_year_ends_with_its_month(database: Database, jobs: JobRepository, attempts: AttemptRepository) -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    await spend(attempts, job_input(), (1000, 0), ended=now)
    with pytest.raises(LimitExceeded) as refused:
        await quotas(database, now).check_tokens(ALICE)
    assert refused.value.retry_after == 12 * 3600
    await accept(jobs, "wf_job_2")
    usage = await quotas(database, now).usage(ALICE)
    assert (usage.jobs, usage.tokens, usage.month_ends) == (1, 1000, new_year)
    assert usage.limits == TierLimits(concurrent_jobs=3, monthly_tokens=1000)


async def test_without_a_tier_or_a_limit_no_token_is_too_much(database: Database, attempts: AttemptRepository) -> None:
    now = at(120)
    await spend(attempts, job_input(), (10**9, 0))
    await quotas(database, now, tokens=None).check_tokens(ALICE)
    await quotas(database, now).check_tokens(Principal(id="alice", scopes=frozenset({Scope.ADMIN})))
    with pytest.raises(LimitExceeded):
        await quotas(database, now).check_tokens(ALICE)


async def test_without_the_index_a_limited_start_is_unavailable() -> None:
    nowhere = Database("sqlite:////nonexistent/index.sqlite3")
    jobs = JobRepository(nowhere)
    with pytest.raises(Unavailable):
        await accept(jobs, "wf_job_1")
    with pytest.raises(Unavailable):
        await quotas(nowhere, at(0)).check_tokens(ALICE)
    await nowhere.close()
