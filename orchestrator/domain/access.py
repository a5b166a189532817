"""Callers, their keys and scopes, and the entries of the audit trail (D-012 to D-015)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.errors import Forbidden
from orchestrator.domain.ids import JobKind
from orchestrator.domain.limits import Tier


class Scope(StrEnum):
    """What a credential may do. `admin:*` includes all others."""

    AGENTS_READ = "agents:read"
    AGENTS_EXECUTE = "agents:execute"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_RUN = "workflows:run"
    JOBS_READ = "jobs:read"
    JOBS_CANCEL = "jobs:cancel"
    METRICS_READ = "metrics:read"
    ADMIN = "admin:*"


class Role(StrEnum):
    """The roles of users (S-005)."""

    ADMIN = "admin"
    SYSTEM_ADMIN = "system_admin"
    ORCHESTRATION_MANAGER = "orchestration_manager"


USER_OWNER: Final = "user:"
"""Prefix of the owner of a user's jobs."""

_ACCOUNT: Final = re.compile(r"([^:]+):[0-9a-f]{16}")


def is_account(text: str) -> bool:
    """Whether a text has the form of an account's id: a user name and random digits."""
    return _ACCOUNT.fullmatch(text) is not None


def name_of(owner: str) -> str:
    """The display name of an owner: the user name of an account, else the owner unchanged."""
    account = owner.removeprefix(USER_OWNER)
    return _ACCOUNT.sub(r"\1", account) if is_account(account) else account


ORDINARY: Final = frozenset(Scope) - {Scope.ADMIN}
"""The scopes of every signed-in user: all except administration (C-22)."""


START_SCOPES: Final = {JobKind.AGENT: Scope.AGENTS_EXECUTE, JobKind.WORKFLOW: Scope.WORKFLOWS_RUN}
"""The scope that a caller needs to start an agent or a workflow."""


def scopes_of(roles: Iterable[Role]) -> frozenset[Scope]:
    """The scopes of roles (C-22)."""
    role_set = set(roles)
    if role_set & {Role.ADMIN, Role.SYSTEM_ADMIN}:
        return frozenset({Scope.ADMIN})
    return ORDINARY if role_set else frozenset()


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `id` owns the jobs that it starts; `key` is the id of its API key, `key_name` the name
    that an administrator gave it, and `prefix` the public part of the secret.

    A user has a signed token instead. It names their roles and ends at `expires_at`; `sign_in` is the sign-in that the
    token comes from, None for a token that another system issued.

    An administrator without a tier has no limits. Every other caller without a tier has the tier `free`.
    """

    id: str
    scopes: frozenset[Scope]
    tier: Tier | None = None
    key: str | None = None
    prefix: str | None = None
    roles: frozenset[Role] = frozenset()
    expires_at: datetime | None = None
    sign_in: str | None = None
    key_name: str | None = None

    def __post_init__(self) -> None:
        """Give the tier `free` to a caller without one: only administrators may be without limits."""
        if self.tier is None and not self.admin:
            object.__setattr__(self, "tier", Tier.FREE)

    @property
    def admin(self) -> bool:
        """Whether the caller may do everything and see every job."""
        return Scope.ADMIN in self.scopes

    def require_can_grant(self, scopes: Iterable[Scope], tier: Tier | None) -> None:
        """Check that a new key can do no more than its creator. Raises `Forbidden`.

        A `system_admin` who is not `admin` can grant neither administration nor a tier above their own.
        """
        if Role.SYSTEM_ADMIN not in self.roles or Role.ADMIN in self.roles:
            return
        order = list(Tier)
        if Scope.ADMIN in scopes or tier is None or self.tier is None or order.index(tier) > order.index(self.tier):
            raise Forbidden(f"The role {Role.SYSTEM_ADMIN} cannot grant a key more than it has: ask an {Role.ADMIN}")

    def require(self, scope: Scope) -> None:
        """Raises `Forbidden` unless the caller has the scope or `admin:*`."""
        if not self.admin and scope not in self.scopes:
            raise Forbidden(f"This credential lacks the scope {scope}", scope=str(scope))

    def can_see(self, owner: str) -> bool:
        """Whether the caller may see jobs of that owner."""
        return self.admin or owner == self.id


class KeyForm(StrEnum):
    """The form of an issued key: `dvr_sk_live_` and 80 hexadecimal digits, or `ao_` and 64 (D-013, C-17)."""

    DVR = "dvr"
    AO = "ao"

    @property
    def form_prefix(self) -> str:
        """The prefix of its keys."""
        return "dvr_sk_live_" if self is KeyForm.DVR else "ao_"


class KeyState(StrEnum):
    """Whether an issued key is still valid."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An issued key (D-012), without its secret. `owner` is the principal whose jobs it starts and sees.

    `prefix` is the public part of a secret: of the one that the caller sent, else of the newest.
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
        """The caller that uses this key."""
        return Principal(
            id=self.owner, scopes=self.scopes, tier=self.tier, key=self.id, key_name=self.name, prefix=self.prefix
        )

    @property
    def form(self) -> KeyForm:
        """The form of its secrets."""
        return KeyForm.AO if self.prefix.startswith(KeyForm.AO.form_prefix) else KeyForm.DVR

    @property
    def visible_prefix(self) -> str:
        """The first characters of its newest secret."""
        return self.prefix if self.form is KeyForm.AO else self.form.form_prefix + self.prefix

    def state(self, at: datetime) -> KeyState:
        """The state of the key at a time; `revoked` is final."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.expires_at is not None and self.expires_at <= at else KeyState.ACTIVE


NOBODY: Final = "-"
"""The principal in an audit entry of a caller without a valid credential."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request to the service: its caller, address, surface and HTTP status.

    `action` is the method and the route's template, `path` the requested path without its query. An entry records one
    request, or `calls` refused requests of one address. `digest` binds the entry to the one before.
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
