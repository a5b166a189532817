"""Mistakes in plans that decide are found before a start, with the near match."""

import re
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.expressions import cel
from orchestrator.domain.plan_checks import plan_faults, with_squads
from orchestrator.domain.plans import Plan, Repeat, Step, WorkflowDefinition
from orchestrator.domain.questions import Ask


class Brief(BaseModel):
    model_config = ConfigDict(extra="ignore")

    topic: str
    words: int = 100


class Verdict(AgentOutput):
    approved: bool
    score: float
    remarks: str | None = None
    tasks: list[str] = Field(default_factory=list)


def agent(id: str, output: type[AgentOutput] = AgentOutput) -> Agent:
    return Agent(
        id=id, name=id, squad="writing", description=id, capabilities=("t",), instructions="Do.", input_model=Brief,
        output_model=output,
    )  # fmt: skip


AGENTS = {"writer": agent("writer"), "judge": agent("judge", Verdict)}
JUDGE = Step(id="judge", agents=("judge",))


def faults(*steps: Step, **definition: Any) -> list[str]:
    plan = Plan(steps=steps)
    entry = WorkflowDefinition(id="w_one", name="w", description="w", plan=plan, **definition)
    return [fault for _, fault in plan_faults(entry, AGENTS)]


def after(**fields: Any) -> Step:
    return Step(id="next", agents=("writer",), needs=("judge",), **fields)


@pytest.mark.parametrize(
    "step",
    [
        after(when=cel("steps.judge.approved && steps.judge.score > 8")),
        after(when=cel("steps.judge.status == 'completed'"), input={"topic": cel("steps.judge.output")}),
        after(input={"topic": cel("ran[0].output"), "words": cel("input.anything")}),
        after(for_each=cel("steps.judge.tasks"), key=cel("item"), input={"topic": cel("item")}),
        after(repeat=Repeat(until=cel("steps.next.summary == 'x' || round > 2"), max_rounds=3)),
        after(input={"cel": "steps.judge.data"}),
        after(on_error="continue", delay=cel("input.seconds")),
    ],
)
def test_a_sound_plan_has_no_faults(step: Step) -> None:
    assert faults(JUDGE, step) == []


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (after(when=cel("steps.judge.aproved")), "Did you mean 'steps.judge.approved'?"),
        (after(when=cel("steps.jugde.approved")), "Did you mean 'judge'?"),
        (after(when=cel("steps.judge.approved == 'yes'")), "no matching overload"),
        (after(when=cel("steps.judge.output")), "gives a string: expected bool"),
        (after(for_each=cel("steps.judge.output"), input={"topic": "x"}), "gives a string: expected list"),
        (after(input={"topc": "x", "topic": "y"}), "agent 'writer' has no input 'topc'. Did you mean 'topic'?"),
        (after(input={"words": 3}), "agent 'writer' needs topic"),
        (after(input={"topic": cel("steps.judge.approved")}), "topic is a bool, but agent 'writer' expects a string"),
        (after(input={"topic": cel("item")}), "unknown name 'item'"),
        (after(fallback=("wrter",)), "unknown fallback agent wrter. Did you mean 'writer'?"),
        (Step(id="next", agents=("writer",), when=cel("steps.judge.approved")), "Add it to needs"),
        (after(when=cel("1 + 1")), "gives a number: expected bool"),
        (after(when=cel("size(steps.judge.tasks)")), "gives a number: expected bool"),
        (after(when=cel("steps.judge.score")), "gives a number: expected bool"),
        (after(repeat=Repeat(until=cel("1 + 1"), max_rounds=2)), "repeat.until '1 + 1' gives a number"),
        (after(input={"topic": "x", "words": "a lot"}), "words cannot be 'a lot' for agent 'writer'"),
        (after(input={"topic": "x", "words": cel("steps.judge.output")}), "expects a number"),
    ],
)
def test_a_mistake_is_named(step: Step, fault: str) -> None:
    (found,) = faults(JUDGE, step)
    assert fault in found


def test_the_input_of_the_workflow_is_known_if_it_has_a_schema() -> None:
    (fault,) = faults(Step(id="a", agents=("writer",), when=cel("input.topik == 'x'")), input_model=Brief)
    assert "no field 'topik'. Did you mean 'topic'?" in fault
    (fault,) = faults(Step(id="a", agents=("writer",), when=cel("input.topic")), input_model=Brief)
    assert "gives a string: expected bool" in fault
    items = Step(id="a", agents=("writer",), for_each=cel("input.topic"), input={"topic": cel("item")})
    (fault,) = faults(items, input_model=Brief)
    assert "gives a string: expected list" in fault


def test_a_persons_question_shows_only_what_has_run() -> None:
    ask = Ask(form=Brief, message="Good?", show={"text": cel("steps.judge.outptu")})
    (fault,) = faults(JUDGE, Step(id="ask", ask=ask, needs=("judge",)))
    assert "ask.show 'steps.judge.outptu'" in fault
    assert "Did you mean 'steps.judge.output'?" in fault


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (lambda: Plan(steps=(JUDGE,), answer="jugde"), "Did you mean 'judge'?"),
        (lambda: Plan(steps=(Step(id="g", steps=(JUDGE,)),), answer="g"), "which is a group: name one of its steps"),
        (lambda: Plan(steps=(Step(id="a", agents=("x",), needs=("judgee",)), JUDGE)), "Did you mean 'judge'?"),
        (
            lambda: Step(id="a", agent=("x",)),
            "or steps. Unknown key: agent. Did you mean 'agents'?",
        ),
    ],
)
def test_a_mistake_in_a_name_has_its_near_match(plan: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(fault)):
        plan()


def test_what_a_step_decides_is_shown_as_declared() -> None:
    step = after(when=cel("steps.judge.approved"), for_each=cel("steps.judge.tasks"), input={"topic": cel("item")})
    assert step.decisions() == {
        "when": {"cel": "steps.judge.approved"}, "for_each": {"cel": "steps.judge.tasks"},
        "input": {"topic": {"cel": "item"}},
    }  # fmt: skip
    assert JUDGE.decisions() == {}


def test_the_steps_of_a_group_see_each_other_and_what_is_around() -> None:
    inner = Step(id="inner", agents=("writer",), input={"topic": cel("steps.judge.output + string(round)")})
    group = Step(
        id="group", needs=("judge",), steps=(inner,), repeat=Repeat(until=cel("steps.inner.output != ''"), max_rounds=2)
    )
    last = Step(id="last", agents=("writer",), needs=("group",), input={"topic": cel("steps.group.inner.output")})
    assert faults(JUDGE, group, last) == []
    (fault,) = faults(JUDGE, group, last.model_copy(update={"input": {"topic": {"cel": "steps.inner.output"}}}))
    assert "'inner' is not a step that runs before" in fault


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "does nothing"),
        ({"agents": ("a",), "workflow": "w"}, "has agents and workflow"),
        ({"agents": ("a",), "for_each": cel("input.x")}, "no input names the item"),
        ({"agents": ("a",), "max_parallel": 2}, "has max_parallel, but no for_each"),
        ({"agents": ("a",), "on_error": "goto"}, "needs both"),
        ({"agents": ("a", "b"), "fallback": ("c",)}, "needs exactly one agent"),
        ({"agents": ("a",), "needs": ("b",), "join": 2}, "joins 2 of 1 needs"),
        ({"agents": ("a",), "delay": 1, "until_time": "2027-01-01T00:00:00Z"}, "delay and until_time"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Step(id="s", **fields)


def test_a_handler_stands_alone() -> None:
    rescue = Step(id="rescue", agents=("writer",))
    risky = Step(id="risky", agents=("writer",), on_error="goto", goto="rescue")
    assert faults(risky, rescue) == []
    with pytest.raises(ValidationError, match="later needs it"):
        Plan(steps=(risky, rescue, Step(id="later", agents=("writer",), needs=("rescue",))))


def test_a_plan_of_an_earlier_release_does_not_grow_in_history() -> None:
    step = Step(id="a", name="A", squad="s", agents=("writer",))
    assert set(step.model_dump(mode="json")) == {
        *("id", "name", "squad", "agents", "needs", "estimated_time", "instruction", "short", "task_queue"),
        *("approval", "retry", "timeouts"),
    }
    assert set(Plan(steps=(step,)).model_dump(mode="json")) == {"steps"}


def test_names_and_squads_have_defaults() -> None:
    plan = with_squads(Plan(steps=(Step(id="first_draft", agents=("writer",)),)), AGENTS)
    assert (plan.steps[0].name, plan.steps[0].squad) == ("First draft", "writing")
