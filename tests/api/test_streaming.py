"""Frames with keep-alives between them."""

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest

from api.streaming import PIECE_BYTES, EncodedFrames, SharedFrames, frame, kept_alive


class Source:
    """Frames on demand, which says whether it was closed."""

    def __init__(self, *ready: bytes) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        for one in ready:
            self.queue.put_nowait(one)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        try:
            while (ready := await self.queue.get()) is not None:
                yield ready
        finally:
            self.closed.set()


def test_a_frame_has_an_id_only_where_it_has_a_cursor():
    assert frame("snapshot", "{}") == b"event: snapshot\ndata: {}\n\n"
    assert frame("job_queued", "{}", "run:1") == b"event: job_queued\ndata: {}\nid: run:1\n\n"


async def test_frames_pass_in_order_and_the_end_ends():
    source = Source(b"1", b"2")
    source.queue.put_nowait(None)
    assert [one async for one in kept_alive(source.frames(), asyncio.Event())] == [b"1", b"2"]
    assert source.closed.is_set()


async def test_silence_is_filled_and_loses_no_frame():
    source = Source()
    events = kept_alive(source.frames(), asyncio.Event(), every=0.01)
    assert await anext(events) == b": ping\n\n"
    assert await anext(events) == b": ping\n\n"
    source.queue.put_nowait(b"late")
    while (one := await anext(events)) == b": ping\n\n":
        pass
    assert one == b"late"
    await events.aclose()


@pytest.mark.parametrize("ready", [(), (b"1",)])
async def test_closing_ends_the_stream_and_its_source(ready: tuple[bytes, ...]):
    source, closing = Source(*ready), asyncio.Event()
    events = kept_alive(source.frames(), closing)
    for expected in ready:
        assert await anext(events) == expected
    closing.set()
    assert [one async for one in events] == []
    await asyncio.wait_for(source.closed.wait(), 5)


async def test_closing_comes_before_a_frame_that_is_ready():
    source, closing = Source(b"1"), asyncio.Event()
    closing.set()
    assert [one async for one in kept_alive(source.frames(), closing)] == []
    assert source.closed.is_set()


async def test_a_reader_that_is_cancelled_takes_the_source_with_it():
    source = Source()

    async def read() -> None:
        async for _ in kept_alive(source.frames(), asyncio.Event()):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(source.closed.wait(), 5)


async def test_a_reader_that_stops_between_frames_closes_the_source():
    source = Source(b"1")
    events = kept_alive(source.frames(), asyncio.Event())
    await anext(events)
    await events.aclose()
    assert source.closed.is_set()


async def test_a_fault_of_the_source_reaches_the_reader():
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"1"
        raise RuntimeError("broken")

    events = kept_alive(failing(), asyncio.Event())
    assert await anext(events) == b"1"
    with pytest.raises(RuntimeError, match="broken"):
        await anext(events)


async def test_a_large_frame_is_handed_over_in_pieces():
    large = bytes(range(256)) * 1000
    source = Source(large, b"next")
    source.queue.put_nowait(None)
    pieces = [one async for one in kept_alive(source.frames(), asyncio.Event())]
    assert b"".join(pieces) == large + b"next"
    assert max(map(len, pieces)) == PIECE_BYTES


async def test_a_shared_frame_is_made_once_for_all_who_send_it_at_the_same_time():
    made: list[str] = []

    async def make(name: str) -> bytes:
        made.append(name)
        await asyncio.sleep(0)
        return name.encode()

    frames = SharedFrames()

    async def read(name: str) -> bytes:
        held = frames.of(name, lambda: make(name))
        return await asyncio.shield(held)

    read_by_all = await asyncio.gather(*(read(name) for name in "aaab"))
    assert read_by_all == [b"a", b"a", b"a", b"b"]
    assert made == ["a", "b"]
    gc.collect()
    assert await frames.of("a", lambda: make("again")) == b"again"  # nothing is kept that nobody sends


async def test_a_reader_that_leaves_does_not_take_a_shared_frame_from_the_others():
    ready = asyncio.Event()

    async def make() -> bytes:
        await ready.wait()
        return b"1"

    frames = SharedFrames()

    async def read() -> bytes:
        held = frames.of("a", make)
        return await asyncio.shield(held)

    leaving, staying = asyncio.create_task(read()), asyncio.create_task(read())
    await asyncio.sleep(0)
    leaving.cancel()
    ready.set()
    assert await staying == b"1"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_shared_frame_that_fails_fails_for_all_and_is_made_again():
    async def fail() -> bytes:
        raise RuntimeError("broken")

    async def make() -> bytes:
        return b"1"

    frames = SharedFrames()
    held = [frames.of("a", fail), frames.of("a", fail)]
    assert [str(fault) for fault in await asyncio.gather(*held, return_exceptions=True)] == ["broken", "broken"]
    assert await frames.of("a", make) == b"1"


def test_a_frame_is_encoded_once_and_the_oldest_ones_are_dropped():
    encoded: list[str] = []

    def encode(name: str) -> bytes:
        encoded.append(name)
        return bytes(4)

    frames = EncodedFrames(most_bytes=8)
    for name in "aabbcca":
        assert frames.of(name, lambda name=name: encode(name)) == bytes(4)
    assert encoded == ["a", "b", "c", "a"]


def test_a_frame_larger_than_all_that_is_kept_is_not_kept():
    frames = EncodedFrames(most_bytes=8)
    assert frames.of("large", lambda: bytes(9)) == bytes(9)
    assert frames.of("large", lambda: bytes(8)) == bytes(8)
