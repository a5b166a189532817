"""Activities of plugins: their code runs beside the worker's event loop, and may beat, exit and be plain functions."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import PendingActivityState

from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.jobs import JobState
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import Engine, eventually, running_engine
from tests.catalogue import TEST_PLUGIN, step, workflow
from tests.workflows.exiting import ActivityWorkflow


@activity.defn(name="t_where")
async def where(_: str) -> int:
    activity.heartbeat("on my way")
    await asyncio.sleep(0)
    return threading.get_ident()


@activity.defn(name="t_where_plainly")
def where_plainly(_: str) -> int:
    activity.heartbeat("on my way")
    return threading.get_ident()


@activity.defn(name="t_leave")
async def leave(_: str) -> None:
    async def gone() -> None:
        raise SystemExit(3)

    await asyncio.gather(asyncio.sleep(5), gone())


@activity.defn(name="t_later")
async def later(_: str) -> None:
    activity.raise_complete_async()


PLUGIN = Plugin(
    name="activities",
    code_workflows=(CodeWorkflow(workflow("t_activity", step("go", "t_echo"), code=True), ActivityWorkflow),),
    activities=(where, where_plainly, leave, later),
)


@pytest_asyncio.fixture(loop_scope="session")
async def running(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN, TEST_PLUGIN, PLUGIN]) as engine:
        yield engine


async def test_it_runs_in_a_thread_of_its_own(running: Engine) -> None:
    for name in ("t_where", "t_where_plainly"):
        job = await running.run("t_activity", {"activity": name})
        assert job.state is JobState.COMPLETED, job.error
        assert job.result is not None
        assert job.result["output"] != str(threading.get_ident())


async def test_an_exit_fails_the_activity_and_not_the_worker(running: Engine) -> None:
    job = await running.run("t_activity", {"activity": "t_leave"})
    assert job.error is not None
    assert job.error.message == "SystemExit"
    assert (await running.run("t_activity", {"activity": "t_where"})).state is JobState.COMPLETED


async def test_it_may_complete_later(running: Engine) -> None:
    started = await running.start("t_activity", {"activity": "t_later"})
    client = running.parts.backend.client

    async def begun() -> list[PendingActivityState.ValueType]:
        described = await client.get_workflow_handle(started.job_id).describe()
        return [one.state for one in described.raw_description.pending_activities]

    await eventually(begun, lambda states: states == [PendingActivityState.PENDING_ACTIVITY_STATE_STARTED])
    handle = client.get_async_activity_handle(workflow_id=started.job_id, run_id=None, activity_id="the_activity")
    await handle.complete(42)
    job = await running.ended(started.job_id)
    assert job.result is not None
    assert job.result["output"] == "42"
