"""Writes in the background: grouped in one transaction, and each by itself when the group fails."""

import asyncio

import pytest
from sqlalchemy import Connection, text

from orchestrator.domain.errors import Unavailable
from orchestrator.storage import grouped_writes
from orchestrator.storage.database import Database
from orchestrator.storage.grouped_writes import GroupedWrites, Write


class Recorder:
    """Makes writes of jobs, and records which were made, how many in each transaction, and which alone."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[str] = []
        self.groups: list[int] = []
        self.alone: list[str] = []
        self.away = False
        real = database.transaction

        async def transaction(unit, **more):
            if self.away:
                raise Unavailable("The index does not answer.")
            before = len(self.written)
            result = await real(unit, **more)
            self.groups.append(len(self.written) - before)
            return result

        monkeypatch.setattr(database, "transaction", transaction)

    def write(self, job_id: str, *, fails: bool = False) -> Write:
        def unit(connection: Connection) -> None:
            connection.execute(text("SELECT 1"))
            if fails:
                raise ValueError("this one cannot be written")
            self.written.append(job_id)

        async def alone() -> None:
            self.alone.append(job_id)

        return Write(job_id, unit, alone)


@pytest.fixture
def recorder(database: Database, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(database, monkeypatch)


async def test_writes_that_wait_together_are_one_transaction(database: Database, recorder: Recorder):
    writes = GroupedWrites(database)
    await asyncio.gather(*(writes.add(recorder.write(f"wf_job_{number % 3}")) for number in range(30)))
    await writes.settle(5)
    assert recorder.groups == [30]
    await writes.written("wf_job_1")
    assert recorder.written == sorted(recorder.written)
    assert recorder.alone == []


async def test_writes_wait_a_moment_for_others(database: Database, recorder: Recorder, monkeypatch):
    monkeypatch.setattr(grouped_writes, "_PAUSE", 3600)
    writes = GroupedWrites(database)
    for _ in range(3):
        await writes.add(recorder.write("wf_job_a"))
        await asyncio.sleep(0)
    assert recorder.groups == []
    await writes.written("wf_job_a")
    assert recorder.groups == [3]
    for number in range(100):  # a group is full
        await writes.add(recorder.write(f"wf_job_{number}"))
    while len(recorder.groups) < 2:  # noqa: ASYNC110 - no event follows the write of a group
        await asyncio.sleep(0.01)
    assert recorder.groups == [3, 100]


async def test_a_job_is_written_once_its_reader_has_waited(database: Database, recorder: Recorder):
    writes = GroupedWrites(database)
    for number in range(5):
        await writes.add(recorder.write("wf_job_a"))
        await writes.written("wf_job_a")
        assert len(recorder.written) == number + 1
    await writes.written("wf_job_never_seen")


async def test_a_group_that_fails_is_written_one_by_one(database: Database, recorder: Recorder):
    writes = GroupedWrites(database)
    for number in range(4):
        await writes.add(recorder.write(f"wf_job_{number}", fails=number == 2))
    await writes.settle(5)
    assert sorted(recorder.alone) == [f"wf_job_{number}" for number in range(4)]
    await writes.written("wf_job_2")


async def test_a_full_queue_lets_its_callers_wait(database: Database, recorder: Recorder, monkeypatch):
    monkeypatch.setattr(grouped_writes, "_MAX_QUEUED", 2)
    recorder.away = True
    writes = GroupedWrites(database)
    for number in range(3):
        await writes.add(recorder.write(f"wf_job_{number}"))
    assert recorder.alone == ["wf_job_2"]
    await writes.settle(5)
    assert recorder.alone == ["wf_job_2", "wf_job_0", "wf_job_1"]
