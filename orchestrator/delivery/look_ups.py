"""Resolves the names of receivers. Each owner has few look-ups at a time, so that slow name servers delay no others."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from orchestrator.domain.errors import Unavailable

if TYPE_CHECKING:
    import aiodns

MAXIMUM: Final = 2
_TIMEOUT: Final = 3.0
_SLOT_TIMEOUT: Final = 1.0
_RETRY_AFTER: Final = 5.0
# For one question to one name server. A question runs for this long even if its caller has left.
_QUESTION_TIMEOUT: Final = 1.5
_QUESTIONS: Final = 2


class LookUps:
    """Look-ups with c-ares: /etc/hosts and the configured name servers, without threads."""

    def __init__(self, nameservers: Sequence[str] | None = None, *, slot_timeout: float = _SLOT_TIMEOUT) -> None:
        self._nameservers = nameservers
        self._slot_timeout = slot_timeout
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}
        self._resolver: aiodns.DNSResolver | None = None

    async def resolve(self, owner: str, host: str, port: int) -> list[str]:
        """The addresses of a name; none if it has none or no server answers within 3 s.

        Raises `Unavailable` if other look-ups of the owner use its slots for too long.
        """
        import aiodns  # noqa: PLC0415 - slow to import, and most processes resolve no name

        async with self._slot(owner):
            try:
                async with asyncio.timeout(_TIMEOUT):
                    result = await self._open_resolver().getaddrinfo(
                        host, family=socket.AF_UNSPEC, port=port, type=socket.SOCK_STREAM
                    )
            except (aiodns.error.DNSError, TimeoutError, OSError, UnicodeError):
                # An unknown name, no answer in time, or text that is not a name.
                return []
        return list(dict.fromkeys(node.addr[0].decode() for node in result.nodes))

    async def aclose(self) -> None:
        """Cancel all open questions."""
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    def _open_resolver(self) -> "aiodns.DNSResolver":
        import aiodns  # noqa: PLC0415

        if self._resolver is None:  # needs a running loop
            self._resolver = aiodns.DNSResolver(
                nameservers=self._nameservers, timeout=_QUESTION_TIMEOUT, tries=_QUESTIONS
            )
        return self._resolver

    @asynccontextmanager
    async def _slot(self, owner: str) -> AsyncIterator[None]:
        slots = self._slots.setdefault(owner, asyncio.Semaphore(MAXIMUM))
        self._users[owner] = self._users.get(owner, 0) + 1
        try:
            try:
                async with asyncio.timeout(self._slot_timeout):
                    await slots.acquire()
            except TimeoutError:
                raise Unavailable(
                    f"{MAXIMUM} names of this account are being looked up already.", retry_after=_RETRY_AFTER
                ) from None
            try:
                yield
            finally:
                slots.release()
        finally:
            self._users[owner] -= 1
            if not self._users[owner]:
                del self._users[owner], self._slots[owner]
