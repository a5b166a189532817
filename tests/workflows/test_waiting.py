"""Waiting for a job: woken by its own news and by its workers, answered at once where there is nothing to wait for."""

import asyncio
from contextlib import suppress
from pathlib import Path

from temporalio.service import RPCError, RPCStatusCode

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.guarded_service import ERRORS, GuardedService, is_outage
from orchestrator.network.circuit_breaker import CircuitBreaker
from orchestrator.services.jobs.follower import Until
from orchestrator.services.jobs.start import StartRequest
from orchestrator.storage.jobs import JobRepository
from orchestrator.testing import TESTER, Engine, eventually, running_engine


async def test_a_wait_for_attention_wakes_when_a_step_asks_and_answers_at_once_when_it_has(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    follower = engine.services.follower
    job = await follower.until(TESTER, started.job_id, 60, Until.ATTENTION)
    assert (job.reason.code, job.waiting_steps) == (ReasonCode.WAITING_FOR_APPROVAL, ["b"])
    again = await follower.until(TESTER, started.job_id, 600, Until.ATTENTION)
    assert again.reason.code is ReasonCode.WAITING_FOR_APPROVAL
    change = asyncio.create_task(follower.until(TESTER, started.job_id, 600, Until.CHANGE))
    end = asyncio.create_task(follower.until(TESTER, started.job_id, 600, Until.END))
    await asyncio.sleep(0.5)
    assert not change.done()
    await engine.services.controller.pause(TESTER, started.job_id)
    assert (await change).reason.code is ReasonCode.PAUSED
    await engine.services.controller.resume(TESTER, started.job_id)
    await engine.services.controller.approve(TESTER, started.job_id, "b")
    assert (await end).state is JobState.COMPLETED


async def test_a_wait_wakes_when_the_last_worker_leaves_and_when_one_comes(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], monkeypatch
) -> None:
    # The end of the stopped worker's attempt is no event: only a second look sees it.
    monkeypatch.setattr("orchestrator.services.jobs.follower._REREAD_SECONDS", 1.0)
    queue = f"test-waiting-{tmp_path.name}"
    async with running_engine(
        temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue
    ) as engine:
        async with engine.parts.workers.for_jobs():
            started = await engine.start("t_slow", {"seconds": 60})
            await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.RUNNING)
            left = asyncio.create_task(engine.services.follower.until(TESTER, started.job_id, 60))
            await asyncio.sleep(0.2)
        assert (await left).reason.code is ReasonCode.NO_WORKER
        came = asyncio.create_task(engine.services.follower.until(TESTER, started.job_id, 60))
        await asyncio.sleep(0.2)
        async with engine.parts.workers.for_jobs():
            assert (await came).reason.code is not ReasonCode.NO_WORKER
            await engine.services.controller.cancel(TESTER, started.job_id, "")


async def test_a_server_that_has_just_come_back_is_not_believed_to_have_no_worker(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    there, now = False, 0.0

    async def probe() -> None:
        if not there:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        started = await engine.start("t_three", {})
        service = engine.parts.backend.client.service_client
        assert isinstance(service, GuardedService)
        service.circuit = circuit = CircuitBreaker(
            "temporal", probe, ERRORS, is_outage, doubt=0.0, pause=0.001, clock=lambda: now
        )

        async def away() -> bool:
            with suppress(Unavailable):  # a probe that fails takes Temporal away, in every caller
                await engine.job(started.job_id)
            return circuit.away

        await eventually(away, bool)
        there = True
        await eventually(away, lambda is_away: not is_away)
        assert (await engine.job(started.job_id)).reason.code is ReasonCode.QUEUED
        now = 10.0
        assert (await engine.job(started.job_id)).reason.code is ReasonCode.NO_WORKER


async def test_a_key_used_again_is_answered_from_the_index_while_temporal_is_away(engine: Engine, monkeypatch) -> None:
    request = StartRequest(kind=JobKind.WORKFLOW, target="t_three", input={}, idempotency_key="once")
    starter, follower = engine.services.starter, engine.services.follower
    first = await starter.start(TESTER, request)
    assert (await follower.until_end(TESTER, first.job_id, 60, just_started=first.just_now)).state is JobState.COMPLETED
    await engine.services.reader.settle()

    def away(*_: object, **__: object) -> None:
        raise AssertionError("Temporal was asked")

    for name in ("read", "job", "wait_for_end", "start", "watch"):
        monkeypatch.setattr(TemporalGateway, name, away)
    again = await starter.start(TESTER, request)
    assert again.replayed
    assert (
        await follower.until_end(TESTER, again.job_id, 600, just_started=again.just_now)
    ).state is JobState.COMPLETED


async def test_waiters_on_idle_jobs_read_nothing(engine: Engine, monkeypatch) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    reads: list[str] = []
    read, snapshot = TemporalGateway.job, JobRepository.snapshot

    async def counted(self: TemporalGateway, job_id: str):
        reads.append(job_id)
        return await read(self, job_id)

    async def looked(self: JobRepository, job_id: str):
        reads.append(job_id)
        return await snapshot(self, job_id)

    monkeypatch.setattr(TemporalGateway, "job", counted)
    monkeypatch.setattr(JobRepository, "snapshot", looked)
    waiters = [asyncio.create_task(engine.services.follower.until(TESTER, started.job_id, 600)) for _ in range(20)]
    while len(reads) < 40:  # noqa: ASYNC110 - each looks in Temporal and in the index as it begins
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    beginnings = len(reads)
    await asyncio.sleep(2)
    assert len(reads) == beginnings <= 120
    await engine.services.controller.approve(TESTER, started.job_id, "b")
    assert not [job for job in await asyncio.gather(*waiters) if job.waiting_steps]


async def test_a_wait_for_a_job_that_temporal_does_not_know_yet_looks_now_and_then(engine: Engine, monkeypatch) -> None:
    job = await engine.services.starter.composed(
        StartRequest(kind=JobKind.WORKFLOW, target="t_three", input={}), owner=TESTER.id, job_id="wf_job_not_yet"
    )
    now = engine.services.reader.clock()
    await engine.parts.backend.jobs.accept(job, request_hash="x", at=now)
    reads: list[str] = []
    read = TemporalGateway.job

    async def counted(self: TemporalGateway, job_id: str):
        reads.append(job_id)
        return await read(self, job_id)

    monkeypatch.setattr(TemporalGateway, "job", counted)
    waited = await engine.services.follower.until(TESTER, job.job_id, 2.5)
    assert waited.reason.code is ReasonCode.QUEUED
    assert len(reads) <= 5
