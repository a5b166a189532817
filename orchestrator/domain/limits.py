"""The limits of callers: requests, concurrent jobs, monthly tokens (D-065)."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

UNLIMITED: Final = 1_000_000
"""The value of limit headers for a caller without a limit: headers must be numbers (D-066)."""


class Tier(StrEnum):
    """The four documented tiers, and the tier of callers without a credential."""

    FREE = "free"
    PRO = "pro"
    BUSINESS = "business"
    ENTERPRISE = "enterprise"
    PUBLIC = "public"


class TierLimits(BaseModel):
    """The limits of one tier; None does not limit.

    `high_priority` lets its jobs have priority `high` or `critical`, `overrides` lets them choose a model and
    `max_tokens`, `callbacks` lets them have a `webhook_url`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(default=None, ge=1)
    concurrent_jobs: int | None = Field(default=None, ge=1)
    monthly_tokens: int | None = Field(default=None, ge=1)
    high_priority: bool = False
    overrides: bool = True
    callbacks: bool = True


TIERS: Final = {
    Tier.FREE: TierLimits(requests_per_minute=10, concurrent_jobs=1, monthly_tokens=100_000),
    Tier.PRO: TierLimits(requests_per_minute=60, concurrent_jobs=5, monthly_tokens=1_000_000),
    Tier.BUSINESS: TierLimits(requests_per_minute=300, concurrent_jobs=20, monthly_tokens=10_000_000),
    Tier.ENTERPRISE: TierLimits(high_priority=True),
    Tier.PUBLIC: TierLimits(
        requests_per_minute=10, concurrent_jobs=4, monthly_tokens=1_000_000, overrides=False, callbacks=False
    ),
}
"""As documented; Enterprise is by agreement, in the settings."""

UNLIMITED_TIER: Final = TierLimits(high_priority=True)
"""The limits of administrators without a tier."""

_PERMISSIONS: Final = frozenset({"high_priority", "overrides", "callbacks"})


def tier_limits(changed: Mapping[Tier, TierLimits]) -> dict[Tier, TierLimits]:
    """The limits of every tier, some of them `changed`.

    A number that a changed tier omits does not limit. An omitted permission stays as documented, and so does every
    omitted number of `public`: an omission must not give strangers unlimited use.
    """
    return {tier: _changed(tier, changed[tier]) if tier in changed else limits for tier, limits in TIERS.items()}


def _changed(tier: Tier, limits: TierLimits) -> TierLimits:
    inherited = set(TierLimits.model_fields) if tier is Tier.PUBLIC else _PERMISSIONS
    return limits.model_copy(update={name: getattr(TIERS[tier], name) for name in inherited - limits.model_fields_set})


class Allowance(BaseModel):
    """The rest of a window of requests. `reset` is the Unix time, in seconds, at which the window is full again.

    A refused request has `retry_after`, in seconds. If it cannot be counted, it is allowed and `counted` is False.
    `seconds` is the length of the window.
    """

    model_config = ConfigDict(frozen=True)

    limit: int
    remaining: int
    reset: int
    retry_after: int | None = None
    counted: bool = True
    seconds: int = 60

    @classmethod
    def unlimited(cls, now: float) -> "Allowance":
        """The allowance of a caller without a limit at a Unix time."""
        return cls(limit=UNLIMITED, remaining=UNLIMITED, reset=math.ceil(now) + 60)


class SurfaceLimit(StrEnum):
    """The limits that the other surfaces document, each for a group of their routes (C-24)."""

    EXECUTE_WORKFLOW = "execute_workflow"
    CHAT = "chat"
    CHAT_SOCKET = "chat_socket"
    ORCHESTRATION = "orchestration"
    AGENTORCHESTRA = "agentorchestra"
    EXECUTIONS = "executions"
    AUTHENTICATION = "authentication"
    SIGN_IN = "sign_in"
    CREDENTIALS = "credentials"


class Window(BaseModel):
    """At most `limit` requests of one client in any `seconds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(ge=1)
    seconds: int = Field(ge=1)


SURFACE_LIMITS: Final = {
    SurfaceLimit.EXECUTE_WORKFLOW: Window(limit=10, seconds=60),
    SurfaceLimit.CHAT: Window(limit=1050, seconds=60),
    SurfaceLimit.CHAT_SOCKET: Window(limit=100, seconds=60),
    SurfaceLimit.ORCHESTRATION: Window(limit=100, seconds=60),
    SurfaceLimit.AGENTORCHESTRA: Window(limit=1000, seconds=3600),
    SurfaceLimit.EXECUTIONS: Window(limit=100, seconds=3600),
    SurfaceLimit.AUTHENTICATION: Window(limit=10, seconds=900),
    SurfaceLimit.SIGN_IN: Window(limit=30, seconds=900),
    SurfaceLimit.CREDENTIALS: Window(limit=60, seconds=60),
}
"""As documented: M-037, A-006 plus the burst of A-008, A-007, S-022, O-006; sign-in is part of O-006 (C-27).

The last two are ours: sign-ins under one user name, and credentials of one address that are not known to be valid.
"""

ALWAYS_COUNTED: Final = frozenset(
    {SurfaceLimit.EXECUTE_WORKFLOW, SurfaceLimit.AUTHENTICATION, SurfaceLimit.SIGN_IN, SurfaceLimit.CREDENTIALS}
)
"""Limits that each process counts by itself while Redis is away."""
