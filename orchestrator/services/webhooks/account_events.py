"""Follows the events of an account: what its webhooks are sent, from a cursor, without a webhook."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import InvalidInput, NotFound, Unauthenticated
from orchestrator.services.access.authentication import RECHECK_SECONDS, Authenticator
from orchestrator.services.webhooks.payloads import DeliveryBodies
from orchestrator.storage.account_events import AccountEventRepository

_PAGE: Final = 20
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AccountEvents:
    """Events are read from the index, so a stream continues in any process. Every `poll_seconds` it looks for more."""

    events: AccountEventRepository
    bodies: DeliveryBodies
    access: Authenticator
    _: KW_ONLY
    poll_seconds: float = 1.0
    recheck_seconds: float = RECHECK_SECONDS

    async def start(self, principal: Principal, after: str | None) -> int:
        """The number of the event after which a reader starts: of the cursor `after`, or of the newest event.

        Raises `InvalidInput` for a cursor that this account cannot have, `Unavailable`.
        """
        last = await self.events.last(principal.id)
        if not after:
            return last
        is_number = after.isascii() and after.isdigit() and len(after) <= _MOST_DIGITS
        if not is_number or int(after) > last:
            raise InvalidInput(
                f"The cursor {after[:40]!r} is not an event of this account",
                field="after",
                provided=after[:40],
                expected="the id of an event, or 0 for the oldest stored event",
            )
        return int(after)

    async def follow(self, principal: Principal, number: int) -> AsyncGenerator[tuple[int, dict[str, Any]]]:
        """Each event after a number, with its number: `{event, job_id, timestamp, data}`. Does not end.

        Leaves out the events of deleted jobs. Raises `Unavailable`, and `Unauthenticated` once the caller's key is
        revoked or expired.
        """
        loop = asyncio.get_running_loop()
        look = loop.time() + self.recheck_seconds
        while True:
            page = await self.events.after(principal.id, number, _PAGE)
            for event in page:
                number = event.number
                with suppress(NotFound):
                    yield number, await self.bodies.of(event)
            if not page:
                await asyncio.sleep(self.poll_seconds)
            if loop.time() >= look:
                if not await self.access.still_valid(principal):
                    raise Unauthenticated("The API key is no longer valid")
                look = loop.time() + self.recheck_seconds
