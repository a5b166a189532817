"""Tokens of a calendar month: what a job reserves of its owner's, what one call of it may use (decision 0024)."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import LimitExceeded

BUDGET_EXCEEDED: Final = "budget_exceeded"

# One call on a framework is many calls of models.
_FRAMEWORK_CALLS: Final = 16
_SETTLES_SOON: Final = 5.0


class TokenBudget(BaseModel):
    """`monthly` is the limit of the job's owner, `planned` what the job's planned calls may ask for.

    A child plans nothing of its own: it uses what the first job of its family, `root`, has reserved.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    monthly: int
    planned: int = 0
    root: str | None = None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of an owner in a month: `used` are billed, `reserved` are held by open jobs.

    Calls that run have `claimed` some of the reserved ones, and give back soon what they do not use.
    """

    used: int = 0
    reserved: int = 0
    claimed: int = 0

    def left(self, limit: int) -> int:
        """What is neither used nor reserved."""
        return limit - self.used - self.reserved

    def check(self, limit: int, at: datetime) -> None:
        """Raises `LimitExceeded` if nothing is left for another job."""
        if self.left(limit) > 0:
            return
        if self.used >= limit:
            wait = (month_end(at) - at).total_seconds()
            message = f"{self.used} of {limit} tokens of this month are used; {_renewal(at)}."
        else:
            wait = _SETTLES_SOON
            message = (
                f"{self.used} of {limit} tokens of this month are used, and jobs that run have reserved the other "
                f"{self.reserved}. Retry when one of them has ended; {_renewal(at)}."
            )
        raise LimitExceeded(
            message,
            limit="monthly_tokens",
            retry_after=math.ceil(wait),
            allowed=limit,
            used=self.used,
            reserved=self.reserved,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call got: `tokens` of those it asked for, 0 if too few are left by the others' `use`."""

    tokens: int
    use: TokenUse = TokenUse()

    def may_follow(self, limit: int, least: int) -> bool:
        """Whether a call that got none may get `least` tokens once the calls that run have ended."""
        return self.use.claimed > 0 and limit - self.use.used >= least

    def held(self, limit: int, least: int) -> str:
        """What a call that got none waits for, for its job's owner."""
        return (
            f"The call waits for tokens that other calls hold: it needs at least {least}, and of {limit} tokens of "
            f"this month {self.use.used} are used and {self.use.reserved} are reserved by other calls and jobs."
        )

    def refusal(self, limit: int, least: int, at: datetime) -> str:
        """Why the call is not made, for its job's owner."""
        return (
            f"The tokens of this month do not suffice for this call: it needs at least {least}, and of {limit} tokens "
            f"{self.use.used} are used and {self.use.reserved} are reserved by other calls and jobs; "
            f"{_renewal(at)}."
        )


def longest_answer(agent: Agent, max_tokens: int | None, *, framework: bool) -> int:
    """How many tokens the answer of one call may have. An agent that is plain code asks no model."""
    if agent.function is not None and not framework:
        return 0
    length = agent.settings.max_tokens if max_tokens is None else max_tokens
    return length * _FRAMEWORK_CALLS if framework else length


def month_start(moment: datetime) -> datetime:
    """The begin of the calendar month of a moment in UTC."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(moment: datetime) -> datetime:
    """The begin of the month after it."""
    begin = month_start(moment)
    return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def _renewal(at: datetime) -> str:
    return f"the next month begins at {month_end(at):%Y-%m-%d}"
