"""The log of a job: every follower sees each event once, in order, whatever the server does to the history."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

import pytest

from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.events import JobEvent
from orchestrator.domain.facts import CancelRequested, Fact, RunCompleted, RunReset, RunTerminated
from orchestrator.engine import history as module
from orchestrator.engine.history import HistoryReader, JobHistory
from orchestrator.projection.events import EventFold, job_events
from orchestrator.services.jobs.follower import JobFollower
from tests.fakes.history_server import (
    CANCEL_REQUESTED,
    COMPLETED,
    SIGNALED,
    TASK_FAILED,
    TASK_SCHEDULED,
    TERMINATED,
    HistoryServer,
)

JOB = "wf_job_1"


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)


@pytest.fixture
def server() -> HistoryServer:
    server = HistoryServer()
    server.start(JOB)
    server.task(JOB)
    return server


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what it looks at wakes nobody
            await asyncio.sleep(0.001)


class Gateway:
    """The one method of `TemporalGateway` that a follower's live part needs."""

    def __init__(self, reader: HistoryReader) -> None:
        self.reader = reader

    async def follow(self, job_id: str, after: str | None = None):
        position = None if after is None else (after.rpartition(":")[0], int(after.rpartition(":")[2]))
        async with self.reader.open(job_id) as history, aclosing(history.follow_events(position)) as batches:
            async for events in batches:
                yield events


class Stream:
    """A follower of the event log, as a stream's reader has it."""

    def __init__(self, reader: HistoryReader, job_id: str = JOB, after: str | None = None) -> None:
        self.events: list[JobEvent] = []
        self.after = after
        follower = JobFollower(Gateway(reader), None)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self._read(follower, job_id))

    async def _read(self, follower: JobFollower, job_id: str) -> None:
        async for events in follower.gateway.follow(job_id, self.after):
            self.events.extend(events)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    async def saw(self, *names: str) -> None:
        await until(lambda: tuple(self.names) == names)

    async def ended(self) -> list[JobEvent]:
        await asyncio.wait_for(self.task, 5)
        return self.events


async def facts_of(server: HistoryServer, job_id: str = JOB) -> list[Fact]:
    history = JobHistory(server, job_id)
    await history.sync()
    return history.log


async def test_an_event_that_gets_the_number_of_a_provisional_one_is_seen(server: HistoryServer) -> None:
    server.show_provisional(JOB)
    stream = Stream(HistoryReader(server))
    await stream.saw("job.queued", "job.started")
    server.add(JOB, CANCEL_REQUESTED)
    server.add(JOB, SIGNALED, name="hello")
    server.show_provisional(JOB)
    await stream.saw("job.queued", "job.started", "job.cancelling", "signal.hello")
    server.add(JOB, COMPLETED)
    assert [event.name for event in await stream.ended()][-1] == "job.completed"


async def test_a_cancel_behind_a_failing_task_shows_at_once(server: HistoryServer) -> None:
    reader = HistoryReader(server)
    server.add(JOB, TASK_SCHEDULED)
    server.add(JOB, TASK_FAILED)
    server.show_provisional(JOB)
    async with reader.open(JOB) as history:
        await history.sync()
        before = len(history.log)
        server.add(JOB, CANCEL_REQUESTED)  # gets the number that the provisional task had
        await history.sync()
        assert len(history.log) == before + 1


async def test_a_persisted_task_at_the_end_is_no_reason_to_wait(server: HistoryServer) -> None:
    server.add(JOB, TASK_SCHEDULED)
    history = JobHistory(server, JOB)
    await history.sync()
    server.calls.clear()
    await asyncio.wait_for(history.sync(), 1)
    await asyncio.wait_for(history.sync(), 1)
    assert server.calls == ["current_run", "current_run"]


async def test_a_reset_while_followed_is_not_an_end(server: HistoryServer) -> None:
    reader = HistoryReader(server)
    stream = Stream(reader)
    server.add(JOB, SIGNALED, name="undone")
    await stream.saw("job.queued", "job.started", "signal.undone")
    server.reset(JOB, 3)
    server.add(JOB, SIGNALED, name="after")
    await stream.saw("job.queued", "job.started", "signal.undone", "job.reset", "signal.after")
    late = Stream(reader)
    await late.saw("job.queued", "job.reset", "signal.after")
    resumed = Stream(reader, after=stream.events[2].id)
    await resumed.saw("job.reset", "signal.after")
    server.task(JOB)
    server.add(JOB, COMPLETED)
    for followers in (stream, late, resumed):
        assert (await followers.ended())[-1].name == "job.completed"
    ids = [event.id for event in late.events]
    assert ids[0] == f"{JOB}-run-1:1"
    assert ids[1] == f"{JOB}-run-2:4"


async def test_a_reset_while_waited_for_is_not_an_end(server: HistoryServer) -> None:
    reader = HistoryReader(server)

    async def wait() -> Fact:
        async with reader.open(JOB) as history:
            await history.end()
            return history.log[-1]

    waiters = [asyncio.create_task(wait()) for _ in range(3)]
    await until(lambda: server.polling.get(JOB) == 1)
    server.reset(JOB, 3)
    await asyncio.sleep(0.05)
    assert not any(waiter.done() for waiter in waiters)
    server.task(JOB)
    server.add(JOB, COMPLETED)
    assert all(isinstance(fact, RunCompleted) for fact in await asyncio.wait_for(asyncio.gather(*waiters), 5))


async def test_a_termination_is_an_end(server: HistoryServer) -> None:
    stream = Stream(HistoryReader(server))
    server.add(JOB, TERMINATED)
    assert (await stream.ended())[-1].data["error"]["type"] == "terminated"


async def test_a_reset_of_an_ended_job_is_read_by_the_next_reader(server: HistoryServer) -> None:
    reader = HistoryReader(server)
    server.add(JOB, COMPLETED)
    async with reader.open(JOB) as history:
        await history.sync()
        assert history.ended
        server.reset(JOB, 3)
        await history.sync()
        assert not history.ended
        assert isinstance(history.log[-1], RunReset)


async def test_a_reset_of_an_earlier_run_undoes_the_later_ones(server: HistoryServer) -> None:
    reader = HistoryReader(server)
    stream = Stream(reader)
    server.continue_as_new(JOB)
    server.add(JOB, SIGNALED, name="second")
    await stream.saw("job.queued", "job.started", "job.continued", "signal.second")
    first = server.jobs[JOB][0]
    undone = server.run(JOB)
    server.add(JOB, TERMINATED)
    server.jobs[JOB].append(first)  # the base run of the reset
    first_events = list(first.events)
    server.reset(JOB, 3)
    first.events[:] = first_events
    await stream.saw("job.queued", "job.started", "job.continued", "signal.second", "job.reset")
    resumed = Stream(reader, after=f"{undone.id}:2")
    await resumed.saw("job.reset")
    server.add(JOB, COMPLETED)
    assert (await stream.ended())[-1].name == (await resumed.ended())[-1].name == "job.completed"


async def test_a_run_that_continues_in_the_middle_of_a_page(server: HistoryServer) -> None:
    stream = Stream(HistoryReader(server))
    for number in range(4):
        server.add(JOB, SIGNALED, name=f"s{number}")
    server.continue_as_new(JOB)
    server.task(JOB)
    server.continue_as_new(JOB)
    server.add(JOB, COMPLETED)
    seen = await stream.ended()
    assert seen == job_events(JOB, await facts_of(server))
    assert [event.name for event in seen].count("job.continued") == 2


async def test_followers_go_on_when_the_server_was_away(server: HistoryServer) -> None:
    stream = Stream(HistoryReader(server))
    await stream.saw("job.queued", "job.started")
    server.down = True
    server.add(JOB, SIGNALED, name="meanwhile")
    await asyncio.sleep(0.05)
    server.down = False
    server.add(JOB, COMPLETED)
    assert [event.name for event in await stream.ended()] == [
        "job.queued",
        "job.started",
        "signal.meanwhile",
        "job.completed",
    ]


async def test_a_reader_whose_token_a_restart_made_worthless_reads_the_run_again(server: HistoryServer) -> None:
    for number in range(7):  # more than one page
        server.add(JOB, SIGNALED, name=f"s{number}")
    history = JobHistory(server, JOB)
    await history.sync()
    server.refused = {str(len(server.run(JOB).events) + 1).encode()}
    server.add(JOB, COMPLETED)
    with pytest.raises(Unavailable):
        await history.sync()
    await history.sync()
    assert history.log == await facts_of(server)


async def test_an_end_is_not_reported_while_nobody_can_confirm_it(server: HistoryServer, monkeypatch) -> None:
    history = JobHistory(server, JOB)
    await history.sync()
    real = server.current_run

    async def away(job_id: str):
        raise Unavailable("away")

    monkeypatch.setattr(server, "current_run", away)
    server.add(JOB, COMPLETED)
    with pytest.raises(Unavailable):
        await history.advance()
    assert not history.ended
    assert not isinstance(history.log[-1], RunCompleted)
    monkeypatch.setattr(server, "current_run", real)
    await history.advance()
    assert history.ended
    assert isinstance(history.log[-1], RunCompleted)


async def test_one_request_in_flight_for_any_number_of_readers(server: HistoryServer) -> None:
    reader = HistoryReader(server)

    async def wait() -> None:
        async with reader.open(JOB) as history:
            await history.end()

    waiters = [asyncio.create_task(wait()) for _ in range(5)]
    await until(lambda: server.polling.get(JOB) == 1)
    streams = [Stream(reader) for _ in range(5)]
    for number in range(5):
        server.add(JOB, SIGNALED, name=f"s{number}")
        await asyncio.sleep(0.01)
    server.add(JOB, COMPLETED)
    await asyncio.wait_for(asyncio.gather(*waiters), 5)
    for stream in streams:
        assert len(await stream.ended()) == 8
    assert server.most_polls == 1
    await until(lambda: server.polling[JOB] == 0)


async def test_waiting_for_the_end_of_a_known_job_sends_no_request_for_each_event() -> None:
    server = HistoryServer(page_size=100, round_seconds=60)
    server.start(JOB)
    reader = HistoryReader(server)
    async with reader.open(JOB) as history:
        await history.sync()  # As the response to a start does.
    async with reader.open(JOB) as history:
        before = len(server.calls)
        waiting = asyncio.create_task(history.end())
        for number in range(20):
            await asyncio.sleep(0.001)
            server.add(JOB, SIGNALED, name=f"s{number}")
        server.add(JOB, COMPLETED)
        await asyncio.wait_for(waiting, 5)
    assert isinstance(history.log[-1], RunCompleted)
    assert len(history.log) == len(server.run(JOB).events)
    assert server.calls[before:] == ["closing", "answer", "page", "current_run"]


async def test_a_caller_that_leaves_cancels_the_request(server: HistoryServer) -> None:
    server._round = 60
    stream = Stream(HistoryReader(server))
    await until(lambda: server.polling.get(JOB) == 1)
    stream.task.cancel()
    await until(lambda: server.polling[JOB] == 0)


async def test_an_unknown_job_is_not_remembered(server: HistoryServer) -> None:
    reader = HistoryReader(server)
    for number in range(10):
        with pytest.raises(NotFound):
            async with reader.open(f"job_{number}") as history:
                await history.sync()
    assert not reader._idle
    assert not reader._used


async def test_a_thousand_jobs_through_a_small_memory_with_a_follower_that_stays(server: HistoryServer) -> None:
    reader = HistoryReader(server, most=128)
    stream = Stream(reader)
    await stream.saw("job.queued", "job.started")
    followed = reader._used[JOB]
    for number in range(1000):
        job_id = f"wf_job_x{number}"
        server.start(job_id)
        async with reader.open(job_id) as history:
            await history.sync()
    assert len(reader._idle) == 128
    assert reader._used == {JOB: followed}
    server.calls.clear()
    async with reader.open("wf_job_x999") as history:
        await history.sync()
    assert server.calls.count("page") == 0
    server.add(JOB, COMPLETED)
    assert (await stream.ended())[-1].name == "job.completed"


async def log_at_end(reader: HistoryReader) -> list[Fact]:
    async with reader.open(JOB) as history:
        await history.end()
        return history.log


@pytest.mark.parametrize("seed", range(200))
async def test_every_follower_sees_the_final_history_once_in_order(seed: int) -> None:  # noqa: PLR0912
    """Random schedules: whatever a follower saw beyond the final events was undone by a reset, never invented."""
    chance = random.Random(seed)
    server = HistoryServer(page_size=chance.randint(1, 5), round_seconds=0.005)
    server.start(JOB)
    reader = HistoryReader(server, most=1)
    streams = [Stream(reader)]
    waiters: list[asyncio.Task[list[Fact]]] = []
    written: set[str] = set()

    def note() -> None:
        written.update(f"{run.id}:{event.event_id}" for run in server.jobs[JOB] for event in run.events)

    for number in range(chance.randint(5, 25)):
        match chance.choice(
            ["task", "signal", "signal", "provisional", "half", "continue", "reset", "down", "join", "read", "wait"]
        ):
            case "task":
                server.task(JOB)
            case "signal":
                server.add(JOB, SIGNALED, name=f"s{number}")
            case "provisional":
                server.show_provisional(JOB, chance.randint(1, 2))
            case "half":
                server.add(JOB, TASK_SCHEDULED)
            case "continue":
                server.continue_as_new(JOB)
            case "reset":
                server.reset(JOB, chance.randint(1, len(server.run(JOB).events)))
            case "down":
                server.down = not server.down
            case "join":
                after = chance.choice([None, *[event.id for event in streams[0].events]])
                streams.append(Stream(reader, after=after))
            case "wait":
                waiters.append(asyncio.create_task(log_at_end(HistoryReader(server))))
            case "read" if not server.down:
                async with reader.open(JOB) as history:
                    await history.sync()
        note()
        for _ in range(chance.randint(0, 5)):
            await asyncio.sleep(0)
    server.down = False
    server.add(JOB, COMPLETED)
    note()
    final = job_events(JOB, await facts_of(server))
    expected = [event.id for event in final]
    for waiter in waiters:
        assert await waiter == await facts_of(server)
    for stream in streams:
        seen = [event.id for event in await stream.ended()]
        assert len(set(seen)) == len(seen)
        assert set(seen) <= written
        kept = [each for each in seen if each in expected]
        assert kept == expected[len(expected) - len(kept) :]
        if stream.after is None:
            assert kept == expected
        by_id = {event.id: event for event in final}
        assert [event for event in stream.events if event.id in by_id] == [by_id[each] for each in kept]


async def test_a_fact_is_awaited_through_a_reset(server: HistoryServer) -> None:
    history = JobHistory(server, JOB)
    task = asyncio.create_task(history.fact(lambda fact: isinstance(fact, CancelRequested)))
    server.add(JOB, SIGNALED, name="undone")
    await until(lambda: len(history.log) == 5)
    server.reset(JOB, 2)
    server.add(JOB, CANCEL_REQUESTED)
    assert await asyncio.wait_for(task, 5)
    server.add(JOB, COMPLETED)
    assert not await history.fact(lambda fact: isinstance(fact, RunTerminated))


@pytest.mark.parametrize("known", [False, True])
async def test_the_end_of_a_job_in_one_page_needs_no_description(known: bool) -> None:
    server = HistoryServer(page_size=100, round_seconds=60)
    server.start(JOB)
    history = JobHistory(server, JOB)
    if known:
        server.continue_as_new(JOB)
    waiting = asyncio.create_task(history.end())
    await until(lambda: server.polling.get(JOB) == 1)
    server.add(JOB, COMPLETED)
    await asyncio.wait_for(waiting, 5)
    assert history.log == await facts_of(server)
    assert server.calls[:3] == ["closing", "answer", "page"]
    assert "current_run" not in server.calls[: 4 if known else 3]


async def test_the_end_of_a_reset_job_is_described(server: HistoryServer) -> None:
    server.reset(JOB, 2)
    history = JobHistory(server, JOB)
    waiting = asyncio.create_task(history.end())
    await until(lambda: server.polling.get(JOB) == 1)
    server.add(JOB, COMPLETED)
    await asyncio.wait_for(waiting, 5)
    assert "current_run" in server.calls
    assert history.log == await facts_of(server)


async def test_events_that_arrive_while_a_reader_looks_at_the_newest(server: HistoryServer, monkeypatch) -> None:
    server.add(JOB, TASK_SCHEDULED)
    reader = HistoryReader(server)
    stream = Stream(reader)
    await stream.saw("job.queued", "job.started")
    newest = server.newest

    async def late(job_id: str, run_id: str):
        event = await newest(job_id, run_id)
        server.add(JOB, SIGNALED, name="meanwhile")
        await stream.saw("job.queued", "job.started", "signal.meanwhile")
        return event

    monkeypatch.setattr(server, "newest", late)
    async with reader.open(JOB) as history:
        await asyncio.wait_for(history.sync(), 5)
        assert history.log[-1].event_id == 6


async def test_many_readers_share_events_and_get_them_in_turns(
    server: HistoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []
    apply = EventFold.apply

    def counted(self: EventFold, fact: Fact) -> JobEvent | None:
        built.append(fact.event_id)
        return apply(self, fact)

    monkeypatch.setattr(EventFold, "apply", counted)
    for number in range(3 * module.EVENTS_AT_ONCE):
        server.add(JOB, SIGNALED, name=f"number_{number}")
    server.add(JOB, COMPLETED)
    history = JobHistory(server, JOB)
    turns: list[int] = []

    async def read(reader: int) -> list[JobEvent]:
        seen: list[JobEvent] = []
        async for events in history.follow_events():
            assert len(events) <= module.EVENTS_AT_ONCE
            seen += events
            turns.append(reader)
            await asyncio.sleep(0)
        return seen

    first, *others = await asyncio.gather(*(read(reader) for reader in range(20)))
    assert len(built) == len(history.log)
    assert all(mine is event for other in others for mine, event in zip(other, first, strict=True))
    assert turns[:20] == list(range(20))
    monkeypatch.undo()
    assert first == job_events(JOB, history.log)
