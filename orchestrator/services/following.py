"""Waiting for a job without polling: until it changes, until it ends, or event by event with a cursor (A6)."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.events import JobEvent, parse_cursor
from orchestrator.domain.jobs import Job, ReasonCode
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.events import EventFold
from orchestrator.services.reading import JobReader

NOW = "now"
# Reasons that come and go while a job simply runs; the others are news that somebody waits for.
_ROUTINE = frozenset({ReasonCode.QUEUED, ReasonCode.RUNNING, ReasonCode.RETRYING})
_LOOK_AGAIN = 1.0


class JobFollower:
    """Follows jobs over the one long-poll that this process holds for each."""

    def __init__(self, gateway: TemporalGateway, reader: JobReader) -> None:
        self._gateway = gateway
        self._reader = reader

    async def until_change(self, principal: Principal, job_id: str, seconds: float) -> Job:
        """The job at its next change of state, or after `seconds`. Raises `NotFound`, `Unavailable`."""
        job = await self._reader.get(principal, job_id)
        first = _state(job)
        deadline = asyncio.get_running_loop().time() + seconds
        while not job.state.terminal and _state(job) == first:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await self._news(job_id, min(left, _LOOK_AGAIN))
            job = await self._reader.get(principal, job_id)
        return job

    async def until_end(self, principal: Principal, job_id: str, seconds: float, *, run_id: str = "") -> Job:
        """The job once it has ended, or as it is after `seconds`. `run_id` is its run where the caller knows it.

        Raises `NotFound`, `Unavailable`.
        """
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._gateway.end(job_id, run_id)
                return await self._reader.ended(principal, job_id)
        return await self._reader.get(principal, job_id)

    async def events(self, principal: Principal, job_id: str, after: str | None) -> AsyncGenerator[JobEvent]:
        """Every event after the cursor `after` (from the first without one), each new one as it happens.

        Ends after the terminal event. `after` may be `now`. Raises `NotFound`, `InvalidInput` for a cursor that is
        none of this job's, `Unavailable`.
        """
        past = await self.past(principal, job_id, None)
        async with aclosing(self.beyond(job_id, past, after)) as events:
            del past
            async for event in events:
                yield event

    async def beyond(self, job_id: str, past: list[JobEvent], after: str | None) -> AsyncGenerator[JobEvent]:
        """As `events`, for a caller that has read (and may see) the job's `past`, all of it, just now."""
        told = past[-1].id if past else None
        ended = bool(past) and past[-1].type.terminal
        rest = deque(past[skipped(past, after) :])
        del past  # A stream may stay open for hours, next to hundreds of others.
        while rest:
            yield rest.popleft()
        if ended:
            return
        async with aclosing(self._live(job_id)) as live:
            async for event in live:
                if told is not None:
                    told = None if event.id == told else told
                    continue
                yield event

    async def past(self, principal: Principal, job_id: str, after: str | None) -> list[JobEvent]:
        """The events so far, after a cursor. Raises `NotFound`, `InvalidInput`, `Unavailable`."""
        await self._reader.get(principal, job_id)
        events = await self._reader.events(job_id)
        return events[skipped(events, after) :]

    async def _live(self, job_id: str) -> AsyncGenerator[JobEvent]:
        fold = EventFold(job_id)
        async for fact in self._gateway.follow(job_id):
            event = fold.apply(fact)
            if event is not None:
                yield event

    async def _news(self, job_id: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._gateway.news(job_id)
        except (TimeoutError, NotFound):
            return


def skipped(events: list[JobEvent], after: str | None) -> int:
    """How many events a reader with that cursor has seen. Raises `InvalidInput` for a cursor that is not here."""
    if after is None or after == "":
        return 0
    if after == NOW:
        return len(events)
    for index, event in enumerate(events):
        if event.id == after:
            return index + 1
    wrong = "is none of this job's events" if parse_cursor(after) else "is not a cursor"
    raise InvalidInput(
        f"The cursor {after[:80]!r} {wrong}", field="after", provided=after[:80], expected="an event id, or now"
    )


def _state(job: Job) -> tuple[str, str | None]:
    code = job.reason.code if job.reason else None
    return job.state, None if code in _ROUTINE else code
