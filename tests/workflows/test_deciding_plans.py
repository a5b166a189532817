"""Plans that decide, on a real server: conditions, inputs, items, rounds, failures and waits."""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from temporalio.worker import Replayer

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import AgentError
from orchestrator.domain.expressions import cel
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.plans import Plan, Repeat, RetryPolicy, Step, WorkflowDefinition
from orchestrator.domain.questions import Ask
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.engine.server_binary import locate
from orchestrator.testing import TESTER, Engine, running_engine
from workflows.plan import PlanWorkflow

CALLS: Counter[str] = Counter()
RUNNING: Counter[str] = Counter()
MOST: Counter[str] = Counter()
FAILS: set[str] = set()
QUICK = RetryPolicy(initial_interval=0.05, maximum_interval=0.1, maximum_attempts=2)


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Address(BaseModel):
    city: str


class Text(BaseModel):
    text: str = ""
    n: int = 0


class Verdict(AgentOutput):
    approved: bool
    score: float
    topic: str
    tasks: list[dict[str, Any]]
    seen: dict[str, Any]


async def judge(call: FunctionCall) -> Verdict:
    """Approves from the round in `approve_at` on; the other fields come from the input."""
    CALLS[call.effect_id] += 1
    given = call.input
    if given.get("fails"):
        raise AgentError("refused", kind="provider_rejected", retryable=False)
    job = call.job_id
    RUNNING[job] += 1
    MOST[job] = max(MOST[job], RUNNING[job])
    try:
        await asyncio.sleep(float(given.get("seconds", 0)))
    finally:
        RUNNING[job] -= 1
    return Verdict(
        summary="judged",
        output=str(given.get("text", "")),
        approved=bool(given.get("good", True)),
        score=float(given.get("score", 9.5)),
        topic=str(given.get("topic", "other")),
        tasks=given.get("tasks", []),
        seen={key: value for key, value in given.items() if key != "tasks"}
        | {"context": [c.step for c in call.context]},
    )


async def moody(call: FunctionCall) -> AgentOutput:
    CALLS[call.effect_id] += 1
    if call.input["text"] in FAILS:
        raise AgentError("refused", kind="provider_rejected", retryable=False)
    return AgentOutput(summary="moody", output=call.input["text"])


async def strict(call: FunctionCall) -> AgentOutput:
    return AgentOutput(summary="strict", output=f"{call.input['text']}:{call.input['n']}")


async def spare(call: FunctionCall) -> AgentOutput:
    return AgentOutput(summary="spare", output="spare")


def _agent(id: str, function: Any, model: type[BaseModel], output: type[AgentOutput]) -> Agent:
    return Agent(
        id=id, name=id, squad="testing", description=id, capabilities=("t",), input_model=model, output_model=output,
        function=function, source="tests",
    )  # fmt: skip


def step(id: str, *agents: str, needs: Sequence[str] = (), **more: Any) -> Step:
    return Step(id=id, agents=agents, needs=tuple(needs), retry=QUICK, **more)


def flow(id: str, *steps: Step, **plan: Any) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name=id, description=id, plan=Plan(steps=steps, **plan), source="tests")


TASK = cel("item")
WORKFLOWS = (
    flow(
        "d_route",
        step("sort", "judge"),
        step("refund", "judge", needs=["sort"], when=cel("steps.sort.topic == 'refund'"), input={"text": "refunded"}),
        step("tech", "judge", needs=["sort"], when=cel("steps.sort.topic == 'tech'"), input={"text": "fixed"}),
        step("after", "judge", needs=["tech"], input={"text": "never"}),
        step("reply", "judge", needs=["refund", "tech"], join="any", input={"text": cel("ran[0].output")}),
        answer="reply",
    ),
    flow("d_condition", step("a", "judge", when=cel("input.flag"))),
    flow(
        "d_strict",
        step("a", "judge"),
        step("b", "strict", needs=["a"], input={"text": cel("steps.a.output"), "n": cel("input.n")}),
    ),
    flow(
        "d_each",
        step("plan", "judge"),
        step(
            "work",
            "judge",
            needs=["plan"],
            for_each=cel("steps.plan.tasks"),
            key=cel("item.id"),
            input={"cel": "item"},
            max_parallel=3,
            max_items=20,
            on_error="continue",
        ),
        step(
            "merge",
            "judge",
            needs=["work"],
            input={
                "text": cel("string(steps.work.data.filter(p, p.status == 'completed').size())"),
                "keys": cel("steps.work.data.map(p, p.key)"),
            },
        ),
    ),
    flow(
        "d_votes",
        step("votes", "judge", for_each=cel("input.tasks"), input={"cel": "item"}, enough=2, max_parallel=5),
        step(
            "chair",
            "judge",
            needs=["votes"],
            input={"text": cel("string(steps.votes.data.filter(v, v.status == 'completed').size())")},
        ),
    ),
    flow(
        "d_polish",
        Step(
            id="polish",
            repeat=Repeat(until=cel("steps.review.approved"), max_rounds=3, on_limit="continue"),
            steps=(
                step("write", "judge", input={"text": cel("round == 1 ? 'first' : previous.review.output")}),
                step(
                    "review",
                    "judge",
                    needs=["write"],
                    input={"text": cel("steps.write.output + '!'"), "good": cel("round >= input.approve_at")},
                ),
            ),
        ),
        step(
            "publish",
            "judge",
            needs=["polish"],
            when=cel("steps.polish.review.approved"),
            input={"text": cel("steps.polish.write.output")},
        ),
        answer="publish",
    ),
    flow(
        "d_nested",
        Step(
            id="each",
            for_each=cel("input.names"),
            key=cel("item"),
            steps=(
                step("draft", "judge", input={"text": cel("item")}),
                step(
                    "twice",
                    "judge",
                    needs=["draft"],
                    repeat=Repeat(until=cel("round == 2"), max_rounds=2),
                    input={"text": cel("steps.draft.output + string(round)")},
                ),
                Step(
                    id="child",
                    workflow="d_strict",
                    needs=("draft",),
                    repeat=Repeat(until=cel("round == 2"), max_rounds=2),
                    input={"text": cel("item"), "n": cel("round")},
                ),
            ),
        ),
        step("end", "judge", needs=["each"], input={"texts": cel("steps.each.data.map(e, e.twice.output)")}),
    ),
    flow(
        "d_family",
        Step(
            id="rounds",
            repeat=Repeat(until=cel("true"), max_rounds=2),
            steps=(
                Step(
                    id="each",
                    for_each=cel("input.names"),
                    key=cel("item"),
                    steps=(
                        Step(id="child", workflow="d_strict", input={"text": cel("item"), "n": 1}),
                        step("after", "judge", needs=["child"]),
                    ),
                ),
            ),
        ),
        step("end", "judge", needs=["rounds"], input={"text": cel("steps.rounds.each.data[0].after.seen.context[0]")}),
        answer="end",
    ),
    flow(
        "d_failing",
        step("a", "judge", input={"fails": cel("input.fails == 'a'")}, on_error="goto", goto="rescue"),
        step("b", "judge", needs=["a"], input={"fails": cel("input.fails == 'b'")}, on_error="continue"),
        step("c", "judge", needs=["b"], input={"text": cel("steps.b.status")}),
        step("rescue", "judge", input={"text": cel("error.type + ' in ' + error.step")}),
    ),
    flow(
        "d_parent",
        Step(
            id="each",
            workflow="d_strict",
            for_each=cel("input.names"),
            key=cel("item"),
            input={"text": cel("item"), "n": 2},
        ),
        Step(id="form", needs=("each",), ask=Ask(form=Address, message="Where?", by=("role:admin",))),
        step(
            "end",
            "judge",
            needs=["form"],
            input={"text": cel("steps.form.city + ' ' + string(steps.each.data.size())")},
        ),
        answer="end",
    ),
    flow(
        "d_retried",
        step("first", "judge"),
        step(
            "work",
            "moody",
            needs=["first"],
            for_each=cel("input.names"),
            key=cel("item"),
            input={"text": cel("item")},
            enough=3,
        ),
        step("last", "judge", needs=["work"], input={"text": cel("string(steps.work.data.size())")}),
    ),
    flow("d_fallback", step("a", "judge", input={"fails": True}, fallback=("spare",))),
    flow(
        "d_wait",
        step("a", "judge"),
        Step(id="pause", needs=("a",), delay=cel("input.seconds")),
        step("b", "judge", needs=["pause"]),
    ),
)
PLUGIN = Plugin(
    "deciding",
    agents=(
        _agent("judge", judge, Anything, Verdict),
        _agent("strict", strict, Text, AgentOutput),
        _agent("moody", moody, Anything, AgentOutput),
        _agent("spare", spare, Anything, AgentOutput),
    ),
    workflows=WORKFLOWS,
)


@pytest.fixture(scope="module")
def orchestrator_plugins() -> list[Plugin]:
    return [PLUGIN]


def made(job: Job) -> dict[str, int]:
    """Calls by effect id, without the job."""
    return {
        effect.removeprefix(f"{job.id}/"): count for effect, count in CALLS.items() if effect.startswith(f"{job.id}/")
    }


def seen(job: Job, place: str) -> dict[str, Any]:
    assert job.result is not None
    seen: dict[str, Any] = job.result["metadata"]["data"][place]["seen"]
    return seen


async def replays(engine: Engine, job: Job) -> None:
    await Replayer(workflows=[PlanWorkflow], plugins=[OrchestratorPlugin()]).replay_workflow(
        await engine.history(job.id)
    )


async def test_a_false_condition_skips_and_join_any_goes_on(engine: Engine) -> None:
    job = await engine.run("d_route", {"topic": "refund"})
    assert job.state is JobState.COMPLETED, job.error
    assert set(made(job)) == {"sort/judge", "refund/judge", "reply/judge"}
    assert job.result is not None
    assert job.result["output"] == "refunded"
    skipped = {call.step: call.why for call in job.calls if call.status is CallStatus.SKIPPED}
    assert skipped == {"tech": "the condition is false: steps.sort.topic == 'tech'", "after": "tech did not run"}
    names = [event.name for event in await engine.services.reader.events(job.id)]
    assert names.count("step.skipped") == 2
    await replays(engine, job)


async def test_a_condition_without_a_value_fails_with_the_expression(engine: Engine) -> None:
    job = await engine.run("d_condition", {"other": 1})
    assert job.error is not None
    assert (job.state, job.error.type) == (JobState.FAILED, "condition_failed")
    assert "input.flag" in job.error.message
    assert "neither true nor false" in ((await engine.run("d_condition", {"flag": "yes"})).error or job.error).message


async def test_the_agent_checks_a_mapped_input_at_dispatch(engine: Engine) -> None:
    job = await engine.run("d_strict", {"text": "t", "n": 3})
    assert job.result is not None
    assert job.result["status"] == "success"
    job = await engine.run("d_strict", {"text": "t", "n": "many"})
    assert (job.state, job.error and job.error.type) == (JobState.FAILED, "invalid_input")


async def test_each_item_is_a_call_with_its_key_and_a_failed_one_does_not_stop_the_others(engine: Engine) -> None:
    tasks = [{"id": f"t{n}", "text": str(n), "fails": n == 4, "seconds": 0.1} for n in range(8)]
    job = await engine.run("d_each", {"tasks": tasks})
    assert job.state is JobState.COMPLETED, job.error
    assert made(job) == {"plan/judge": 1, "merge/judge": 1, **{f"work[t{n}]/judge": 1 for n in range(8)}}
    assert MOST[job.id] == 3
    assert (job.calls_done, len(job.calls), job.exact) == (10, 10, True)
    events = await engine.services.reader.events(job.id)
    progress = [event.progress for event in events if event.exact]
    assert progress == sorted(progress)
    known = [event.exact for event in events]
    listed = [event.name for event in events].index("step.items")
    assert (known[:listed], known[listed:]) == ([False] * listed, [True] * (len(known) - listed))
    assert job.result is not None
    assert job.result["status"] == "partial"
    merged = next(file for file in job.result["deliverables"] if file["step"] == "merge")
    assert merged["content"] == "7"
    await replays(engine, job)


@pytest.mark.parametrize(
    ("tasks", "error"),
    [
        ([{"id": "a"}, {"id": "a"}], "duplicate_keys"),
        ([{"id": str(n)} for n in range(21)], "too_many_items"),
        ([{"no": 1}], "condition_failed"),
    ],
)
async def test_a_list_that_cannot_be_items_fails_by_name(
    engine: Engine, tasks: list[dict[str, Any]], error: str
) -> None:
    job = await engine.run("d_each", {"tasks": tasks})
    assert job.result is not None
    assert [failed["type"] for failed in job.result["metadata"]["failed"]] == [error]


async def test_enough_items_suffice_and_the_rest_is_cancelled(engine: Engine) -> None:
    tasks = [{"text": "1"}, {"text": "2"}, *({"text": "x", "seconds": 60} for _ in range(3))]
    job = await engine.run("d_votes", {"tasks": tasks})
    assert job.state is JobState.COMPLETED, job.error
    assert job.result is not None
    assert next(file for file in job.result["deliverables"] if file["step"] == "chair")["content"] == "2"
    await replays(engine, job)


async def test_too_few_items_fail_the_step(engine: Engine) -> None:
    job = await engine.run("d_votes", {"tasks": [{"text": "1"}, {"fails": True}, {"fails": True}]})
    assert (job.state, job.error and job.error.type) == (JobState.FAILED, "not_enough")


async def test_rounds_go_on_until_the_condition_holds(engine: Engine) -> None:
    job = await engine.run("d_polish", {"approve_at": 2})
    assert job.state is JobState.COMPLETED, job.error
    assert set(made(job)) == {
        "polish", "write[1]/judge", "review[1]/judge", "write[2]/judge", "review[2]/judge", "publish/judge",
    } - {"polish"}  # fmt: skip
    assert job.result is not None
    assert job.result["output"] == "first!"
    await replays(engine, job)


async def test_the_last_round_ends_the_loop(engine: Engine) -> None:
    job = await engine.run("d_polish", {"approve_at": 9})
    assert job.state is JobState.COMPLETED, job.error
    assert len(made(job)) == 6
    assert "publish/judge" not in made(job)


async def test_items_flow_through_a_group_and_its_rounds(engine: Engine) -> None:
    job = await engine.run("d_nested", {"names": ["x", "y"]})
    assert job.state is JobState.COMPLETED, job.error
    assert set(made(job)) == {
        "end/judge", *(f"draft[{n}]/judge" for n in "xy"), *(f"twice[{n}/{r}]/judge" for n in "xy" for r in (1, 2)),
    }  # fmt: skip
    assert {(call.key, call.status) for call in job.calls if call.step == "child"} == {
        (f"{n}/{r}", CallStatus.COMPLETED) for n in "xy" for r in (1, 2)
    }
    assert (job.calls_done, len(job.calls)) == (11, 11)
    await replays(engine, job)


async def test_a_step_sees_the_child_of_its_round_and_item(engine: Engine) -> None:
    job = await engine.run("d_family", {"names": ["x"]})
    assert job.state is JobState.COMPLETED, job.error
    assert job.result is not None
    assert job.result["output"] == "child"


async def test_a_handler_runs_only_after_a_failure(engine: Engine) -> None:
    job = await engine.run("d_failing", {"fails": "a"})
    assert job.state is JobState.COMPLETED, job.error
    assert set(made(job)) == {"a/judge", "rescue/judge"}
    assert job.result is not None
    assert job.result["status"] == "success"
    rescued = next(file for file in job.result["deliverables"] if file["step"] == "rescue")
    assert rescued["content"] == "provider_rejected in a"
    job = await engine.run("d_failing", {"fails": "b"})
    assert set(made(job)) == {"a/judge", "b/judge", "c/judge"}
    assert job.result is not None
    assert job.result["status"] == "partial"
    assert next(file for file in job.result["deliverables"] if file["step"] == "c")["content"] == "failed"
    await replays(engine, job)


async def test_a_fallback_answers_for_a_failed_agent(engine: Engine) -> None:
    job = await engine.run("d_fallback", {})
    assert job.state is JobState.COMPLETED, job.error
    assert [(call.agent, str(call.status)) for call in job.calls] == [("judge", "failed"), ("spare", "completed")]


async def test_children_and_questions_are_steps(engine: Engine) -> None:
    started = await engine.start("d_parent", {"names": ["x", "y"]})
    job = await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    assert [question.id for question in job.open_questions] == ["form"]
    children = {call.key: call.child for call in job.calls if call.step == "each"}
    assert children.keys() == {"x", "y"}
    for child in children.values():
        assert child is not None
        assert (await engine.job(child)).state is JobState.COMPLETED
    await engine.services.questions.answer(TESTER, job.id, "form", {"city": "Ulm"})
    job = await engine.ended(job.id)
    assert job.state is JobState.COMPLETED, job.error
    assert job.result is not None
    assert job.result["output"] == "Ulm 2"
    await replays(engine, job)


async def test_a_retry_makes_only_the_calls_that_have_no_answer(engine: Engine) -> None:
    FAILS.add("y")
    job = await engine.run("d_retried", {"names": ["x", "y", "z"]})
    assert (job.state, set(made(job))) == (
        JobState.FAILED,
        {"first/judge", "work[x]/moody", "work[y]/moody", "work[z]/moody"},
    )
    FAILS.clear()
    started, _ = await engine.services.retrier.retry(TESTER, job.id)
    again = await engine.ended(started.job_id)
    assert again.state is JobState.COMPLETED, again.error
    assert set(made(again)) == {"work[y]/moody", "last/judge"}
    reused = {(call.step, call.key) for call in again.calls if call.reused_from == job.id}
    assert reused == {("first", ""), ("work", "x"), ("work", "z")}


async def test_a_delay_is_a_timer(engine: Engine) -> None:
    job = await engine.run("d_wait", {"seconds": 0.3})
    assert job.state is JobState.COMPLETED, job.error
    timers = [e for e in (await engine.history(job.id)).events if e.HasField("timer_started_event_attributes")]
    assert len(timers) == 1


async def test_a_job_continues_in_new_runs_without_a_call_made_twice(tmp_path: Path) -> None:
    settings: dict[str, bool | int | float | str] = {"limit.historyCount.suggestContinueAsNew": 40}
    async with (
        DevServer(await locate(os.environ), tmp_path, port=0, in_memory=True, settings=settings) as server,
        running_engine(server.address, tmp_path, [PLUGIN]) as engine,
    ):
        names = [f"n{number}" for number in range(8)]
        job = await engine.run("d_nested", {"names": names})
        assert job.state is JobState.COMPLETED, job.error
        events = [event.name for event in await engine.services.reader.events(job.id)]
    expected = {
        "end/judge",
        *(f"draft[{n}]/judge" for n in names),
        *(f"twice[{n}/{r}]/judge" for n in names for r in (1, 2)),
    }
    assert made(job) == dict.fromkeys(expected, 1)
    assert events.count("job.continued") >= 1
    assert (events.count("step.items"), events.count("step.round")) == (1, 32)
    assert (job.calls_done, len(job.calls)) == (41, 41)
