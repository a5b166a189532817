"""Waits for jobs without polling: for a change, for the end, or event by event from a cursor (A6)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.events import JobEvent, parse_cursor
from orchestrator.domain.jobs import Job
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.history import EVENTS_AT_ONCE
from orchestrator.projection.events import JOB_RESET
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.reasons import ROUTINE

NOW = "now"
_REREAD_SECONDS = 30.0
_START_POLL_SECONDS = 1.0  # between two reads of a job that Temporal does not know yet


class Until(StrEnum):
    """What a caller of `JobFollower.until` waits for."""

    CHANGE = "change"
    ATTENTION = "attention"
    END = "end"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobFollower:
    """Follows jobs. This process has one long-poll for each job, however many callers follow it."""

    gateway: TemporalGateway
    reader: JobReader

    async def until(self, principal: Principal, job_id: str, seconds: float, until: Until = Until.CHANGE) -> Job:
        """The job at its next change of state, once it needs attention, or once it has ended; at the latest after
        `seconds`.

        Returns at once if the job has ended or already needs attention. Raises `NotFound`, `Unavailable`.
        """
        if until is Until.END:
            return await self.until_end(principal, job_id, seconds)
        job = await self.reader.get(principal, job_id)
        first = _state(job)
        deadline = asyncio.get_running_loop().time() + seconds
        if seconds <= 0 or _is_reached(until, job, first):
            return job
        async with self.gateway.watch(job_id) as watch:
            while (remaining := deadline - asyncio.get_running_loop().time()) > 0:
                try:
                    # Some changes are only in pending calls and wake nobody, such as an operator's pause of one call.
                    await watch.wait_for_change(job, min(remaining, _REREAD_SECONDS))
                except NotFound:  # accepted, but not yet started in Temporal
                    await asyncio.sleep(min(remaining, _START_POLL_SECONDS))
                job = await self.reader.get(principal, job_id)
                if _is_reached(until, job, first):
                    break
        return job

    async def until_end(self, principal: Principal, job_id: str, seconds: float, *, just_started: bool = False) -> Job:
        """The job once it has ended, or as it is after `seconds`.

        Reads the index first, because the job may have ended long ago; not for a job that was `just_started`.
        Raises `NotFound`, `Unavailable`.
        """
        if seconds <= 0:
            return await self.reader.get(principal, job_id)
        if not just_started and (job := await self.reader.closed(principal, job_id)) is not None:
            return job
        with suppress(TimeoutError, NotFound):
            async with asyncio.timeout(seconds):
                facts = await self.gateway.wait_for_end(job_id)
            return await self.reader.ended(principal, job_id, facts)
        return await self.reader.get(principal, job_id)

    async def events(self, principal: Principal, job_id: str, after: str | None) -> AsyncGenerator[JobEvent]:
        """Every event after the cursor `after`, or every event without a cursor, then each new event as it happens.

        Ends after the terminal event. `after` may be `now`. Raises `NotFound`, `InvalidInput` for a cursor of another
        job, `Unavailable`.
        """
        past = await self.past(principal, job_id, None)
        async with aclosing(self.beyond(job_id, past, after)) as batches:
            del past
            async for events in batches:
                for event in events:
                    yield event

    async def beyond(self, job_id: str, past: list[JobEvent], after: str | None) -> AsyncGenerator[list[JobEvent]]:
        """As `events`, for a caller that may see the job and has just read `past`: all events so far.

        Events that are there at once come in one list, of at most `EVENTS_AT_ONCE`: other tasks get a turn between two.
        """
        last = past[-1].id if past else None
        ended = bool(past) and past[-1].type.terminal
        rest = past[skipped(past, after) :]
        del past  # Free the memory: hundreds of streams may stay open for hours.
        for start in range(0, len(rest), EVENTS_AT_ONCE):
            yield rest[start : start + EVENTS_AT_ONCE]
        del rest
        if ended:
            return
        async with aclosing(self.gateway.follow(job_id, last)) as batches:
            async for events in batches:
                yield events

    async def past(self, principal: Principal, job_id: str, after: str | None) -> list[JobEvent]:
        """The events so far after a cursor. Raises `NotFound`, `InvalidInput`, `Unavailable`."""
        await self.reader.get(principal, job_id)
        events = await self.reader.events(job_id)
        return events[skipped(events, after) :]


def skipped(events: list[JobEvent], after: str | None) -> int:
    """How many events a reader with this cursor has seen. The cursor of an event that a reset removed stands for the
    last event before the reset.

    Raises `InvalidInput` for a cursor that is not among the events.
    """
    if after is None or after == "":
        return 0
    if after == NOW:
        return len(events)
    position = parse_cursor(after)
    for index, event in enumerate(events):
        if event.id == after:
            return index + 1
        if (
            position
            and event.name == JOB_RESET
            and event.data["base_run"] == position[0]
            and _is_undone(event, position)
        ):
            return index
    problem = "is not an event of this job" if position else "is not a cursor"
    raise InvalidInput(
        f"The cursor {after[:80]!r} {problem}", field="after", provided=after[:80], expected="an event id, or now"
    )


def _is_undone(reset: JobEvent, position: tuple[str, int]) -> bool:
    """Whether a reset removed the event at a position: the event came after the point to which the job was reset."""
    at = parse_cursor(reset.id)
    return at is not None and position[1] >= at[1]


def _is_reached(until: Until, job: Job, first: tuple[str, str | None]) -> bool:
    if until is Until.ATTENTION:
        return job.state.terminal or (job.reason is not None and job.reason.code not in ROUTINE)
    return job.state.terminal or _state(job) != first


def _state(job: Job) -> tuple[str, str | None]:
    code = job.reason.code if job.reason else None
    return job.state, None if code in ROUTINE else code
