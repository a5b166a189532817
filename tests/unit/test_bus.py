"""Token deltas from the worker of a call to the watchers of its job: in one process, and over a real Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from redis.asyncio import Redis
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from orchestrator.bus.memory import MemoryBus
from orchestrator.bus.over_redis import CHANNEL, RedisBus, open_redis
from orchestrator.domain.deltas import Delta
from orchestrator.domain.ports import DeltaBus
from orchestrator.testing import eventually
from tests.bus_readers import count_readers
from tests.redis_server import RedisServer


def piece(index: int, job_id: str = "job_1") -> Delta:
    return Delta(job_id=job_id, step="plan", agent="writer", attempt=1, index=index, text=f"text {index}")


class Reader:
    """Reads a job's deltas in the background."""

    def __init__(self, bus: DeltaBus, job_id: str = "job_1") -> None:
        self.seen: list[int] = []
        self._deltas = bus.subscribe(job_id)
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self._deltas) as deltas:
            async for delta in deltas:
                self.seen.append(delta.index)

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def expect_numbers(reader: Reader, expected: list[int]) -> None:
    await eventually(lambda: asyncio.sleep(0, list(reader.seen)), lambda seen: seen == expected, 10)


async def test_every_listener_of_a_job_hears_its_deltas_in_order():
    bus = MemoryBus()
    readers = [Reader(bus), Reader(bus), Reader(bus, "job_2")]
    await eventually(lambda: asyncio.sleep(0, count_readers(bus, "job_1")), lambda count: count == 2)
    for index in range(5):
        bus.publish(piece(index))
    bus.publish(piece(7, "job_2"))
    await expect_numbers(readers[0], [0, 1, 2, 3, 4])
    await expect_numbers(readers[1], [0, 1, 2, 3, 4])
    await expect_numbers(readers[2], [7])
    assert [await bus.has_readers(job) for job in ("job_1", "job_2", "job_3")] == [True, True, False]
    for reader in readers:
        await reader.aclose()
    assert not await bus.has_readers("job_1")


async def test_what_nobody_listens_to_is_not_kept():
    bus = MemoryBus()
    bus.publish(piece(0))
    reader = Reader(bus)
    await eventually(lambda: asyncio.sleep(0, count_readers(bus, "job_1")), bool)
    bus.publish(piece(1))
    await expect_numbers(reader, [1])
    await reader.aclose()
    assert count_readers(bus, "job_1") == 0


async def test_a_slow_reader_loses_the_oldest_and_holds_nobody_up():
    bus = MemoryBus(capacity=3)
    slow: AsyncGenerator[Delta] = bus.subscribe("job_1")
    quick = Reader(bus)
    first = asyncio.create_task(anext(slow))
    await eventually(lambda: asyncio.sleep(0, count_readers(bus, "job_1")), lambda count: count == 2)
    bus.publish(piece(0))
    assert (await first).index == 0
    for index in range(1, 10):
        bus.publish(piece(index))
        await expect_numbers(quick, list(range(index + 1)))
    assert [(await anext(slow)).index for _ in range(3)] == [7, 8, 9]
    await slow.aclose()
    await quick.aclose()


@asynccontextmanager
async def over(url: str, **more: float) -> AsyncIterator[RedisBus]:
    bus = RedisBus(open_redis(url), **{"pause": 0.05, **more})  # type: ignore[arg-type]
    try:
        yield bus
    finally:
        await bus.aclose()


@asynccontextmanager
async def heard(bus: RedisBus, url: str, *jobs: str) -> AsyncIterator[list[Reader]]:
    """Readers of these jobs, once Redis knows of them."""
    readers = [Reader(bus, job_id) for job_id in jobs]
    await tuned(url, dict.fromkeys(jobs, 1))
    try:
        yield readers
    finally:
        for reader in readers:
            await reader.aclose()


async def tuned(url: str, expected: dict[str, int]) -> None:
    """Wait until so many processes listen to these jobs."""
    async with Redis.from_url(url) as redis:
        channels = [f"{CHANNEL}:{job_id}" for job_id in expected]

        async def look() -> dict[str, int]:
            counted = await redis.pubsub_numsub(*channels)
            return {channel.decode().removeprefix(f"{CHANNEL}:"): count for channel, count in counted}

        await eventually(look, lambda seen: seen == expected, 10)


async def test_deltas_reach_another_process_in_order(redis_url: str):
    async with over(redis_url) as worker, over(redis_url) as api, heard(api, redis_url, "job_1", "job_2") as readers:
        for index in range(250):
            worker.publish(piece(index))
        worker.publish(piece(7, "job_2"))
        assert [await worker.has_readers(job) for job in ("job_1", "job_2", "job_3")] == [True, True, False]
        await expect_numbers(readers[1], [7])
        await expect_numbers(readers[0], list(range(250)))


async def test_a_worker_that_serves_streams_too_hears_itself(redis_url: str):
    async with over(redis_url) as bus, heard(bus, redis_url, "job_1") as (reader,):
        bus.publish(piece(0))
        await expect_numbers(reader, [0])


async def test_one_process_listens_once_and_stops_with_its_last_reader(redis_url: str):
    async with over(redis_url) as bus:
        readers = [Reader(bus), Reader(bus), Reader(bus, "job_2")]
        await tuned(redis_url, {"job_1": 1, "job_2": 1})
        await readers[0].aclose()
        await readers[2].aclose()
        await tuned(redis_url, {"job_1": 1, "job_2": 0})
        bus.publish(piece(0))
        await expect_numbers(readers[1], [0])
        await readers[1].aclose()
        await tuned(redis_url, {"job_1": 0, "job_2": 0})
        async with heard(bus, redis_url, "job_1") as (again,):
            bus.publish(piece(1))
            await expect_numbers(again, [1])


async def test_what_is_no_delta_is_passed_over(redis_url: str):
    async with over(redis_url) as bus, heard(bus, redis_url, "job_1") as (reader,), Redis.from_url(redis_url) as redis:
        with capture_logs() as logs:
            await redis.publish(f"{CHANNEL}:job_1", b'{"from": "another version"}')
            bus.publish(piece(0))
            await expect_numbers(reader, [0])
        assert [line["lost"] for line in logs if line["event"] == "deltas_lost"] == [1]


async def test_without_redis_deltas_are_lost_with_one_warning_and_come_again_with_it(redis_server: RedisServer):
    url = redis_server.ready()
    async with over(url) as worker, over(url) as api, heard(api, url, "job_1") as (reader,):
        worker.publish(piece(0))
        await expect_numbers(reader, [0])
        with capture_logs() as logs:
            redis_server.kill()
            for index in range(1, 2000):
                worker.publish(piece(index))
                await asyncio.sleep(0)
            warned = await eventually(
                lambda: asyncio.sleep(0, [line for line in logs if line["event"] == "deltas_lost"]),
                lambda lines: len(lines) == 2,
            )
        assert [line["error"] for line in warned] == ["ConnectionError"] * 2  # one of each side
        redis_server.start()
        await tuned(url, {"job_1": 1})
        worker.publish(piece(9999))
        await eventually(lambda: asyncio.sleep(0, reader.seen[-1]), lambda last: last == 9999)
        assert 1 not in reader.seen
        assert reader.seen == sorted(set(reader.seen))


async def test_a_warning_names_nobody_s_job_or_request(redis_server: RedisServer):
    url = redis_server.ready()
    async with over(url) as worker, over(url) as api:
        with bound_contextvars(job_id="job_1", request_id="req_1"):
            worker.publish(piece(0))
            async with heard(api, url, "job_1") as (reader,):
                worker.publish(piece(1))
                await eventually(lambda: asyncio.sleep(0, list(reader.seen)), lambda seen: 1 in seen)
        with capture_logs(processors=[merge_contextvars]) as logs:
            redis_server.kill()
            worker.publish(piece(2, "job_2"))
            warned = await eventually(
                lambda: asyncio.sleep(0, [line for line in logs if line["event"] == "deltas_lost"]),
                lambda lines: len(lines) == 2,
            )
    assert [set(line) & {"job_id", "request_id"} for line in warned] == [set(), set()]


async def test_a_redis_that_hangs_is_noticed_and_left(redis_server: RedisServer):
    url = redis_server.ready()
    async with over(url, silence=0.1) as api, heard(api, url, "job_1") as (reader,):
        with capture_logs() as logs:
            redis_server.freeze()
            try:
                assert not await api.has_readers("job_2")
                await eventually(lambda: asyncio.sleep(0, [line["error"] for line in logs]), bool, 10)
            finally:
                redis_server.thaw()
        await tuned(url, {"job_1": 1})
        api.publish(piece(0))
        await expect_numbers(reader, [0])


async def test_a_full_queue_drops_and_neither_waits_nor_raises(redis_server: RedisServer):
    url = redis_server.ready()
    async with over(url, capacity=3) as worker, over(url) as api, heard(api, url, "job_1") as (reader,):
        for index in range(10):  # no await between them: nothing can be sent yet
            worker.publish(piece(index))
        await expect_numbers(reader, [0, 1, 2])


async def test_a_bus_closes_while_redis_is_away(redis_server: RedisServer):
    url = redis_server.ready()
    async with over(url) as bus, heard(bus, url, "job_1"):
        redis_server.kill()
        bus.publish(piece(0))
    assert not [task for task in asyncio.all_tasks() if task.get_name() in {"send deltas", "receive deltas"}]
