"""What a caller may have started: jobs at once, and tokens in a month (D-065, D-068, C-28)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.domain.limits import UNLIMITED_TIER, Tier, TierLimits
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRepository


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller uses of which limits. `month_ends` is when the tokens begin anew."""

    limits: TierLimits
    jobs: int
    tokens: int
    month_ends: datetime


class Quotas:
    """The limits of every tier, held against the job index. Every method raises `Unavailable` without the index."""

    def __init__(
        self,
        tiers: Mapping[Tier, TierLimits],
        jobs: JobRepository,
        attempts: AttemptRepository,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._tiers = tiers
        self._jobs = jobs
        self._attempts = attempts
        self._clock = clock

    def limits(self, principal: Principal) -> TierLimits:
        """The limits of a caller; none for an administrator without a tier."""
        return UNLIMITED_TIER if principal.tier is None else self._tiers[principal.tier]

    async def check_tokens(self, principal: Principal) -> None:
        """Raises `LimitExceeded` when the caller's jobs have used up the tokens of this calendar month (UTC)."""
        limit = self.limits(principal).monthly_tokens
        if limit is None:
            return
        now = self._clock()
        used = await self._attempts.tokens_since(principal.id, month_start(now))
        if used >= limit:
            raise LimitExceeded(
                f"{used} of {limit} tokens of this month are used; the next month begins at {month_end(now):%Y-%m-%d}.",
                limit="monthly_tokens",
                retry_after=math.ceil((month_end(now) - now).total_seconds()),
                allowed=limit,
                used=used,
            )

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

    async def usage(self, principal: Principal) -> Usage:
        """What the caller uses now."""
        now = self._clock()
        _, running = await self._jobs.list(
            owner=principal.id, states=sorted(OPEN_STATES), kind=None, definition=None, limit=1, offset=0
        )
        tokens = await self._attempts.tokens_since(principal.id, month_start(now))
        return Usage(limits=self.limits(principal), jobs=running, tokens=tokens, month_ends=month_end(now))


def month_start(moment: datetime) -> datetime:
    """The begin of the calendar month of a moment in UTC."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(moment: datetime) -> datetime:
    """The begin of the month after it."""
    begin = month_start(moment)
    return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
