"""Agents on their framework: who runs an execution, what becomes of it when a worker or a program dies."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.jobs import AttemptStatus, CallStatus, Job, JobState, ReasonCode
from orchestrator.domain.names import framework_queue
from orchestrator.domain.plans import Timeouts
from orchestrator.domain.user_agents import Framework
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.frameworks.langgraph import ADAPTER
from orchestrator.frameworks.process import ProcessAdapter
from orchestrator.services.user_agents.agents import AgentRequest
from orchestrator.services.user_agents.executions import ExecutionRequest
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.catalogue import TEST_PLUGIN, step, workflow
from tests.fakes.frameworks import SEEN
from tests.ledger import ledger

ROOT = Path(__file__).parents[2]


async def execute(engine: Engine, framework: Framework, configuration: dict[str, Any]) -> Job:
    """Start an execution of a new agent."""
    request = AgentRequest("Ada", framework, "Explains engines", configuration, tags=[], active=True)
    made = await engine.services.user_agents.create(TESTER, request)
    wanted = ExecutionRequest(made.agent.id, {"question": "How does a difference engine work?"}, {})
    started = await engine.services.executions.start(TESTER, wanted)
    return await engine.job(started.job_id)


@asynccontextmanager
async def offering(engine: Engine, adapter: Any) -> AsyncIterator[None]:
    """A worker of a framework, in this process, and the API's knowledge of it."""
    async with engine.parts.workers.for_framework(adapter):
        await eventually(lambda: engine.parts.backend.gateway.has_framework_workers(adapter.name), bool)
        yield


async def queues(engine: Engine, job_id: str) -> list[str]:
    """The task queues on which a job's calls were put."""
    events = (await engine.history(job_id)).events
    return [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


@ledger("O-018")
async def test_an_execution_runs_on_its_framework_when_a_worker_offers_it(engine: Engine) -> None:
    async with offering(engine, ADAPTER):
        job = await engine.ended((await execute(engine, Framework.LANGGRAPH, {"tone": "plain"})).id)
    assert job.state is JobState.COMPLETED
    assert job.result is not None
    assert job.result["metadata"]["executed_by"] == "langgraph"
    assert [one["node"] for one in job.result["metadata"]["data"]["nodes"]] == ["plan", "act", "review"]
    assert "difference engine" in job.result["output"]
    assert (job.calls[0].usage.total_tokens > 0, job.calls[0].model) == (True, "offline/drafter")
    assert await queues(engine, job.id) == [framework_queue(engine.parts.settings.task_queue, "langgraph")]


@ledger("O-018")
async def test_an_execution_runs_natively_when_no_worker_offers_its_framework(engine: Engine) -> None:
    job = await engine.ended((await execute(engine, Framework.CREWAI, {})).id)
    assert (job.state, job.labels["framework"], job.labels["executed_by"]) == (JobState.COMPLETED, "crewai", "native")
    assert await queues(engine, job.id) == [engine.parts.settings.task_queue]


@ledger("O-018")
async def test_an_execution_fails_at_once_when_it_allows_no_fallback(engine: Engine) -> None:
    job = await engine.ended((await execute(engine, Framework.CREWAI, {"fallback": "none"})).id)
    assert (job.state, len(job.calls[0].attempts)) == (JobState.FAILED, 1)
    assert job.error is not None
    assert job.error.type == "framework_unavailable"


def program(folder: Path, body: str) -> ProcessAdapter:
    path = folder / "crew.py"
    path.write_text(f"import json, os, sys, time\ntask = json.loads(sys.stdin.readline())['task']\n{body}\n")
    return ProcessAdapter("crewai", [sys.executable, "-u", str(path)])


async def test_a_program_killed_in_the_middle_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    body = (
        "if task['attempt'] == 1: os.kill(os.getpid(), 9)\n"
        "print(json.dumps({'result': {'output': 'second ' + task['agent']}}))"
    )
    async with offering(engine, program(tmp_path, body)):
        job = await engine.ended((await execute(engine, Framework.CREWAI, {})).id)
    assert job.state is JobState.COMPLETED
    assert job.result is not None
    assert (job.result["output"], job.result["metadata"]["executed_by"]) == ("second Ada", "crewai")
    assert [one.status for one in job.calls[0].attempts] == [AttemptStatus.FAILED, AttemptStatus.COMPLETED]
    assert job.calls[0].attempts[0].error is not None
    assert job.calls[0].attempts[0].error.type == "framework_failed"


async def test_cancelling_an_execution_ends_its_program(engine: Engine, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with offering(engine, program(tmp_path, f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")):
        started = await execute(engine, Framework.CREWAI, {})

        async def running() -> str:
            return pid.read_text() if pid.exists() else ""

        number = await eventually(running, bool)
        await engine.services.executions.cancel(TESTER, started.id)
        job = await engine.ended(started.id)
    assert job.state is JobState.CANCELLED
    assert not Path(f"/proc/{number}").exists()


class WorkerProcess:
    """`orchestrator worker --framework scribe`, as its users run it."""

    def __init__(self, engine: Engine, address: str, folder: Path) -> None:
        self.seen = folder / "seen.txt"
        self.seen.touch()
        self.log = folder / "scribe.log"
        self.arguments = ("--framework", "scribe", "--adapter", "tests.fakes.frameworks:SCRIBE")
        self.folder = folder
        self.environment = {
            **os.environ,
            "TEMPORAL_ADDRESS": address,
            "ORCHESTRATOR_TASK_QUEUE": engine.parts.settings.task_queue,
            "ORCHESTRATOR_PLUGINS": "tests.catalogue",
            "PYTHONPATH": str(ROOT),
            SEEN: str(self.seen),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        with self.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "orchestrator", "worker", "--data-dir", str(self.folder), *self.arguments),
                stdout=output,
                stderr=output,
                env=self.environment,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def said(self) -> str:
        return "\n" + self.log.read_text()

    async def attempts(self) -> list[str]:
        return [line.split()[0] for line in self.seen.read_text().splitlines()]


@ledger("O-018")
async def test_a_worker_of_a_framework_killed_in_the_middle_is_reported_and_the_next_goes_on(tmp_path: Path) -> None:
    queue = "test-scribe"
    calls = step("a", "t_echo", task_queue=framework_queue(queue, "scribe"), timeouts=Timeouts(heartbeat=3))
    plugin = Plugin(name="scribe", workflows=(workflow("t_scribe", calls),))
    server = DevServer(await locate(os.environ), tmp_path, port=0, in_memory=True)
    async with (
        server,
        running_engine(server.address, tmp_path, [TEST_PLUGIN, plugin], task_queue=queue) as engine,
    ):
        started = await engine.start("t_scribe", {"topic": "tea"})
        waiting = await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.NO_WORKER)
        assert waiting.reason is not None
        assert "test-scribe-agents-scribe" in waiting.reason.message
        worker = WorkerProcess(engine, server.address, tmp_path)
        async with worker.running() as process:
            await eventually(worker.attempts, lambda seen: seen == ["1"], 60)
            detail = await engine.job(started.job_id)
            assert detail.calls[0].status is CallStatus.RUNNING
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.NO_WORKER, 60)
        async with worker.running() as process:
            job = await engine.ended(started.job_id)
            await eventually(worker.said, lambda said: f"\nready {process.pid}@" in said)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, worker.log.read_text()
    assert job.state is JobState.COMPLETED
    assert job.calls[0].attempts[0].status is AttemptStatus.TIMED_OUT
    assert job.calls[0].attempts[-1].status is AttemptStatus.COMPLETED
    assert job.result is not None
    assert f"written by {process.pid}" in str(job.result["deliverables"])
