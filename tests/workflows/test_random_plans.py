"""Random plans on a real server make the calls of a second, sequential program, and their status says so."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from pydantic import BaseModel, ConfigDict
from temporalio.worker import Replayer

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import AgentError, WrongState
from orchestrator.domain.jobs import CallStatus, JobState
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.testing import TESTER, Engine
from tests.workflows.plan_model import Model, flag_of, names_of, random_plan
from workflows.plan import PlanWorkflow

SEEDS = range(24)
NAMES = ["x", "y"]
PLANS = {seed: random_plan(seed) for seed in SEEDS}
CALLS: Counter[str] = Counter()


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


class Oracle(AgentOutput):
    flag: bool
    names: list[str]


async def oracle(call: FunctionCall) -> Oracle:
    CALLS[call.effect_id] += 1
    place, _, agent = call.effect_id.partition("/")[2].rpartition("/")
    if agent == "oracle" and place in PLANS[call.input["seed"]][1]:
        raise AgentError("refused", kind="provider_rejected", retryable=False)
    return Oracle(summary="s", output="o", flag=flag_of(place), names=names_of(place))


def _agent(id: str) -> Agent:
    values = {"name": id, "squad": "testing", "description": id, "capabilities": ("t",), "source": "tests"}
    return Agent(id=id, input_model=Free, output_model=Oracle, function=oracle, **values)


@pytest.fixture(scope="module")
def orchestrator_plugins() -> list[Plugin]:
    workflows = tuple(
        WorkflowDefinition(id=f"random_{seed}", name="r", description="r", plan=plan, source="tests")
        for seed, (plan, _) in PLANS.items()
    )
    return [Plugin("random", agents=(_agent("oracle"), _agent("spare")), workflows=workflows)]


async def _check(engine: Engine, seed: int) -> None:
    plan, fails = PLANS[seed]
    model = Model(fails, NAMES).run(plan)
    started = await engine.start(f"random_{seed}", {"names": NAMES, "seed": seed})
    if seed % 3 == 0:
        with suppress(WrongState):  # A job of a few calls may have ended before.
            await engine.services.controller.pause(TESTER, started.job_id)
            await engine.eventually(started.job_id, lambda job: job.state.terminal or job.calls_running == 0)
            await engine.services.controller.resume(TESTER, started.job_id)
    job = await engine.ended(started.job_id)
    made = {key.removeprefix(f"{job.id}/"): count for key, count in CALLS.items() if key.startswith(f"{job.id}/")}
    assert made == dict.fromkeys(model.made, 1), (seed, plan)
    succeeded = len(model.made) > sum(
        place.rsplit("/", 1)[0] in fails and place.endswith("oracle") for place in model.made
    )
    assert job.state is (JobState.COMPLETED if succeeded or not model.failures else JobState.FAILED), (seed, job.error)
    ended = {CallId(call.step, call.agent, call.number, call.key).effect_id("j")[2:]: call.status for call in job.calls}
    assert {call for call, status in ended.items() if status in (CallStatus.COMPLETED, CallStatus.FAILED)} == set(made)
    assert all(status.ended for status in ended.values())
    progress = [event.progress for event in await engine.services.reader.events(job.id)]
    assert progress == sorted(progress)
    if job.result is not None:
        assert (job.result["status"] == "partial") == (model.failures > 0), seed
    await Replayer(workflows=[PlanWorkflow], plugins=[OrchestratorPlugin()]).replay_workflow(
        await engine.history(job.id)
    )


async def test_random_plans_make_the_calls_of_the_model(engine: Engine) -> None:
    slots = asyncio.Semaphore(8)

    async def check(seed: int) -> None:
        async with slots:
            await _check(engine, seed)

    await asyncio.gather(*(check(seed) for seed in SEEDS))
