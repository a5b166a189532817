"""The live stream of a job, for every transport: its durable events, and the text of its running agents (A6, A7)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass
from typing import Any

from orchestrator.domain.access import Principal
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import Unauthenticated
from orchestrator.domain.events import JobEvent
from orchestrator.domain.ports import DeltaBus
from orchestrator.services.access.authentication import RECHECK_SECONDS, Authenticator
from orchestrator.services.jobs.follower import JobFollower

_Batch = list[JobEvent] | Delta


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobWatcher:
    """Follows jobs for open streams. Checks the credential of the reader every `recheck_seconds`."""

    follower: JobFollower
    bus: DeltaBus
    access: Authenticator
    _: KW_ONLY
    recheck_seconds: float = RECHECK_SECONDS

    async def watch(
        self, principal: Principal, job_id: str, after: str | None, *, deltas: bool = True
    ) -> AsyncGenerator[JobEvent | Delta]:
        """Every durable event after the cursor (`JobFollower.events`), interleaved with the deltas of running calls.

        With `deltas` False it is the events alone. Ends after the terminal event, even if text is on its way. Raises
        `NotFound`, `InvalidInput` for a cursor of another job, `Unavailable`, and `Unauthenticated` once
        the caller's key is revoked or expired.
        """
        async with aclosing(self.batches(principal, job_id, after, deltas=deltas)) as batches:
            async for batch in batches:
                for item in [batch] if isinstance(batch, Delta) else batch:
                    yield item

    async def batches(
        self, principal: Principal, job_id: str, after: str | None, *, deltas: bool = True
    ) -> AsyncGenerator[list[JobEvent] | Delta]:
        """As `watch`, with the events that are there at once in one list (`JobFollower.beyond`)."""
        # Read the job first: this refuses a caller who may not see the text of this job.
        past = await self.follower.past(principal, job_id, None)
        events: AsyncGenerator[Any] = self.follower.beyond(job_id, past, after)
        del past
        sources: list[AsyncGenerator[Any]] = [self.bus.subscribe(job_id), events] if deltas else [events]
        waiting = {asyncio.create_task(_next(source)): source for source in sources}
        loop = asyncio.get_running_loop()
        look = loop.time() + self.recheck_seconds
        try:
            while True:
                patience = max(0.0, look - loop.time())
                done, _ = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if loop.time() >= look:
                    await self._recheck(principal)
                    look = loop.time() + self.recheck_seconds
                # Text first: the agent wrote it before the event that ends its call.
                for task in sorted(done, key=lambda ready: waiting[ready] is events):
                    source = waiting.pop(task)
                    if (item := task.result()) is None:
                        return
                    yield item
                    if not isinstance(item, Delta) and item[-1].type.terminal:
                        return
                    waiting[asyncio.create_task(_next(source))] = source
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for source in sources:
                await source.aclose()

    async def _recheck(self, principal: Principal) -> None:
        if not await self.access.still_valid(principal):
            raise Unauthenticated("The API key is no longer valid")


async def _next(source: AsyncGenerator[Any]) -> _Batch | None:
    return await anext(source, None)
