"""Who asks, and what they may do (D-014, D-015)."""

from collections.abc import Iterable
from dataclasses import dataclass
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
    """An authenticated caller. `id` owns the jobs that it starts; `key` is the id of the API key that it came with.

    Without a tier nothing is limited: that is the bootstrap key's.
    """

    id: str
    scopes: frozenset[Scope]
    tier: Tier | None = None
    key: str | None = None
    roles: frozenset[Role] = frozenset()

    @property
    def admin(self) -> bool:
        """Whether everything is allowed and every job visible."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises `Forbidden` unless the scope, or `admin:*`, is held."""
        if not self.admin and scope not in self.scopes:
            raise Forbidden(f"This credential lacks the scope {scope}", scope=str(scope))

    def sees(self, owner: str) -> bool:
        """Whether a job of that owner is visible."""
        return self.admin or owner == self.id
