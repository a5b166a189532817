"""What a caller may have started: jobs at once, and tokens in a month (D-065, D-068, C-28)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """What a caller uses of which limits, and what open jobs reserve. `month_ends` is when the tokens begin anew."""

    limits: TierLimits
    jobs: int
    tokens: int
    reserved_tokens: int
    month_ends: datetime


class Quotas:
    """The limits of every tier, held against the job index. Every method raises `Unavailable` without the index."""

    def __init__(
        self,
        tiers: Mapping[Tier, TierLimits],
        jobs: JobRepository,
        tokens: TokenRepository,
        catalogue: Catalogue,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._tiers = tiers
        self._jobs = jobs
        self._tokens = tokens
        self._catalogue = catalogue
        self._clock = clock

    def limits(self, principal: Principal) -> TierLimits:
        """The limits of a caller; none for an administrator without a tier."""
        return UNLIMITED_TIER if principal.tier is None else self._tiers[principal.tier]

    def within_budget(self, principal: Principal, job: JobInput) -> JobInput:
        """The job with the tokens that its caller's tier allows, which `JobRepository.accept` holds it to."""
        limit = self.limits(principal).monthly_tokens
        if limit is None:
            return job
        budget = TokenBudget(monthly=limit, planned=planned_tokens(self._catalogue, job))
        return job.model_copy(update={"tokens": budget})

    async def check_tokens(self, principal: Principal) -> None:
        """Raises `LimitExceeded` when nothing is left of the tokens of this calendar month (UTC), for work whose job is
        accepted later."""
        limit = self.limits(principal).monthly_tokens
        if limit is not None:
            now = self._clock()
            (await self._tokens.use(principal.id, now)).check(limit, now)

    async def check_jobs(self, principal: Principal) -> None:
        """Raises `LimitExceeded` when the caller has as many open jobs as the tier allows, for work whose job is
        accepted later; `JobRepository.accept` holds the limit where it is accepted at once."""
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
        """What the caller uses now."""
        now = self._clock()
        _, running = await self._jobs.list(
            owner=principal.id, states=sorted(OPEN_STATES), kind=None, definition=None, limit=1, offset=0
        )
        tokens = await self._tokens.use(principal.id, now)
        return QuotaUsage(
            limits=self.limits(principal),
            jobs=running,
            tokens=tokens.used,
            reserved_tokens=tokens.reserved,
            month_ends=month_end(now),
        )


def planned_tokens(catalogue: Catalogue, job: JobInput) -> int:
    """How many tokens the answers of a job's planned calls may have. A retry does not pay for what it takes over."""
    reused = {(call.step, call.agent) for call in job.retry.calls} if job.retry else set()
    return sum(
        _longest_answer(catalogue, job, step, agent)
        for step in job.plan.steps
        for agent in step.agents
        if (step.id, agent) not in reused
    )


def _longest_answer(catalogue: Catalogue, job: JobInput, step: Step, agent: str) -> int:
    try:
        return longest_answer(catalogue.agent(agent), job.config.max_tokens, framework=step.task_queue is not None)
    except NotFound:  # a worker with other plugins has it, and claims what it needs
        return job.config.max_tokens or 0
