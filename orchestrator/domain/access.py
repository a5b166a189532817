"""Who asks, with which key, what they may do and what they did (D-012 to D-015)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.errors import Forbidden
from orchestrator.domain.limits import Tier


class Scope(StrEnum):
    """The eight scopes."""

    AGENTS_READ = "agents:read"
    AGENTS_EXECUTE = "agents:execute"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_RUN = "workflows:run"
    JOBS_READ = "jobs:read"
    JOBS_CANCEL = "jobs:cancel"
    METRICS_READ = "metrics:read"
    ADMIN = "admin:*"


class Role(StrEnum):
    """What users are (S-005)."""

    ADMIN = "admin"
    SYSTEM_ADMIN = "system_admin"
    ORCHESTRATION_MANAGER = "orchestration_manager"


USER_OWNER: Final = "user:"
"""How the owner of a user's jobs begins; the account follows."""

_ACCOUNT: Final = re.compile(r"([^:]+):[0-9a-f]{16}")


def is_account(text: str) -> bool:
    """Whether a text has the form of an account's id: a user name and random digits."""
    return _ACCOUNT.fullmatch(text) is not None


def name_of(owner: str) -> str:
    """An owner, for people: the name of a user, any other as it is."""
    account = owner.removeprefix(USER_OWNER)
    return _ACCOUNT.sub(r"\1", account) if is_account(account) else account


ORDINARY: Final = frozenset(Scope) - {Scope.ADMIN}
"""What everybody may who has signed in: all but administration (C-22)."""


def scopes_of(roles: Iterable[Role]) -> frozenset[Scope]:
    """The scopes that roles stand for (C-22)."""
    held = set(roles)
    if held & {Role.ADMIN, Role.SYSTEM_ADMIN}:
        return frozenset({Scope.ADMIN})
    return ORDINARY if held else frozenset()


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `id` owns the jobs that it starts; `key` is the id of the API key that it came with,
    `prefix` finds the secret of that key.

    A user came with a signed token instead, which says their roles and ends at `expires_at`; `sign_in` is the sign-in
    that it descends from, None for a token that was minted elsewhere.

    Without a tier nothing is limited: that is for administrators. Others without one have the tier `free`.
    """

    id: str
    scopes: frozenset[Scope]
    tier: Tier | None = None
    key: str | None = None
    prefix: str | None = None
    roles: frozenset[Role] = frozenset()
    expires_at: datetime | None = None
    sign_in: str | None = None

    def __post_init__(self) -> None:
        """Give a tier to whoever must have one: no tier never means no limit but for administrators."""
        if self.tier is None and not self.admin:
            object.__setattr__(self, "tier", Tier.FREE)

    @property
    def admin(self) -> bool:
        """Whether everything is allowed and every job visible."""
        return Scope.ADMIN in self.scopes

    def require_reach(self, scopes: Iterable[Scope], tier: Tier | None) -> None:
        """Whether a key with these scopes and this tier is no more than its giver: who is `system_admin` and not
        `admin` gives no administration away and no higher tier than their own. Raises `Forbidden`.
        """
        if Role.SYSTEM_ADMIN not in self.roles or Role.ADMIN in self.roles:
            return
        order = list(Tier)
        if Scope.ADMIN in scopes or tier is None or self.tier is None or order.index(tier) > order.index(self.tier):
            raise Forbidden(f"The role {Role.SYSTEM_ADMIN} cannot give a key more than it has: ask an {Role.ADMIN}")

    def require(self, scope: Scope) -> None:
        """Raises `Forbidden` unless the scope, or `admin:*`, is held."""
        if not self.admin and scope not in self.scopes:
            raise Forbidden(f"This credential lacks the scope {scope}", scope=str(scope))

    def sees(self, owner: str) -> bool:
        """Whether a job of that owner is visible."""
        return self.admin or owner == self.id


class KeyForm(StrEnum):
    """What an issued key looks like: `dvr_sk_live_` and 80 hexadecimal digits, or `ao_` and 64 (D-013, C-17)."""

    DVR = "dvr"
    AO = "ao"

    @property
    def start(self) -> str:
        """How its keys begin."""
        return "dvr_sk_live_" if self is KeyForm.DVR else "ao_"


class KeyState(StrEnum):
    """Whether an issued key still opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An issued key (D-012), without its secret. `owner` is the principal whose jobs it starts and sees.

    `prefix` finds the secret that it was looked up by, else the newest one; it is that secret's public part.
    """

    id: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    tier: Tier | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    prefix: str

    @property
    def principal(self) -> Principal:
        """Who comes with this key."""
        return Principal(id=self.owner, scopes=self.scopes, tier=self.tier, key=self.id, prefix=self.prefix)

    @property
    def form(self) -> KeyForm:
        """What its secrets look like."""
        return KeyForm.AO if self.prefix.startswith(KeyForm.AO.start) else KeyForm.DVR

    @property
    def beginning(self) -> str:
        """How its newest secret begins."""
        return self.prefix if self.form is KeyForm.AO else self.form.start + self.prefix

    def state(self, at: datetime) -> KeyState:
        """Where the key is at a time; revoked is final."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.expires_at is not None and self.expires_at <= at else KeyState.ACTIVE


NOBODY: Final = "-"
"""The principal of an entry of the audit trail whose caller had no valid credential."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What was asked of the service: by whom, from where, on which surface, and what became of it.

    `action` is the method and the route's template, `path` what was asked for without its query. An entry stands for
    one call, or for `calls` refused ones of one address. `digest` binds the entry to the one before.
    """

    at: datetime
    principal: str
    key_id: str | None
    action: str
    path: str
    status: int
    address: str | None
    request_id: str
    surface: str | None = None
    calls: int = 1
    id: int = 0
    digest: str | None = None
