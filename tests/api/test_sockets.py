"""The frames that wait for one client: in order, bounded, text before events goes first when there is no room."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.sockets import SendQueue, SocketLimits, SocketMetrics, TooSlow
from orchestrator.testing import eventually


class Wire:
    """Takes frames while it is open."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.open = asyncio.Event()

    async def send(self, text: str) -> None:
        await self.open.wait()
        self.sent.append(text)


def outbox(wire: Wire, **limits: Any) -> SendQueue:
    return SendQueue(wire.send, SocketLimits(**{"patience": 0.01, **limits}))


async def test_frames_leave_in_order():
    wire = Wire()
    wire.open.set()
    box = outbox(wire, patience=30)
    running = asyncio.create_task(box.run())
    for number in range(1000):
        await box.put(str(number))
    await eventually(lambda: asyncio.sleep(0, len(wire.sent)), lambda seen: seen == 1000)
    assert wire.sent == [str(number) for number in range(1000)]
    running.cancel()


@pytest.mark.parametrize("limits", [{"waiting_frames": 3}, {"waiting_bytes": 3}])
async def test_no_more_waits_than_the_limit(limits: dict[str, int]):
    box = outbox(Wire(), **limits)
    for text in "abc":
        await box.put(text)
    with pytest.raises(TooSlow) as slow:
        await box.put("d")
    assert slow.value.code == 4429


async def test_one_frame_may_be_larger_than_all_that_may_wait():
    box = outbox(Wire(), waiting_bytes=3)
    await box.put("x" * 1000)
    with pytest.raises(TooSlow):
        await box.put("y")


async def test_what_need_not_arrive_makes_room_and_finds_none():
    wire = Wire()
    box = outbox(wire, waiting_frames=4)
    await box.put("first")
    for text in ("piece", "piece", "piece"):
        assert await box.offer(text)
    assert not await box.offer("late piece")
    for text in ("second", "third", "fourth"):
        await box.put(text)
    with pytest.raises(TooSlow):
        await box.put("fifth")
    wire.open.set()
    await box.drain("last")
    assert wire.sent == ["first", "second", "third", "fourth", "last"]


async def test_what_need_not_arrive_does_not_take_the_place_of_what_waits_to_be_queued():
    wire = Wire()

    async def send(text: str) -> None:
        if text == "a":
            assert await box.offer("piece")
        await wire.send(text)

    box = SendQueue(send, SocketLimits(waiting_frames=1, patience=1))
    await box.put("a")
    second = asyncio.create_task(box.put("b"))
    running = asyncio.create_task(box.run())
    await second
    wire.open.set()
    await eventually(lambda: asyncio.sleep(0, len(wire.sent)), lambda seen: seen == 2)
    assert wire.sent == ["a", "b"]
    running.cancel()


async def test_a_frame_goes_in_as_soon_as_there_is_room():
    wire = Wire()
    box = outbox(wire, waiting_frames=1, patience=30)
    running = asyncio.create_task(box.run())
    puts = asyncio.gather(*(box.put(str(number)) for number in range(20)))
    wire.open.set()
    await puts
    await eventually(lambda: asyncio.sleep(0, len(wire.sent)), lambda seen: seen == 20)
    assert wire.sent == [str(number) for number in range(20)]
    running.cancel()


async def test_a_frame_whose_sending_was_cancelled_is_still_sent():
    wire = Wire()
    box = outbox(wire)
    running = asyncio.create_task(box.run())
    await box.put("a")
    await box.put("b")
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    wire.open.set()
    await box.drain(None)
    assert wire.sent == ["a", "b"]


def test_codes_that_clients_make_up_are_counted_as_one():
    registry = CollectorRegistry()
    metrics = SocketMetrics(registry)
    for code in (1000, 4429, 3000, 4999, 70000):
        metrics.closed(code)
    counted = {
        sample.labels["code"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"1000": 1, "4429": 1, "other": 3}
