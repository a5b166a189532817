"""Tokens that jobs reserve and calls claim of their owner's month, on both databases, over two engines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.domain.budgets import Claim, TokenBudget, TokenUse
from orchestrator.domain.commands import AgentTask, JobInput
from orchestrator.domain.errors import LimitExceeded, Unavailable
from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.plans import Timeouts
from orchestrator.domain.usage import Usage
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.token_use import TokenRepository
from tests.ledger import ledger
from tests.storage.rows import at, closed, job_input, task

MONTH = 1000


@pytest.fixture
def tokens(database: Database) -> TokenRepository:
    return TokenRepository(database)


@pytest.fixture
async def elsewhere(url: str, database: Database) -> AsyncIterator[Database]:
    """The engine of another process."""
    another = Database(url)
    yield another
    await another.close()


def budgeted(name: str, planned: int, **more: Any) -> JobInput:
    return job_input(name, tokens=TokenBudget(monthly=MONTH, planned=planned), **more)


async def accept(jobs: JobRepository, job: JobInput, **more: Any) -> None:
    assert await jobs.accept(job, request_hash="h", at=at(0), **more) is None


def call_of(job: JobInput, number: int = 0) -> AgentTask:
    return task(job, number).model_copy(update={"owner": job.owner, "tokens": job.tokens})


async def claim(attempts: AttemptRepository, one: AgentTask, tokens: int, *, least: int = 1, **more: Any) -> Claim:
    which = {"attempt": 1, "at": at(1), "run_id": "run-1", **more}
    return await attempts.claim(
        one, budget=one.tokens or TokenBudget(monthly=MONTH), tokens=tokens, least=least, **which
    )


async def bill(attempts: AttemptRepository, one: AgentTask, tokens: int, attempt: int = 1) -> None:
    await attempts.ended(
        one,
        attempt=attempt,
        at=at(2),
        status=AttemptStatus.COMPLETED,
        usage=Usage(prompt_tokens=tokens),
        run_id="run-1",
    )


@ledger("D-065", "D-068", "C-28")
async def test_thirty_starts_at_once_over_two_processes_reserve_no_more_than_the_month_has(
    jobs: JobRepository, elsewhere: Database, tokens: TokenRepository
) -> None:
    both = (jobs, JobRepository(elsewhere))
    starts = [both[n % 2].accept(budgeted(f"wf_job_{n}", 300), request_hash="h", at=at(0), limit=40) for n in range(30)]
    answers = await asyncio.gather(*starts, return_exceptions=True)
    assert answers.count(None) == 4  # the fourth fits partly: something was left
    refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
    assert len(refused) == 26
    assert refused[0].details == {"limit": "monthly_tokens", "allowed": MONTH, "used": 0, "reserved": MONTH}
    assert refused[0].retry_after == 5
    assert "reserved" in refused[0].message
    assert await tokens.use("alice", at(0)) == TokenUse(used=0, reserved=MONTH)
    assert await tokens.use("bob", at(0)) == TokenUse()


async def test_a_reservation_is_settled_however_its_job_ends(
    jobs: JobRepository, attempts: AttemptRepository, tokens: TokenRepository
) -> None:
    for name in ("wf_job_done", "wf_job_failed", "wf_job_cancelled", "wf_job_dropped"):
        await accept(jobs, budgeted(name, 250))
    done = call_of(budgeted("wf_job_done", 250))
    assert (await claim(attempts, done, 200)).tokens == 200
    assert await tokens.use("alice", at(3)) == TokenUse(used=0, reserved=MONTH, claimed=200)
    await bill(attempts, done, 40)
    assert await tokens.use("alice", at(3)) == TokenUse(used=40, reserved=MONTH - 40)
    await closed(jobs, "wf_job_done")
    assert await tokens.use("alice", at(3)) == TokenUse(used=40, reserved=750)
    await claim(attempts, call_of(budgeted("wf_job_failed", 250)), 900)
    await closed(jobs, "wf_job_failed", JobState.FAILED)
    await closed(jobs, "wf_job_cancelled", JobState.CANCELLED)
    await jobs.doubtful("wf_job_dropped")
    assert await jobs.drop("wf_job_dropped")
    assert await tokens.use("alice", at(3)) == TokenUse(used=40, reserved=0)


async def test_a_job_accepted_before_is_given_back_when_nothing_is_left(jobs: JobRepository) -> None:
    first = budgeted("wf_job_1", 5000)
    await accept(jobs, first)
    there = await jobs.accept(first, request_hash="h", at=at(9))
    assert there is not None
    assert there.created_at == at(0)
    with pytest.raises(LimitExceeded):
        await jobs.accept(budgeted("wf_job_2", 1), request_hash="h", at=at(9))
    # What runs already, as a child does, is never refused.
    await accept(jobs, budgeted("wf_job_child", 1), runs=True)


async def test_calls_at_once_over_two_processes_claim_no_more_than_is_left(
    jobs: JobRepository, attempts: AttemptRepository, elsewhere: Database
) -> None:
    job = budgeted("wf_job_1", 8000, agents=8)
    await accept(jobs, job)
    both = (attempts, AttemptRepository(elsewhere))
    claims = await asyncio.gather(*(claim(both[n % 2], call_of(job, n), 300) for n in range(8)))
    assert sorted(one.tokens for one in claims) == [0, 0, 0, 0, 100, 300, 300, 300]
    got = {tokens: [n for n in range(8) if claims[n].tokens == tokens] for tokens in (0, 300)}
    late = await claim(attempts, call_of(job, got[0][0]), 300)
    assert (late.tokens, late.use.claimed) == (0, MONTH)  # those that run may give some back
    await bill(attempts, call_of(job, got[300][0]), 20)
    assert (await claim(attempts, call_of(job, got[0][1]), 300)).tokens == 280


async def test_a_call_leaves_alone_what_other_jobs_have_reserved_and_its_job_keeps_its_own(
    jobs: JobRepository, attempts: AttemptRepository
) -> None:
    mine, other = budgeted("wf_job_mine", 400), budgeted("wf_job_other", 500)
    await accept(jobs, mine)
    await accept(jobs, other)
    assert (await claim(attempts, call_of(mine), 900)).tokens == 500  # its own 400, and 100 that nobody has
    assert (await claim(attempts, call_of(other), 900)).tokens == 500
    await bill(attempts, call_of(mine), 500)
    refused = await claim(attempts, call_of(mine, 1), 10)
    assert (refused.tokens, refused.use) == (0, TokenUse(used=500, reserved=500, claimed=500))
    assert "of 1000 tokens 500 are used and 500 are reserved" in refused.refusal(MONTH, 10, at(0))
    await closed(jobs, "wf_job_other")
    assert (await claim(attempts, call_of(mine, 1), 900)).tokens == 500


async def test_a_child_uses_what_its_family_has_reserved(jobs: JobRepository, attempts: AttemptRepository) -> None:
    await accept(jobs, budgeted("wf_job_parent", MONTH))
    of_family = TokenBudget(monthly=MONTH, root="wf_job_parent")
    child = job_input("wf_job_child", tokens=of_family)
    await accept(jobs, child, runs=True)
    assert (await claim(attempts, call_of(child), 700)).tokens == 700
    stranger = job_input("wf_job_stranger", tokens=TokenBudget(monthly=MONTH))
    assert (await claim(attempts, call_of(stranger), 700)).tokens == 0


async def test_the_next_attempt_of_a_call_takes_the_place_of_one_that_its_worker_left(
    jobs: JobRepository, attempts: AttemptRepository
) -> None:
    job = budgeted("wf_job_1", 100)
    await accept(jobs, job)
    assert (await claim(attempts, call_of(job), 900)).tokens == 900
    assert (await claim(attempts, call_of(job), 900, attempt=2)).tokens == 900
    # A run before a reset ended with nobody to say so.
    assert (await claim(attempts, call_of(job, 1), 900, run_id="run-2")).tokens == 900


async def test_a_call_whose_time_is_up_claims_nothing(
    jobs: JobRepository, attempts: AttemptRepository, tokens: TokenRepository
) -> None:
    job = budgeted("wf_job_1", 100)
    await accept(jobs, job)
    limit = job.plan.steps[0].timeouts.start_to_close
    assert (await claim(attempts, call_of(job), MONTH, at=at(1))).tokens == MONTH
    in_time = await claim(attempts, call_of(job, 1), 900, at=at(limit))
    assert (in_time.tokens, in_time.use.claimed) == (0, MONTH)
    assert await tokens.use("alice", at(limit)) == TokenUse(used=0, reserved=MONTH, claimed=MONTH)
    assert await tokens.use("alice", at(limit + 2)) == TokenUse(used=0, reserved=100)
    assert (await claim(attempts, call_of(job, 1), 900, at=at(limit + 2))).tokens == 900
    # Its end may be reported all the same.
    await bill(attempts, call_of(job), 60)
    assert await tokens.use("alice", at(limit + 2)) == TokenUse(used=60, reserved=900, claimed=900)


async def test_the_time_of_a_call_may_be_longer_than_any_month(
    jobs: JobRepository, attempts: AttemptRepository
) -> None:
    job = budgeted("wf_job_1", 100)
    await accept(jobs, job)
    one = call_of(job)
    endless = one.step.model_copy(update={"timeouts": Timeouts(start_to_close=3e11)})
    assert (await claim(attempts, one.model_copy(update={"step": endless}), 900)).tokens == 900


async def test_a_claim_below_the_least_is_none_and_writes_no_attempt(
    jobs: JobRepository, attempts: AttemptRepository
) -> None:
    job = budgeted("wf_job_1", 100)
    await accept(jobs, job)
    assert (await claim(attempts, call_of(job), 2000, least=1001)).tokens == 0
    assert await attempts.for_job(job.job_id) == []
    assert (await claim(attempts, call_of(job), 2000, least=1000)).tokens == 1000
    assert [row.attempt.status for row in await attempts.for_job(job.job_id)] == [AttemptStatus.RUNNING]


async def test_without_the_index_nothing_is_claimed() -> None:
    nowhere = Database("sqlite:////nonexistent/index.sqlite3")
    with pytest.raises(Unavailable):
        await claim(AttemptRepository(nowhere), call_of(budgeted("wf_job_1", 1)), 1)
    await nowhere.close()
