"""Monthly tokens of an owner: how many a job reserves, and how many one call may use (decision 0024)."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import LimitExceeded

BUDGET_EXCEEDED: Final = "budget_exceeded"

# One call on a framework makes many model calls.
_FRAMEWORK_CALLS: Final = 16
_SETTLES_SOON: Final = 5.0


class TokenBudget(BaseModel):
    """`monthly` is the limit of the job's owner, `planned` the most that the job's planned calls may use.

    A child job reserves nothing: it uses the reservation of the first job of its family, `root`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    monthly: int
    planned: int = 0
    root: str | None = None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of an owner in a month: `used` are billed, `reserved` belong to open jobs.

    Running calls have `claimed` a part of the reserved ones. They return unused ones soon.
    """

    used: int = 0
    reserved: int = 0
    claimed: int = 0

    def remaining(self, limit: int) -> int:
        """Tokens that are neither used nor reserved."""
        return limit - self.used - self.reserved

    def check(self, limit: int, at: datetime) -> None:
        """Raises `LimitExceeded` if no tokens are remaining for another job."""
        if self.remaining(limit) > 0:
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
    """The tokens that a call may use, 0 if too few are left. `use` is the use by other calls."""

    tokens: int
    use: TokenUse = TokenUse()

    def may_follow(self, limit: int, least: int) -> bool:
        """Whether a refused call may get `least` tokens once the running calls have ended."""
        return self.use.claimed > 0 and limit - self.use.used >= least

    def waiting_message(self, limit: int, least: int) -> str:
        """The message for the job's owner while a refused call waits."""
        return (
            f"The call waits for tokens that other calls hold: it needs at least {least}, and of {limit} tokens of "
            f"this month {self.use.used} are used and {self.use.reserved} are reserved by other calls and jobs."
        )

    def refusal(self, limit: int, least: int, at: datetime) -> str:
        """The message for the job's owner if the call fails for lack of tokens."""
        return (
            f"The tokens of this month do not suffice for this call: it needs at least {least}, and of {limit} tokens "
            f"{self.use.used} are used and {self.use.reserved} are reserved by other calls and jobs; "
            f"{_renewal(at)}."
        )


def longest_answer(agent: Agent, max_tokens: int | None, *, framework: bool) -> int:
    """The most tokens that one call may answer with; 0 for plain code, which calls no model."""
    if agent.function is not None and not framework:
        return 0
    length = agent.settings.max_tokens if max_tokens is None else max_tokens
    return length * _FRAMEWORK_CALLS if framework else length


def month_start(moment: datetime) -> datetime:
    """The start of the calendar month of a time in UTC."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(moment: datetime) -> datetime:
    """The start of the next calendar month."""
    start = month_start(moment)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _renewal(at: datetime) -> str:
    return f"the next month begins at {month_end(at):%Y-%m-%d}"
