"""The caller that a schedule acts for: its runs may do what its credential may do now."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from orchestrator.domain.access import (
    ORDINARY,
    START_SCOPES,
    USER_OWNER,
    KeyState,
    Principal,
    Role,
    is_account,
    scopes_of,
)
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.schedules import ScheduleRow
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.users import USER_TIER
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.users import UserRepository


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScheduleCredentials:
    """Reads the credential of a schedule. Raises `Unavailable` if the index does not answer."""

    keys: KeyRepository
    users: UserRepository
    _: KW_ONLY
    clock: Callable[[], datetime]

    async def principal(self, row: ScheduleRow) -> Principal:
        """The owner, with the present scopes and tier. Raises `Forbidden` if the credential has ended or lost them."""
        principal = await self._principal(row)
        scope = START_SCOPES[row.kind]
        if not principal.admin and scope not in principal.scopes:
            raise Forbidden(f"The credential of this schedule lacks the scope {scope}")
        return principal

    async def _principal(self, row: ScheduleRow) -> Principal:
        if row.key_id is not None:
            key = await self.keys.get(row.key_id)
            state = KeyState.REVOKED if key is None else key.state(self.clock())
            if key is None or state is not KeyState.ACTIVE:
                raise Forbidden(f"The API key {row.key_id} of this schedule is {state}: change it with another key")
            return key.principal
        account = row.owner.removeprefix(USER_OWNER)
        if account != row.owner and is_account(account):
            user = await self.users.of_account(account)
            if user is None:
                raise Forbidden("The user of this schedule was removed")
            roles = [Role(role) for role in user.roles if role in set(Role)]
            tier = None if Role.ADMIN in roles else USER_TIER
            return Principal(id=row.owner, scopes=scopes_of(roles), tier=tier, roles=frozenset(roles))
        # The bootstrap key and user are part of the settings; the issuer of other tokens is not ours to ask.
        return Principal(id=row.owner, scopes=ADMIN.scopes if row.tier is None else ORDINARY, tier=row.tier)
