"""An exit in workflow code fails its own job; the worker, and every other job in it, goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import WorkflowQueryFailedError

from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.jobs import JobState
from orchestrator.engine import contained_runner
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import TESTER, Engine, running_engine
from tests.catalogue import TEST_PLUGIN, step, workflow
from tests.workflows.exiting import ExitingWorkflow, OutsideWorkflow, SpinningWorkflow

PLUGIN = Plugin(
    name="exits",
    code_workflows=(
        CodeWorkflow(workflow("t_exits", step("go", "t_echo"), code=True), ExitingWorkflow),
        CodeWorkflow(workflow("t_exits_outside", step("go", "t_echo"), code=True), OutsideWorkflow),
        CodeWorkflow(workflow("t_spins", step("go", "t_echo"), code=True), SpinningWorkflow),
    ),
)


@pytest_asyncio.fixture(loop_scope="session")
async def exits(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN, TEST_PLUGIN, PLUGIN]) as running:
        yield running


@pytest.mark.parametrize("where", ["run", "init", "gather", "after_a_call"])
@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "Stop", "GeneratorExit"])
async def test_an_exit_fails_its_job_under_its_own_name(exits: Engine, where: str, error: str) -> None:
    beside = await exits.start("t_countdown", {"seconds": 600})

    job = await exits.run("t_exits", {"where": where, "error": error})

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.type == error
    assert "raised" in job.error.message
    await exits.parts.backend.client.get_workflow_handle(beside.job_id).signal("go")
    assert (await exits.ended(beside.job_id)).state is JobState.COMPLETED


async def test_what_an_exit_says_is_reported(exits: Engine) -> None:
    job = await exits.run("t_exits", {"where": "gather", "error": "SystemExit"})
    assert job.error is not None
    assert job.error.message == "The workflow's code raised SystemExit: ACME_TOKEN is not set"


async def test_an_exit_outside_the_sandbox_fails_its_job(exits: Engine) -> None:
    job = await exits.run("t_exits_outside", {"error": "SystemExit"})
    assert job.error is not None
    assert job.error.type == "SystemExit"


async def test_an_exit_in_a_signals_handler_fails_its_job(exits: Engine) -> None:
    started = await exits.start("t_exits", {"where": "signal", "error": "SystemExit"})
    await exits.parts.backend.client.get_workflow_handle(started.job_id).signal("go")
    job = await exits.ended(started.job_id)
    assert job.error is not None
    assert job.error.type == "SystemExit"


async def test_an_exit_in_a_query_fails_the_query(exits: Engine) -> None:
    started = await exits.start("t_exits", {"where": "query", "error": "SystemExit"})
    with pytest.raises(WorkflowQueryFailedError, match="SystemExit"):
        await exits.parts.backend.client.get_workflow_handle(started.job_id).query("looks")
    assert not (await exits.job(started.job_id)).state.terminal
    await exits.services.controller.cancel(TESTER, started.job_id, "enough")
    await exits.ended(started.job_id)


async def test_an_endless_loop_fails_its_job_and_holds_no_other(exits: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained_runner, "BLOCKED_LIMIT", 2)  # Temporal pauses for ten seconds after the third try.
    beside = await exits.start("t_countdown", {"seconds": 600})
    spinning = [await exits.start("t_spins", {"how": how}) for how in ("pass", "sleep", "condition")]

    for started in spinning:
        job = await exits.ended(started.job_id)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.type == "workflow_blocked"
        assert "2 times in a row" in job.error.message
    await exits.parts.backend.client.get_workflow_handle(beside.job_id).signal("go")
    assert (await exits.ended(beside.job_id)).state is JobState.COMPLETED


async def test_a_worker_can_end_after_exits(temporal_address: str, tmp_path: Path) -> None:
    """It waits until every run is out of its cache."""
    async with asyncio.timeout(60):
        async with running_engine(temporal_address, tmp_path, [BUILT_IN, TEST_PLUGIN, PLUGIN]) as engine:
            for where in ("gather", "after_a_call", "run"):
                await engine.run("t_exits", {"where": where, "error": "SystemExit"})
