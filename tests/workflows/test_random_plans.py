"""Random plans on a real server make the calls of a second, sequential program, and their status says so.

Some are paused, some cancelled, some run other workflows as children. The model server counts every request.
"""

import asyncio
import json
import os
import random
import re
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import WrongState
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.plans import Plan, WorkflowDefinition
from orchestrator.projection.job import project
from orchestrator.testing import TESTER, Engine, ModelRequest, assert_replays, eventually, fails
from orchestrator.testing.scripts import Reply
from tests.workflows.plan_model import CHILD, Model, child_plan, flag_of, names_of, place_of, random_plan

# A longer exploration: RANDOM_PLANS=500.
SEEDS = range(int(os.environ.get("RANDOM_PLANS", "12")))
TOKENS = 120  # Of each answer.
NAMES = ["x", "y"]
PLANS = {seed: random_plan(seed) for seed in SEEDS}
REQUESTS: dict[int, Counter[str]] = {seed: Counter() for seed in SEEDS}
pytestmark = pytest.mark.timeout(300 + 3 * len(SEEDS))


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


class Oracle(AgentOutput):
    flag: bool
    names: list[str]


def answer(request: ModelRequest) -> Reply:
    """The answer of the call in its place. The input says of which plan it is, and of which child in it."""
    found = re.search(r"```json\n(.*?)\n```", request.prompt, re.DOTALL)
    assert found is not None
    input = json.loads(found[1])
    id = CallId.parse(request.call)
    assert id is not None
    place = place_of(id.step, id.key)
    if input["child"]:
        place = f"{input['child']}:{place}"
    REQUESTS[input["seed"]][f"{place}/{id.agent}"] += 1
    if id.agent == "oracle" and place in PLANS[input["seed"]][1]:
        return fails(400)
    return {"flag": flag_of(place), "names": names_of(place)}


def _agent(id: str) -> Agent:
    values = {"name": id, "squad": "testing", "description": id, "capabilities": ("t",), "source": "tests"}
    return Agent(id=id, input_model=Free, output_model=Oracle, instructions=id, **values)


def _workflow(id: str, plan: Plan) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name="r", description="r", plan=plan, source="tests")


@pytest.fixture(scope="module")
def orchestrator_plugins() -> list[Plugin]:
    workflows = [_workflow(f"random_{seed}", plan) for seed, (plan, _) in PLANS.items()]
    children = _workflow(CHILD, child_plan())
    return [Plugin("random", agents=(_agent("oracle"), _agent("spare")), workflows=(*workflows, children))]


async def _disturbed(engine: Engine, seed: int, job_id: str, calls: int, end: asyncio.Task[Job]) -> bool:
    """Pause and resume, or cancel, a part of the jobs at some moment. Whether it was cancelled."""
    control, moment = engine.services.controller, random.Random(seed).randint(0, calls)
    await eventually(lambda: asyncio.sleep(0, REQUESTS[seed].total() >= moment or end.done()), bool, 120)
    with suppress(WrongState):  # A job of a few calls may have ended before.
        if seed % 3 == 0:
            await control.pause(TESTER, job_id)
            await engine.eventually(job_id, lambda job: job.state.terminal or job.calls_running == 0, 60)
        if seed % 4 == 1:
            return (await control.cancel(TESTER, job_id, "enough")).job.cancel_requested_at is not None
        if seed % 3 == 0:
            await control.resume(TESTER, job_id)
    return False


async def _check(engine: Engine, seed: int) -> None:
    plan, failing = PLANS[seed]
    model = Model(failing, NAMES).run(plan)
    started = await engine.start(f"random_{seed}", {"names": NAMES, "seed": seed, "child": ""})
    end = asyncio.create_task(engine.ended(started.job_id, 120))
    cancelled = await _disturbed(engine, seed, started.job_id, len(model.made), end)
    job = await end
    children = {place_of(call.step, call.key): await engine.ended(call.child) for call in job.calls if call.child}
    made, ended = REQUESTS[seed], _ended(job, children)
    # No call is made twice, and none that the plan does not ask for. Each that was made has ended.
    assert set(made.values()) <= {1}, (seed, made)
    if cancelled and job.state is JobState.CANCELLED:
        assert set(made) <= set(model.made), (seed, plan)
    else:
        assert set(made) == set(model.made), (seed, job.error, plan)
        succeeded = model.successes or not model.failures
        assert job.state is (JobState.COMPLETED if succeeded else JobState.FAILED), (seed, job.error)
        assert {place: child.state is JobState.COMPLETED for place, child in children.items()} == model.ended
        assert {call for call, status in ended.items() if status in (CallStatus.COMPLETED, CallStatus.FAILED)} == set(
            made
        )
        assert job.result is None or (job.result["status"] == "partial") == (model.failures > 0), seed
    await _check_status(engine, [job, *children.values()])
    answered = sum(1 for status in ended.values() if status is CallStatus.COMPLETED)
    most = sum(1 for call in made if call.endswith("spare") or call.rsplit("/", 1)[0] not in failing)
    # A request that a cancel cut off was answered, but nobody read how many tokens it took.
    assert TOKENS * answered <= job.usage.total_tokens <= TOKENS * most, seed
    assert cancelled or answered == most, seed


def _ended(job: Job, children: dict[str, Job]) -> dict[str, CallStatus]:
    """How each call of an agent ended, in the job and in its children."""
    own = {f"{place_of(call.step, call.key)}/{call.agent}": call.status for call in job.calls if call.agent != CHILD}
    for place, child in children.items():
        own |= {f"{place}:{place_of(call.step, call.key)}/{call.agent}": call.status for call in child.calls}
    return own


async def _check_status(engine: Engine, jobs: list[Job]) -> None:
    """The status is the fold of history, its progress never falls, and the history replays."""
    for job in jobs:
        facts, _ = await engine.parts.backend.gateway.read(job.id)
        folded = project(job.id, facts)
        assert _status(folded) == _status(job)
        assert all(call.status.ended for call in job.calls), job
        assert len({call.call_id for call in job.calls}) == len(job.calls)
        events = await engine.services.reader.events(job.id)
        progress = [event.progress for event in events if event.exact]
        assert progress == sorted(progress)
    await assert_replays([await engine.history(job.id) for job in jobs])


def _status(job: Job) -> tuple[Any, ...]:
    return job.state, job.error, job.result, job.usage, [(call.call_id, call.status, call.why) for call in job.calls]


async def test_random_plans_make_the_calls_of_the_model(engine: Engine) -> None:
    for agent in ("oracle", "spare"):
        engine.script(agent, [answer] * (100 * len(SEEDS)), unused=True)
    slots = asyncio.Semaphore(8)

    async def check(seed: int) -> None:
        async with slots:
            await _check(engine, seed)

    await asyncio.gather(*(check(seed) for seed in SEEDS))
