"""Whether this process can serve: Temporal, database and a polling worker."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Final

from orchestrator.domain.errors import OrchestratorError, Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.storage.database import Database
from orchestrator.storage.work import ProviderOutcomes

LATELY: Final = timedelta(minutes=5)
_OFFLINE: Final = "no provider is configured here: answers are drafted offline"
_LATELY: Final = f"the last {LATELY // timedelta(minutes=1)} minutes"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Readiness:
    """Checks every part that a request may need.

    `models` returns the recent calls of model providers. It is None if no provider is configured. There is no probe of
    a provider, because each one would cost money.
    """

    gateway: TemporalGateway
    database: Database
    _: KW_ONLY
    task_queue: str
    cache: Callable[[], Awaitable[None]]
    models: Callable[[], Awaitable[ProviderOutcomes]] | None

    async def checks(self) -> list[Finding]:
        """The state of every required part. Never raises."""
        return list(
            await asyncio.gather(
                self._check("temporal", self.gateway.ping()),
                self._check("database", self.database.ping()),
                self._check("worker", self._worker()),
            )
        )

    async def further(self) -> list[Finding]:
        """The state of the optional parts: Redis, if it is configured, and the model provider."""
        return [await self._check("cache", self.cache()), await self._providers()]

    async def _providers(self) -> Finding:
        if self.models is None:
            return Finding.of("models", ok=False, message=_OFFLINE)
        try:
            recent = await self.models()
        except Unavailable as error:
            return Finding.of("models", ok=False, message=f"the health of the provider is not known: {error.message}")
        calls = recent.answered + recent.failed
        if not calls:
            return Finding.of("models", ok=True, message=f"a provider is configured; no call used it in {_LATELY}")
        message = f"the provider answered {recent.answered} of the {calls} calls of {_LATELY}"
        return Finding.of("models", ok=recent.answered > 0, message=message)

    async def _worker(self) -> None:
        if not await self.gateway.pollers(self.task_queue):
            raise Unavailable(f"no worker polls the task queue {self.task_queue!r}")

    @staticmethod
    async def _check(name: str, probe: Awaitable[None]) -> Finding:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(5):
                await probe
        except OrchestratorError as error:
            return Finding.of(
                name,
                ok=False,
                message=error.message,
                seconds=time.perf_counter() - began,
                operator_message=error.for_operators,
            )
        except TimeoutError:
            return Finding.of(name, ok=False, message="no answer within 5 seconds", seconds=time.perf_counter() - began)
        return Finding.of(name, ok=True, message="ok", seconds=time.perf_counter() - began)
