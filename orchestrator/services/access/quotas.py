"""Quotas of a caller: concurrent jobs, and tokens in a calendar month (D-065, D-068, C-28)."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from orchestrator.domain.access import Principal
from orchestrator.domain.budgets import TokenBudget, longest_answer, month_end
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import LimitExceeded, NotFound
from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.domain.limits import UNLIMITED_TIER, Tier, TierLimits
from orchestrator.domain.plans import Step
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.token_use import TokenRepository


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """A caller's limits and usage. `reserved_tokens` are those of open jobs. The tokens start again at `month_ends`."""

    limits: TierLimits
    jobs: int
    tokens: int
    reserved_tokens: int
    month_ends: datetime


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Quotas:
    """Compares the limits of every tier with the job index. Every method raises `Unavailable` without the index."""

    tiers: Mapping[Tier, TierLimits]
    jobs: JobRepository
    tokens: TokenRepository
    catalogue: Catalogue
    _: KW_ONLY
    clock: Callable[[], datetime]

    def limits(self, principal: Principal) -> TierLimits:
        """The limits of a caller. An administrator without a tier has no limits."""
        return UNLIMITED_TIER if principal.tier is None else self.tiers[principal.tier]

    def within_budget(self, principal: Principal, job: JobInput) -> JobInput:
        """The job with the token budget of its caller's tier. `JobRepository.accept` enforces the budget."""
        limit = self.limits(principal).monthly_tokens
        if limit is None:
            return job
        budget = TokenBudget(monthly=limit, planned=planned_tokens(self.catalogue, job))
        return job.model_copy(update={"tokens": budget})

    async def check_tokens(self, principal: Principal) -> None:
        """Refuse early: the job of this work is accepted later, and `JobRepository.accept` enforces the limit there.

        Raises `LimitExceeded` if the tokens of this calendar month (UTC) are used up.
        """
        limit = self.limits(principal).monthly_tokens
        if limit is not None:
            now = self.clock()
            (await self.tokens.use(principal.id, now)).check(limit, now)

    async def check_jobs(self, principal: Principal) -> None:
        """Refuse early, as `check_tokens` does. Raises `LimitExceeded` if the tier permits no further open job."""
        limit = self.limits(principal).concurrent_jobs
        if limit is None:
            return
        running = (await self.usage(principal)).jobs
        if running >= limit:
            raise LimitExceeded(
                f"{running} of {limit} concurrent jobs are running. Retry after 5 seconds.",
                limit="concurrent_jobs",
                retry_after=5.0,
                allowed=limit,
                used=running,
            )

    async def usage(self, principal: Principal) -> QuotaUsage:
        """The caller's usage now."""
        now = self.clock()
        _, running = await self.jobs.list(
            owner=principal.id, states=sorted(OPEN_STATES), kind=None, definition=None, limit=1, offset=0
        )
        tokens = await self.tokens.use(principal.id, now)
        return QuotaUsage(
            limits=self.limits(principal),
            jobs=running,
            tokens=tokens.used,
            reserved_tokens=tokens.reserved,
            month_ends=month_end(now),
        )


def planned_tokens(catalogue: Catalogue, job: JobInput) -> int:
    """The most tokens that the answers of the planned calls may have. A retry does not pay for reused answers."""
    reused = {(call.step, call.agent) for call in job.retry.calls} if job.retry else set()
    return sum(
        _longest_answer(catalogue, job, step, agent)
        for step in job.plan.all_steps()
        for agent in step.agents
        if (step.id, agent) not in reused
    )


def _longest_answer(catalogue: Catalogue, job: JobInput, step: Step, agent: str) -> int:
    try:
        return longest_answer(catalogue.agent(agent), job.config.max_tokens, framework=step.task_queue is not None)
    except NotFound:  # a worker with other plugins has the agent, and claims its tokens there
        return job.config.max_tokens or 0
