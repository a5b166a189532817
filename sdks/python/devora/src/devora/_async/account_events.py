"""The events of the account: what its webhooks are sent, without a webhook."""

from __future__ import annotations

from typing import Unpack

from devora._async.resource import AsyncResource
from devora._async.streams import AsyncAccountStream
from devora._config import CallOptions
from devora._cursor import STALL_TIMEOUT


class AsyncAccountEvents(AsyncResource):
    """The events of the account: what its webhooks are sent, without a webhook."""

    def stream(
        self, *, after: str | None = None, stall_timeout: float = STALL_TIMEOUT, **options: Unpack[CallOptions]
    ) -> AsyncAccountStream:
        """The events as they happen; it does not end. `after` is the cursor of the last event seen, `0` begins with the
        oldest stored event."""
        return AsyncAccountStream(self._transport, after=after, stall_timeout=stall_timeout, options=options)
