"""Large values travel by reference: stored once beside the job, whole wherever they are read (decision 0013)."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.converter import ActivitySerializationContext

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.jobs import JobState
from orchestrator.domain.values import METADATA, text_of
from orchestrator.engine import values
from orchestrator.engine.plugin import codec_of
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.storage.tables import artifacts, jobs
from orchestrator.storage.values import CachedValues, ValueRepository
from orchestrator.testing import TESTER, Engine, assert_replays, running_engine
from tests.catalogue import TEST_PLUGIN

MEBIBYTE = 1024 * 1024
_TASK_FAILED: Final = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


def size(history: WorkflowHistory) -> int:
    return sum(event.ByteSize() for event in history.events)


async def bodies(engine: Engine, job_id: str) -> list[int]:
    wanted = select(artifacts.c.body).where(artifacts.c.job_id == job_id)
    found = await engine.parts.backend.database.autocommit(lambda c: list(c.execute(wanted).scalars()))
    return [len(text_of(body)) for body in found]


class Away:
    """The store of values behind its cache: it fails as often as configured, and counts requests."""

    def __init__(self, engine: Engine, *, puts: int = 0, gets: int = 0) -> None:
        self._store = ValueRepository(engine.parts.backend.database)
        self.puts, self.gets = puts, gets
        self.read = 0
        engine.parts.backend.values._store = self

    async def put(self, job_id: str, bodies: Any) -> None:
        self.puts -= 1
        if self.puts >= 0:
            raise Unavailable("the store is away")
        await self._store.put(job_id, bodies)

    async def get(self, job_id: str, keys: Any) -> dict[str, str]:
        self.gets -= 1
        self.read += 1
        if self.gets >= 0:
            raise Unavailable("the store is away")
        return await self._store.get(job_id, keys)

    async def forget(self, job_id: str) -> None:
        await self._store.forget(job_id)


def forget_cache(engine: Engine) -> None:
    cache: CachedValues = engine.parts.backend.values
    cache._texts.clear()
    cache._bytes = 0


async def test_an_input_is_stored_once_for_all_calls_and_read_whole(engine: Engine) -> None:
    text = "t" * (4 * MEBIBYTE - 100)
    job = await engine.run("t_three", {"text": text})
    assert (job.state, job.input) == (JobState.COMPLETED, {"text": text})
    assert size(await engine.history(job.id)) < 300_000
    stored = await bodies(engine, job.id)
    assert (stored.count(len(text) + 2), len(stored)) == (1, 4)  # Each of the three answers echoes it differently.
    record = await engine.parts.backend.jobs.get(job.id)
    assert record is not None
    assert len(record.job.model_dump_json()) < 70_000


async def test_the_history_of_eighteen_large_answers_stays_small(engine: Engine) -> None:
    job = await engine.run("t_eighteen", {"text": "t" * 2 * MEBIBYTE, "kilobytes": 1024})
    assert job.state is JobState.COMPLETED
    assert size(await engine.history(job.id)) < 3_000_000
    output = await engine.services.outputs.get(TESTER, job.id)
    assert sum(len(item["content"]) == MEBIBYTE for item in output["deliverables"]) == 36
    assert len(await bodies(engine, job.id)) < 40
    stored = select(jobs.c.job_input, jobs.c.snapshot, jobs.c.result, jobs.c.events).where(jobs.c.id == job.id)
    row = await engine.parts.backend.database.autocommit(lambda connection: connection.execute(stored).one())
    assert sum(len(json.dumps(column)) for column in row) < 100_000


@pytest.mark.parametrize(
    ("calls", "kilobytes", "context"), [(60, 50, 0), (40, 1, 60), (100, 60, 60)], ids=["results", "contexts", "both"]
)
async def test_many_calls_below_the_limit_fit_one_message(
    engine: Engine, calls: int, kilobytes: int, context: int
) -> None:
    job = await engine.run("t_gather", {"calls": calls, "kilobytes": kilobytes, "context": context})
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    output = await engine.services.outputs.get(TESTER, job.id)
    assert [len(item["content"]) for item in output["deliverables"]] == [kilobytes * 1024] * calls


async def test_state_handed_to_the_next_run_is_referenced(engine: Engine) -> None:
    text = "h" * 3 * MEBIBYTE
    job = await engine.run("t_hand_on", {"text": text})
    assert job.result is not None
    assert job.result["output"] == text
    assert job.input == {"text": text}
    assert await bodies(engine, job.id) == [len(text) + 2]


async def test_a_history_with_stored_values_replays_where_they_are(engine: Engine) -> None:
    job = await engine.run("t_three", {"text": "t" * 100_000})
    histories = [await engine.history(job.id)]
    await assert_replays(histories, [TEST_PLUGIN], values=engine.values)
    with pytest.raises(AssertionError, match="no value store"):
        await assert_replays(histories, [TEST_PLUGIN])


async def test_a_caller_cannot_name_a_stored_value(engine: Engine) -> None:
    secret = "s" * 100_000
    other = await engine.run("t_echo", {"secret": secret})
    record = await engine.parts.backend.jobs.get(other.id)
    assert record is not None
    reference = record.stored[0].model_dump(mode="json")
    forged = {"stored": [reference], METADATA: [reference], "secret": reference, "filling": "f" * 100_000}
    job = await engine.run("t_echo", forged)
    assert job.input == forged
    output = await engine.services.outputs.get(TESTER, job.id)
    assert "sssss" not in json.dumps(output)


async def test_lists_load_no_bodies(engine: Engine) -> None:
    await engine.run("t_echo", {"text": "t" * MEBIBYTE})
    forget_cache(engine)
    store = Away(engine)
    page = await engine.services.reader.list(TESTER, JobFilter())
    assert (page.total, store.read) == (1, 0)


async def test_a_paid_answer_waits_for_the_store(engine: Engine) -> None:
    Away(engine, puts=2)
    job = await engine.run("t_big", {"kilobytes": 200})
    assert job.state is JobState.COMPLETED
    assert [len(call.attempts) for call in job.calls] == [1, 1, 1]


@pytest.mark.parametrize(("kilobytes", "puts"), [(200, 8), (1500, 20)], ids=["carried whole", "waits"])
async def test_an_answer_outlives_an_outage_of_the_store_without_a_second_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kilobytes: int, puts: int
) -> None:
    monkeypatch.setattr(values, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(values, "_KEEP_PAUSE", 0.01)
    Away(engine, puts=puts)
    job = await engine.run("t_big", {"kilobytes": kilobytes})
    assert job.state is JobState.COMPLETED
    assert [len(call.attempts) for call in job.calls] == [1, 1, 1]
    output = await engine.services.outputs.of_job(job)
    assert [len(file["content"]) for file in output["deliverables"] if file["path"] == "a.txt"] == [kilobytes * 1024]


async def test_a_worker_that_cannot_read_the_input_tries_again(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        started = await engine.start("t_echo", {"text": "t" * MEBIBYTE})
        forget_cache(engine)
        store = Away(engine, gets=1)
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(started.job_id)
        assert store.gets < 0
        failed = [event for event in (await engine.history(job.id)).events if event.event_type == _TASK_FAILED]
        assert (job.state, len(failed), len(job.input["text"])) == (JobState.COMPLETED, 1, MEBIBYTE)


async def test_a_call_that_cannot_read_its_input_waits(engine: Engine) -> None:
    codec = codec_of(engine.parts.backend.client)
    about = {"activity_id": None, "activity_type": None, "activity_task_queue": None, "workflow_type": None}
    call = ActivitySerializationContext(namespace="default", workflow_id="job_1", is_local=False, **about)
    whole = Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"x" * 100_000 + b'"')
    [sent] = await codec.with_context(call).encode([whole])
    forget_cache(engine)
    store = Away(engine, gets=1)
    assert await codec.with_context(call).decode([sent]) == [whole]
    assert store.read == 2


async def test_a_start_is_refused_while_the_store_is_away(engine: Engine) -> None:
    Away(engine, puts=10)
    with pytest.raises(Unavailable):
        await engine.start("t_echo", {"text": "t" * MEBIBYTE})
    assert (await engine.services.reader.list(TESTER, JobFilter())).total == 0


async def test_a_job_is_read_while_the_store_is_away(engine: Engine) -> None:
    job = await engine.run("t_echo", {"text": "t" * MEBIBYTE})
    forget_cache(engine)
    Away(engine, gets=1)
    seen = await engine.job(job.id)
    assert seen.state is JobState.COMPLETED
    assert seen.input["text"].rstrip("…") == "t" * 80
    assert await engine.job(job.id) == job


async def test_a_repair_starts_a_job_with_its_whole_input_or_drops_it(engine: Engine) -> None:
    backend = engine.parts.backend
    first = await engine.run("t_echo", {"text": "t" * MEBIBYTE})
    row = await backend.jobs.get(first.id)
    assert row is not None
    for job_id, whole in (("job_whole", True), ("job_half", False)):
        job = row.job.model_copy(update={"job_id": job_id, "input": first.input})
        await backend.jobs.accept(job, request_hash="x", at=first.created_at)
        if not whole:  # the process died after it had written the row
            await backend.values.forget(job_id)
    report = await engine.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    assert (report.started, report.dropped) == (1, 1)
    assert (await engine.ended("job_whole")).input == first.input
    with pytest.raises(NotFound):
        await engine.job("job_half")


async def test_a_dropped_job_leaves_no_values(engine: Engine) -> None:
    backend = engine.parts.backend
    row = await backend.jobs.get((await engine.run("t_echo", {})).id)
    assert row is not None
    job = row.job.model_copy(update={"job_id": "job_dropped", "input": {"text": "t" * MEBIBYTE}})
    await backend.jobs.accept(job, request_hash="x", at=row.created_at)
    assert len(await bodies(engine, "job_dropped")) == 1
    assert await backend.jobs.drop("job_dropped")
    assert await bodies(engine, "job_dropped") == []


async def test_a_repeated_start_is_the_same_job(engine: Engine) -> None:
    body = {"text": "t" * MEBIBYTE}
    first = await engine.start("t_echo", body, idempotency_key="once")
    again = await engine.start("t_echo", body, idempotency_key="once")
    assert (again.job_id, again.replayed) == (first.job_id, True)


CATALOGUE = build_catalogue([BUILT_IN]).workflows


@pytest.mark.parametrize("workflow_id", sorted(CATALOGUE))
async def test_every_workflow_of_the_catalogue_takes_the_largest_input(engine: Engine, workflow_id: str) -> None:
    schema = CATALOGUE[workflow_id].input_schema
    body = {name: _least(schema["properties"][name]) for name in schema["required"]}
    body["description"] = "Build a calculator. " * 195_000
    started = await engine.start(workflow_id, body)
    job = await engine.eventually(started.job_id, lambda job: job.state.terminal or bool(job.waiting_steps))
    if job.waiting_steps:
        await engine.approve(job.id)
        job = await engine.ended(job.id)
    assert (job.state, job.error, job.input) == (JobState.COMPLETED, None, body)
    assert size(await engine.history(job.id)) < 600_000


def _least(schema: dict[str, Any]) -> Any:
    """A value of a catalogue's own required field, as short as can be."""
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": "x", "array": ["x"], "object": {}, "integer": 1, "number": 1, "boolean": False}[schema["type"]]
