"""The services of an API process, opened at the first request: a bare ASGI server may run no start-up hook."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from orchestrator.composition.process import Parts, checked_catalogue, open_lazily
from orchestrator.logs import configure
from orchestrator.services.container import Services
from orchestrator.settings import Settings


class LazyServices:
    """Opens the parts of a process once, at the first call."""

    def __init__(self, open_parts: Callable[[], Awaitable[Parts]]) -> None:
        self._open_parts = open_parts
        self._parts: Parts | None = None
        self._lock = asyncio.Lock()

    @classmethod
    def from_environment(cls) -> "LazyServices":
        """The services that the environment configures. Temporal may start later."""
        return cls(_open_from_environment)

    @classmethod
    def of(cls, parts: Parts) -> "LazyServices":
        """The services of parts that are open."""

        async def opened() -> Parts:
            return parts

        return cls(opened)

    async def services(self) -> Services:
        """The services. The first call opens them. Raises `Unavailable`, `CatalogueError`."""
        return (await self._opened()).services

    async def check(self) -> None:
        """Check that index and Temporal belong to the same installation.

        Raises `Misconfigured` if they do not, `Unavailable` if one of them does not answer.
        """
        await (await self._opened()).backend.gateway.namespace_id()

    async def aclose(self) -> None:
        """Close the connections. The next call opens them again."""
        if self._parts is not None:
            await self._parts.aclose()
            self._parts = None

    async def _opened(self) -> Parts:
        if self._parts is None:
            async with self._lock:
                if self._parts is None:
                    self._parts = await self._open_parts()
        return self._parts


async def _open_from_environment() -> Parts:
    settings = Settings()
    if not structlog.is_configured():  # A bare ASGI server runs the application, not `orchestrator api`.
        configure(settings.log_level, settings.log_format)
    return await open_lazily(settings, checked_catalogue(settings))
