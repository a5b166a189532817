"""A failed job is finished by a new one, which makes no finished call again: on a real Temporal server."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import AgentError, WrongState
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.plans import Approval, Plan
from orchestrator.domain.usage import Usage
from orchestrator.plugins import BUILT_IN
from orchestrator.projection.answers import Answers
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.catalogue import CALLS, TEST_PLUGIN, AnyInput, step, workflow
from tests.code_workflow import DraftsWorkflow
from tests.fakes.openai_server import Answer, OpenAIServer
from tests.storage.rows import tokens_since
from tests.workflows.test_index import forget

EFFECTS: list[str] = []
"""The effect ids of the calls that ran, in order."""


async def worker(call: FunctionCall) -> AgentOutput:
    EFFECTS.append(call.effect_id)
    report = ",".join(f"{one.step}:{one.output}" for one in call.context if one.output is not None)
    return AgentOutput(summary="worked", output=f"{call.step} of {call.job_id} after [{report}]")


async def gated(call: FunctionCall) -> AgentOutput:
    """Fails until the file `gate` exists."""
    if not Path(call.input["gate"]).exists():
        raise AgentError("the gate is shut", kind="gate_shut", retryable=False)
    return await worker(call)


def _agent(function: Any) -> Agent:
    return Agent(
        id=f"r_{function.__name__}",
        name=function.__name__,
        squad="testing",
        description="Test agent",
        capabilities=("testing",),
        input_model=AnyInput,
        function=function,
        source="tests",
    )


PLUGIN = Plugin(
    name="retries",
    agents=(_agent(worker), _agent(gated)),
    code_workflows=(
        CodeWorkflow(
            workflow("t_drafts", step("draft", "t_drafter"), step("last", "r_gated"), code=True), DraftsWorkflow
        ),
    ),
    workflows=(
        workflow("r_paid", step("a", "technical_writer"), step("b", "r_gated", needs=("a",))),
        workflow(
            "r_chain",
            step("a", "r_worker"),
            step("b", "r_worker", "r_gated", needs=("a",)),
            step("c", "r_worker", needs=("b",)),
        ),
        workflow(
            "r_asks",
            step("a", "r_worker", approval=Approval(message="Begin?")),
            step("b", "r_gated", needs=("a",), approval=Approval(message="Go on?")),
            step("c", "r_worker", needs=("b",), approval=Approval(message="End?")),
        ),
    ),
)


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, TEST_PLUGIN, PLUGIN]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


async def retry(engine: Engine, job_id: str, **more: Any) -> str:
    started, _ = await engine.services.retrier.retry(TESTER, job_id, **more)
    return started.job_id


def calls(job: Job) -> dict[str, tuple[CallStatus, str | None]]:
    return {f"{call.step}.{call.agent}": (call.status, call.reused_from) for call in job.calls}


async def test_a_retry_makes_no_finished_call_again(engine: Engine, gate: Path) -> None:
    old = await engine.run("r_chain", {"gate": str(gate)})
    assert old.state is JobState.FAILED
    gate.touch()
    ran = len(EFFECTS)
    new = await engine.ended(await retry(engine, old.id))
    assert (new.state, new.retry_of, new.progress) == (JobState.COMPLETED, old.id, 100)
    assert EFFECTS[ran:] == [f"{new.id}/b/r_gated", f"{new.id}/c/r_worker"]
    done = CallStatus.COMPLETED
    assert calls(new) == {
        "a.r_worker": (done, old.id),
        "b.r_worker": (done, old.id),
        "b.r_gated": (done, None),
        "c.r_worker": (done, None),
    }
    output = await engine.services.outputs.get(TESTER, new.id)
    reports = {file["path"]: file["content"] for file in output["deliverables"]}
    assert reports["reports/a/r_worker.md"] == f"a of {old.id} after []"
    assert f"a:a of {old.id}" in reports["reports/b/r_gated.md"]
    assert await engine.services.retrier.retried_by(old.id) == [new.id]


async def test_a_retry_of_a_retry_knows_which_job_made_each_call(engine: Engine, gate: Path) -> None:
    old = await engine.run("r_chain", {"gate": str(gate)})
    second = await engine.ended(await retry(engine, old.id))
    assert second.state is JobState.FAILED
    gate.touch()
    third = await engine.ended(await retry(engine, second.id))
    assert (third.state, third.retry_of) == (JobState.COMPLETED, second.id)
    assert calls(third)["a.r_worker"] == (CallStatus.COMPLETED, old.id)
    with pytest.raises(WrongState, match=f"{third.id} has completed"):
        await retry(engine, old.id)


async def test_approvals_stand_with_their_actor_and_later_ones_are_asked_again(engine: Engine, gate: Path) -> None:
    old = await engine.start("r_asks", {"gate": str(gate)})
    for name in ("a", "b"):
        await engine.eventually(old.job_id, lambda job, name=name: job.waiting_steps == [name])  # type: ignore[misc]
        await engine.services.controller.approve(TESTER, old.job_id, name, f"yes to {name}")
    assert (await engine.ended(old.job_id)).state is JobState.FAILED
    gate.touch()
    new = await retry(engine, old.job_id)
    job = await engine.eventually(new, lambda job: job.waiting_steps == ["c"])
    assert [(one.step, one.actor, one.note) for one in job.approvals] == [
        ("a", TESTER.id, "yes to a"),
        ("b", TESTER.id, "yes to b"),
    ]
    (queued, *_) = await engine.services.reader.events(new)
    assert queued.data["retry_of"] == old.job_id
    assert [call["reused_from"] for call in queued.data["reused"]] == [old.job_id]
    await engine.approve(new, "c")
    assert (await engine.ended(new)).state is JobState.COMPLETED


async def test_a_rejected_step_is_asked_for_again(engine: Engine) -> None:
    old = await engine.start("t_approval", {})
    await engine.eventually(old.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.reject(TESTER, old.job_id, "b", "no")
    await engine.ended(old.job_id)
    new = await retry(engine, old.job_id)
    await engine.eventually(new, lambda job: job.waiting_steps == ["b"])


async def test_one_retry_at_a_time(engine: Engine, gate: Path) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.cancel(TESTER, started.job_id, "enough", patience=30)
    tries = await asyncio.gather(*(retry(engine, started.job_id) for _ in range(4)), return_exceptions=True)
    (won,) = [one for one in tries if isinstance(one, str)]
    lost = [one for one in tries if isinstance(one, WrongState)]
    assert [fault.details["retried_by"] for fault in lost] == [won] * 3
    job = await engine.eventually(won, lambda job: job.waiting_steps == ["b"])
    assert calls(job)["a.t_echo"] == (CallStatus.COMPLETED, started.job_id)


async def test_a_key_starts_one_retry_however_often_it_is_sent(engine: Engine, gate: Path) -> None:
    old = await engine.run("r_chain", {"gate": str(gate)})
    gate.touch()
    first = await retry(engine, old.id, idempotency_key="again")
    assert await retry(engine, old.id, idempotency_key="again") == first
    await engine.ended(first)
    assert await retry(engine, old.id, idempotency_key="again") == first


async def test_only_what_ended_undone_is_retried(engine: Engine) -> None:
    done = await engine.run("t_three", {})
    with pytest.raises(WrongState, match="is completed"):
        await retry(engine, done.id)
    waiting = await engine.start("t_approval", {})
    with pytest.raises(WrongState, match="only a job that"):
        await retry(engine, waiting.job_id)


async def test_a_job_that_an_operator_terminated_is_retried(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate("by force")
    await engine.ended(started.job_id)
    new = await retry(engine, started.job_id)
    await engine.eventually(new, lambda job: job.waiting_steps == ["b"])


async def test_a_job_that_ran_out_of_time_is_retried(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, job_timeout=3) as engine:
        old = await engine.run("t_approval", {})
        assert (old.state, calls(old)["a.t_echo"][0]) == (JobState.TIMEOUT, CallStatus.COMPLETED)
        new = await engine.job(await retry(engine, old.id))
        assert calls(new)["a.t_echo"] == (CallStatus.COMPLETED, old.id)


async def test_the_cost_of_what_is_reused_is_shown_and_not_charged(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], gate: Path
) -> None:
    async with (
        OpenAIServer(
            Answer({"summary": "Drafted.", "output": "A draft."}, prompt_tokens=100, completion_tokens=50)
        ) as model,
        running_engine(
            temporal_address, tmp_path, orchestrator_plugins, llm_base_url=model.url, llm_api_key=SecretStr("key")
        ) as engine,
    ):
        old = await engine.run("r_paid", {"gate": str(gate)}, config=JobConfig(model="served"))
        assert (old.usage.total_tokens, old.reused) == (150, Usage())
        gate.touch()
        new = await engine.ended(await retry(engine, old.id))
        assert new.state is JobState.COMPLETED
        assert (new.usage.total_tokens, new.usage.cost, new.reused) == (0, 0, old.usage)
        assert old.usage.cost
        assert await tokens_since(engine.parts.backend.attempts, TESTER.id, old.created_at) == 150
        assert len(model.received) == 1
        overview = await engine.services.metrics.overview(TESTER)
        assert overview.jobs.tokens == 150


async def test_on_a_changed_plan_what_depends_on_a_new_step_runs_again(
    temporal_address: str, tmp_path: Path, gate: Path
) -> None:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN, TEST_PLUGIN, PLUGIN]) as engine:
        old = await engine.run("r_chain", {"gate": str(gate)})
        queue = engine.parts.settings.task_queue
    gate.touch()
    chain = next(each for each in PLUGIN.workflows if each.id == "r_chain")
    a, b, c = chain.plan.steps
    asks_more = b.model_copy(update={"instruction": "Be brief."})
    changed = chain.model_copy(update={"plan": Plan(steps=(a, asks_more, c, step("d", "r_worker", needs=("a",))))})
    plugin = replace(PLUGIN, workflows=(changed,))
    async with running_engine(temporal_address, tmp_path, [BUILT_IN, TEST_PLUGIN, plugin], task_queue=queue) as engine:
        new = await engine.ended(await retry(engine, old.id))
        assert new.state is JobState.COMPLETED
        assert {name: reused for name, (_, reused) in calls(new).items()} == {
            "a.r_worker": old.id,
            "b.r_worker": None,
            "b.r_gated": None,
            "c.r_worker": None,
            "d.r_worker": None,
        }


async def test_a_single_agent_is_asked_again(engine: Engine, gate: Path) -> None:
    old = await engine.run("r_gated", {"gate": str(gate)})
    gate.touch()
    new = await engine.ended(await retry(engine, old.id))
    assert (new.state, new.retry_of, new.kind) == (JobState.COMPLETED, old.id, old.kind)


async def test_large_answers_outlive_the_job_that_made_them(engine: Engine) -> None:
    old = await engine.start("t_big_approval", {})
    await engine.eventually(old.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.reject(TESTER, old.job_id, "b", "no")
    await engine.ended(old.job_id)
    new = await retry(engine, old.job_id)
    await engine.eventually(new, lambda job: job.waiting_steps == ["b"])
    await engine.parts.backend.values.forget(old.job_id)
    await engine.approve(new, "b")
    assert (await engine.ended(new)).state is JobState.COMPLETED
    output = await engine.services.outputs.get(TESTER, new)
    assert max(len(file["content"]) for file in output["deliverables"]) == 200 * 1024


async def test_a_job_that_temporal_has_forgotten_is_retried_as_long_as_its_answers_are_kept(
    engine: Engine, gate: Path
) -> None:
    kept, lost = [await engine.run("r_chain", {"gate": str(gate)}) for _ in range(2)]
    gate.touch()
    for job in (kept, lost):
        await forget(engine, job.id)
    new = await engine.ended(await retry(engine, kept.id))
    assert (new.state, calls(new)["a.r_worker"]) == (JobState.COMPLETED, (CallStatus.COMPLETED, kept.id))
    await engine.parts.backend.values.forget(lost.id)
    with pytest.raises(WrongState, match="no longer kept"):
        await retry(engine, lost.id)


async def test_what_failed_needs_attention_until_a_retry_is_at_it(engine: Engine, gate: Path) -> None:
    async def attention() -> set[str]:
        return {row.id for row in (await engine.services.reader.list(TESTER, JobFilter(attention=True))).rows}

    old = await engine.run("r_chain", {"gate": str(gate)})
    assert await attention() == {old.id}
    second = await engine.ended(await retry(engine, old.id))
    assert await attention() == {second.id}
    gate.touch()
    await engine.ended(await retry(engine, second.id))
    assert await eventually(attention, lambda found: not found) == set()


async def test_code_gets_the_answers_to_what_it_asks_again(engine: Engine, gate: Path) -> None:
    old = await engine.run("t_drafts", {"gate": str(gate), "drafts": 3, "last": "r_gated"})
    assert old.state is JobState.FAILED
    second = await engine.ended(await retry(engine, old.id))
    assert second.state is JobState.FAILED
    gate.touch()
    third = await engine.ended(await retry(engine, second.id))
    assert third.state is JobState.COMPLETED
    assert [(call.step, call.number, call.reused_from) for call in third.calls] == [
        *[("draft", number, old.id) for number in (1, 2, 3)],
        ("last", 1, None),
    ]
    assert not [effect for effect in CALLS if effect.startswith((second.id, third.id))]
    assert EFFECTS[-1] == f"{third.id}/last/r_gated"
    entries = [event.name for event in await engine.services.reader.events(third.id)]
    assert entries.count("agent.reused") == 3
    result = await engine.services.outputs.get(TESTER, third.id)
    assert f"draft {old.id}/draft/t_drafter#3" in str(result)


async def test_code_that_asks_for_something_else_makes_the_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await engine.run("t_drafts", {"gate": "/nowhere", "drafts": 3, "last": "r_gated"})
    answers = engine.parts.backend.partials.answers

    async def other(_: object, job: Job) -> Answers:
        """As if the second call of the old job had been asked something else."""
        found = await answers(job)
        return Answers(found.results, {**found.asks, "draft.t_drafter#2": "something else"})

    monkeypatch.setattr(type(engine.parts.backend.partials), "answers", other)
    new = await engine.ended(await retry(engine, old.id))
    reused = [call.reused_from for call in new.calls if call.step == "draft"]
    # The third received the answer of the second, which is another one now.
    assert reused == [old.id, None, None]
    assert len([effect for effect in CALLS if effect.startswith(new.id)]) == 2
