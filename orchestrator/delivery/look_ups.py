"""Looks up the names of receivers: few at a time for each owner, so that silent name servers hold up no one else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiodns

from orchestrator.domain.errors import Unavailable

MOST_AT_ONCE: Final = 2
_TIMEOUT: Final = 3.0
_SLOT_PATIENCE: Final = 1.0
_RETRY_AFTER: Final = 5.0
# Of one question to one name server; it goes on for so long after nobody waits for the answer any more.
_QUESTION_TIMEOUT: Final = 1.5
_QUESTIONS: Final = 2


class LookUps:
    """Names by c-ares: /etc/hosts and the configured name servers, on sockets instead of threads."""

    def __init__(self, nameservers: Sequence[str] | None = None, *, patience: float = _SLOT_PATIENCE) -> None:
        self._nameservers = nameservers
        self._patience = patience
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}
        self._resolver: aiodns.DNSResolver | None = None

    async def resolve(self, owner: str, host: str, port: int) -> list[str]:
        """The addresses of a name; none when it has none or nobody answers in 3 s.

        Raises `Unavailable` when other look-ups of the owner hold its slots for too long.
        """
        async with self._slot(owner):
            try:
                async with asyncio.timeout(_TIMEOUT):
                    found = await self._opened().getaddrinfo(
                        host, family=socket.AF_UNSPEC, port=port, type=socket.SOCK_STREAM
                    )
            except (aiodns.error.DNSError, TimeoutError, OSError, UnicodeError):
                # No such name, no answer in time, or nothing that could be a name.
                return []
        return list(dict.fromkeys(node.addr[0].decode() for node in found.nodes))

    async def aclose(self) -> None:
        """End every question that is open."""
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    def _opened(self) -> aiodns.DNSResolver:
        if self._resolver is None:  # needs a running loop
            self._resolver = aiodns.DNSResolver(
                nameservers=self._nameservers, timeout=_QUESTION_TIMEOUT, tries=_QUESTIONS
            )
        return self._resolver

    @asynccontextmanager
    async def _slot(self, owner: str) -> AsyncIterator[None]:
        slots = self._slots.setdefault(owner, asyncio.Semaphore(MOST_AT_ONCE))
        self._users[owner] = self._users.get(owner, 0) + 1
        try:
            try:
                async with asyncio.timeout(self._patience):
                    await slots.acquire()
            except TimeoutError:
                raise Unavailable(
                    f"{MOST_AT_ONCE} names of this account are being looked up already.", retry_after=_RETRY_AFTER
                ) from None
            try:
                yield
            finally:
                slots.release()
        finally:
            self._users[owner] -= 1
            if not self._users[owner]:
                del self._users[owner], self._slots[owner]
