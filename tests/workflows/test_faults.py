"""Status when the workflow's own code breaks, history grows long, or results are heavy."""

import os
from pathlib import Path

from temporalio import workflow
from temporalio.worker import Worker

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.facts import RunContinued
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.catalogue import TEST_PLUGIN
from tests.replay.mutated import MutatedPlanWorkflow


@workflow.defn
class OtherWorkflow:
    """The one class of a worker that lacks every other."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""


async def test_code_that_no_longer_fits_is_reported_as_stuck_and_repaired_by_a_release_that_does(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    queue = f"test-stuck-{tmp_path.name}"
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, task_queue=queue) as engine:
        started = await engine.start("t_approval", {})
        await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    async with (
        running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue) as engine,
        Worker(engine.parts.backend.client, task_queue=queue, workflows=[MutatedPlanWorkflow]),
    ):
        await engine.services.controller.approve(TESTER, started.job_id, "b")
        job = await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.STUCK)
        assert job.state is JobState.RUNNING
        assert "non_deterministic" in job.reason.message
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, task_queue=queue) as engine:
        assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


async def test_a_stuck_job_is_found_in_temporal_without_knowing_its_id(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    queue = f"test-found-{tmp_path.name}"
    async with (
        running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue) as engine,
        Worker(engine.parts.backend.client, task_queue=queue, workflows=[OtherWorkflow]),
    ):
        started = await engine.start("t_countdown", {})  # No worker has its class.
        client = engine.parts.backend.client

        async def found() -> list[str]:
            return [run.id async for run in client.list_workflows("TemporalReportedProblems IS NOT NULL")]

        await eventually(found, lambda ids: started.job_id in ids)
        job = await engine.job(started.job_id)
        assert job.reason is not None
        assert job.reason.code is ReasonCode.STUCK


async def test_a_job_stays_one_job_over_continued_runs(tmp_path: Path) -> None:
    binary = await locate(os.environ)
    settings = {"limit.historyCount.suggestContinueAsNew": 25}
    async with (
        DevServer(binary, tmp_path, port=0, in_memory=True, settings=settings) as server,
        running_engine(server.address, tmp_path, [TEST_PLUGIN]) as engine,
    ):
        job = await engine.run("t_long", {})
        assert (job.state, job.progress, len(job.calls)) == (JobState.COMPLETED, 100, 12)
        facts, _ = await engine.parts.backend.gateway.read(job.id)
        assert [fact for fact in facts if isinstance(fact, RunContinued)]
        events = await engine.services.follower.past(TESTER, job.id, None)
        names = [event.name for event in events]
        assert names.count("job.queued") == 1
        assert names.count("agent.completed") == 12
        assert "job.continued" in names
        middle = events[len(events) // 2]
        assert await engine.services.follower.past(TESTER, job.id, middle.id) == events[len(events) // 2 + 1 :]


async def test_eighteen_agents_with_20_kb_each_keep_their_history_under_3_mb(engine: Engine) -> None:
    job = await engine.run("t_eighteen", {"kilobytes": 20})
    assert job.state is JobState.COMPLETED
    described = await engine.parts.backend.client.get_workflow_handle(job.id).describe()
    assert 18 * 20 * 1024 < described.raw_info.history_size_bytes < 3 * 1024 * 1024
    assert job.result is not None
    assert len(job.result["deliverables"]) == 36
