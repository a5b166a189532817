"""Whether this process can serve: Temporal, database and a polling worker."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from orchestrator.domain.errors import OrchestratorError, Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.storage.database import Database
from orchestrator.storage.work import Asked

LATELY: Final = timedelta(minutes=5)
_OFFLINE: Final = "no provider is configured here: answers are drafted offline"
_LATELY: Final = f"the last {LATELY // timedelta(minutes=1)} minutes"


class Readiness:
    """Looks at every part that a request may need.

    `models` tells how models' providers fared lately; without it none is configured. A probe of ours would cost money.
    """

    def __init__(
        self,
        gateway: TemporalGateway,
        database: Database,
        *,
        task_queue: str,
        cache: Callable[[], Awaitable[None]],
        models: Callable[[], Awaitable[Asked]] | None,
    ) -> None:
        self._gateway = gateway
        self._database = database
        self._task_queue = task_queue
        self._cache = cache
        self._models = models

    async def checks(self) -> list[Finding]:
        """All parts at once; never raises."""
        return list(
            await asyncio.gather(
                self._check("temporal", self._gateway.ping()),
                self._check("database", self._database.ping()),
                self._check("worker", self._worker()),
            )
        )

    async def further(self) -> list[Finding]:
        """What makes the product better and is not needed: Redis where one is configured, a model's provider."""
        return [await self._check("cache", self._cache()), await self._providers()]

    async def _providers(self) -> Finding:
        if self._models is None:
            return Finding.of("models", ok=False, message=_OFFLINE)
        try:
            lately = await self._models()
        except Unavailable as fault:
            return Finding.of("models", ok=False, message=f"how the provider fares is not known: {fault.message}")
        calls = lately.answered + lately.failed
        if not calls:
            return Finding.of("models", ok=True, message=f"a provider is configured; no call asked it in {_LATELY}")
        told = f"the provider answered {lately.answered} of the {calls} calls of {_LATELY}"
        return Finding.of("models", ok=lately.answered > 0, message=told)

    async def _worker(self) -> None:
        if not await self._gateway.pollers(self._task_queue):
            raise Unavailable(f"no worker polls the task queue {self._task_queue!r}")

    @staticmethod
    async def _check(name: str, looking: Awaitable[None]) -> Finding:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(5):
                await looking
        except OrchestratorError as fault:
            return Finding.of(
                name,
                ok=False,
                message=fault.message,
                seconds=time.perf_counter() - began,
                operator_message=fault.for_operators,
            )
        except TimeoutError:
            return Finding.of(name, ok=False, message="no answer within 5 seconds", seconds=time.perf_counter() - began)
        return Finding.of(name, ok=True, message="ok", seconds=time.perf_counter() - began)
