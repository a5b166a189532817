"""How much a caller may use: requests, jobs at once, tokens in a month (D-065)."""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

UNLIMITED: Final = 1_000_000
"""What the headers say of a caller whose requests are not limited: they must be numbers (D-066)."""


class Tier(StrEnum):
    """The four tiers."""

    FREE = "free"
    PRO = "pro"
    BUSINESS = "business"
    ENTERPRISE = "enterprise"


class TierLimits(BaseModel):
    """The limits of one tier; None does not limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(default=None, ge=1)
    concurrent_jobs: int | None = Field(default=None, ge=1)
    monthly_tokens: int | None = Field(default=None, ge=1)


TIERS: Final = {
    Tier.FREE: TierLimits(requests_per_minute=10, concurrent_jobs=1, monthly_tokens=100_000),
    Tier.PRO: TierLimits(requests_per_minute=60, concurrent_jobs=5, monthly_tokens=1_000_000),
    Tier.BUSINESS: TierLimits(requests_per_minute=300, concurrent_jobs=20, monthly_tokens=10_000_000),
    Tier.ENTERPRISE: TierLimits(),
}
"""As documented; Enterprise is by agreement, in the settings."""


class Allowance(BaseModel):
    """What is left of a window of requests. `reset` is the Unix time, in seconds, at which all of it is back."""

    model_config = ConfigDict(frozen=True)

    limit: int
    remaining: int
    reset: int
