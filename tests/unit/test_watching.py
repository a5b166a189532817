"""The one live stream of a job: events and text interleaved, for readers who still may."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.bus.memory import MemoryBus
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import InvalidInput, NotFound, Unauthenticated
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import JobState
from orchestrator.services.jobs.stream import JobWatcher
from orchestrator.testing import eventually
from tests.bus_readers import count_readers

READER = Principal(id="reader", scopes=frozenset({Scope.JOBS_READ}))
JOB = "job_1"


def event(number: int, kind: EventType = EventType.JOB_PROGRESS) -> JobEvent:
    return JobEvent(
        id=f"run:{number}",
        type=kind,
        name="x",
        job_id=JOB,
        state=JobState.RUNNING,
        progress=0,
        message="",
        timestamp=datetime(2026, 11, 20, tzinfo=UTC),
    )


def delta(index: int) -> Delta:
    return Delta(job_id=JOB, step="plan", agent="writer", attempt=1, index=index, text="x")


class Follower:
    """A `JobFollower` whose events the test puts in."""

    def __init__(self, *, fault: Exception | None = None) -> None:
        self.events: asyncio.Queue[JobEvent | Exception] = asyncio.Queue()
        self.fault = fault
        self.closed = asyncio.Event()

    async def past(self, *_: Any) -> list[JobEvent]:
        if self.fault is not None:
            raise self.fault
        return []

    async def beyond(self, *_: Any) -> AsyncGenerator[list[JobEvent]]:
        try:
            while True:
                frame = await self.events.get()
                if isinstance(frame, Exception):
                    raise frame
                yield [frame]
        finally:
            self.closed.set()


class Access:
    def __init__(self) -> None:
        self.valid = True
        self.asked = 0

    async def still_valid(self, principal: Principal) -> bool:
        assert principal is READER
        self.asked += 1
        return self.valid


class Desk:
    """A watcher over these stand-ins."""

    def __init__(self, *, recheck: float = 60.0, fault: Exception | None = None) -> None:
        self.follower, self.bus, self.access = Follower(fault=fault), MemoryBus(), Access()
        watcher = JobWatcher(self.follower, self.bus, self.access, recheck_seconds=recheck)  # type: ignore[arg-type]
        self.watch = watcher.watch

    async def listened_to(self) -> None:
        await eventually(lambda: asyncio.sleep(0, count_readers(self.bus, JOB)), bool)


async def test_text_and_events_come_in_the_order_in_which_they_happen():
    desk = Desk()
    news = desk.watch(READER, JOB, None)
    desk.follower.events.put_nowait(event(1))
    assert await anext(news) == event(1)
    await desk.listened_to()
    for index in range(2):
        desk.bus.publish(delta(index))
        assert await anext(news) == delta(index)
    desk.follower.events.put_nowait(event(2))
    assert await anext(news) == event(2)
    await news.aclose()


async def test_nothing_follows_the_last_event():
    desk = Desk()
    news = desk.watch(READER, JOB, None)
    desk.follower.events.put_nowait(event(1))
    await anext(news)
    await desk.listened_to()
    desk.follower.events.put_nowait(event(2, EventType.JOB_COMPLETED))
    for index in range(100):
        desk.bus.publish(delta(index))
    entries = [item async for item in news]
    assert entries[-1] == event(2, EventType.JOB_COMPLETED)
    assert len(entries) < 10  # an endless text does not hold up the end
    assert desk.follower.closed.is_set()
    assert count_readers(desk.bus, JOB) == 0


async def test_without_deltas_nobody_listens_for_them():
    desk = Desk()
    news = desk.watch(READER, JOB, None, deltas=False)
    desk.follower.events.put_nowait(event(1))
    assert await anext(news) == event(1)
    assert count_readers(desk.bus, JOB) == 0
    await news.aclose()
    assert desk.follower.closed.is_set()


async def test_a_reader_who_may_not_see_the_job_hears_nothing_of_it():
    desk = Desk(fault=NotFound("Unknown job"))
    with pytest.raises(NotFound):
        await anext(desk.watch(READER, JOB, None))
    assert count_readers(desk.bus, JOB) == 0


async def test_a_fault_of_the_events_ends_the_stream():
    desk = Desk()
    desk.follower.events.put_nowait(InvalidInput("no cursor"))
    with pytest.raises(InvalidInput):
        await anext(desk.watch(READER, JOB, "x"))
    assert count_readers(desk.bus, JOB) == 0


async def test_a_reader_that_leaves_leaves_nothing_behind():
    desk = Desk()
    news = desk.watch(READER, JOB, None)
    reading = asyncio.create_task(anext(news))  # type: ignore[arg-type]
    await desk.listened_to()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(desk.follower.closed.wait(), 5)
    assert count_readers(desk.bus, JOB) == 0


async def test_a_quiet_stream_ends_when_the_key_does():
    desk = Desk(recheck=0.01)
    reading = asyncio.create_task(anext(desk.watch(READER, JOB, None)))  # type: ignore[arg-type]
    await eventually(lambda: asyncio.sleep(0, desk.access.asked), lambda asked: asked >= 2)
    assert not reading.done()
    desk.access.valid = False
    with pytest.raises(Unauthenticated, match="no longer valid"):
        await reading
    assert desk.follower.closed.is_set()


async def test_a_busy_stream_ends_when_the_key_does():
    desk = Desk(recheck=0.01)
    desk.access.valid = False

    async def read() -> None:
        desk.follower.events.put_nowait(event(0))
        async for _ in desk.watch(READER, JOB, None):
            desk.follower.events.put_nowait(event(1))  # never silent

    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(read(), 10)
