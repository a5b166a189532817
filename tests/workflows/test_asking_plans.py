"""Plans that ask people: forms as steps, values in later inputs, notes in the context of agents."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import CatalogueError, Forbidden, InvalidInput, NotFound
from orchestrator.domain.expressions import cel
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.domain.plans import Approval, Plan, Step, WorkflowDefinition
from orchestrator.domain.questions import Ask
from orchestrator.plugins import build_catalogue
from orchestrator.testing import TESTER, Engine, assert_replays


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Trip(BaseModel):
    """When somebody is away."""

    first: date
    last: date
    city: str = "Rome"

    @model_validator(mode="after")
    def _in_order(self) -> "Trip":
        if self.last < self.first:
            raise ValueError("the last day is before the first")
        return self


class Seen(AgentOutput):
    input: dict[str, Any]
    heard: list[dict[str, Any]]


async def witness(call: FunctionCall) -> Seen:
    """Returns its input, and what people said."""
    heard = [each.model_dump() for each in call.context if each.agent != "witness"]
    return Seen(summary="seen", output="seen", input=call.input, heard=heard)


def step(id: str, *agents: str, needs: Sequence[str] = (), **more: Any) -> Step:
    return Step(id=id, agents=agents, needs=tuple(needs), **more)


def flow(id: str, *steps: Step) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name=id, description=id, plan=Plan(steps=steps), source="tests")


TRIP = {"first": "2027-05-01", "last": "2027-05-08"}
AGENT = Agent(
    id="witness",
    name="Witness",
    squad="testing",
    description="Says what it saw.",
    capabilities=("t",),
    input_model=Anything,
    output_model=Seen,
    function=witness,
)


def asking(id: str, **ask: Any) -> WorkflowDefinition:
    return flow(
        id,
        step("trip", ask=Ask(form=Trip, message="When are you away?", **ask)),
        step("book", "witness", needs=["trip"], input={"to": cel("steps.trip.data"), "city": cel("steps.trip.city")}),
    )


WORKFLOWS = (
    asking("a_trip"),
    asking("a_skip", timeout=0.1, on_timeout="skip"),
    asking("a_late", timeout=0.1),
    flow(
        "a_default",
        step(
            "size",
            ask=Ask(
                form={"type": "object", "properties": {"n": {"type": "integer", "default": 3}}},
                message="How many?",
                timeout=0.1,
                on_timeout="default",
            ),
        ),
        step("use", "witness", needs=["size"], input={"n": cel("steps.size.n")}),
    ),
    flow("a_by", step("go", "witness", approval=Approval(message="Go?", by=("key:boss", "role:admin")))),
    flow("a_note", step("go", "witness", approval=Approval(message="Go?"))),
    flow(
        "a_each",
        Step(
            id="each",
            for_each=cel("input.names"),
            key=cel("item"),
            steps=(
                step("trip", ask=Ask(form=Trip, message="When?")),
                step("book", "witness", needs=["trip"], input={"who": cel("item"), "city": cel("steps.trip.city")}),
            ),
        ),
    ),
)


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [Plugin("asking", (AGENT,), WORKFLOWS)]


async def waiting(engine: Engine, target: str, input: dict[str, Any] | None = None, questions: int = 1) -> Job:
    started = await engine.start(target, input or {})
    return await engine.eventually(started.job_id, lambda job: len(job.open_questions) == questions)


async def seen(engine: Engine, job_id: str, step: str = "book", key: str = "") -> Seen:
    job = await engine.ended(job_id)
    assert job.state is JobState.COMPLETED, job.error
    answers = await engine.parts.backend.gateway.answers(job_id)
    (answer,) = [each for each in answers.results if (each.step, each.key) == (step, key)]
    return Seen(summary="", output="", **answer.data)


async def test_the_values_of_a_form_reach_the_next_step_and_the_note_its_agent(engine: Engine) -> None:
    job = await waiting(engine, "a_trip")
    assert job.reason is not None
    assert (job.reason.code, job.reason.step) == (ReasonCode.WAITING_FOR_INPUT, "trip")
    take = engine.services.questions.answer
    with pytest.raises(InvalidInput, match="the last day is before the first"):  # the model that the plan lacks
        await take(TESTER, job.id, "trip", {**TRIP, "last": "2027-04-30"})
    handle = engine.parts.backend.client.get_workflow_handle(job.id)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("answer", {"step": "trip", "values": {**TRIP, "city": 5}})
    for values, field, fault in [
        ({**TRIP, "last": "2027-04-30"}, "values", "the last day is before the first"),
        ({**TRIP, "citty": "Oslo"}, "citty", "Unknown field: citty. Did you mean 'city'?"),
    ]:
        with pytest.raises(WorkflowUpdateFailedError) as refusal:  # the worker knows the model, too
            await handle.execute_update("answer", {"step": "trip", "values": values})
        assert isinstance(refusal.value.cause, ApplicationError)
        assert fault in refusal.value.cause.message
        assert refusal.value.cause.details[0]["field"] == field
    await take(TESTER, job.id, "trip", TRIP, "no plane")
    witnessed = await seen(engine, job.id)
    assert witnessed.input == {"to": {**TRIP, "city": "Rome"}, "city": "Rome"}
    (said,) = witnessed.heard
    assert (said["step"], said["agent"], said["output"]) == ("trip", "tester", "no plane")
    assert said["data"] == {**TRIP, "city": "Rome"}


async def test_the_note_of_an_approval_is_in_the_context_of_its_agents(engine: Engine) -> None:
    started = await engine.start("a_note", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["go"])
    await engine.services.controller.approve(TESTER, started.job_id, None, "but gently")
    (said,) = (await seen(engine, started.job_id, "go")).heard
    assert (said["agent"], said["summary"], said["output"]) == ("tester", "Approved by tester.", "but gently")


async def test_only_those_whom_an_approval_names_may_decide(engine: Engine) -> None:
    control, scopes = engine.services.controller, frozenset({Scope.JOBS_READ, Scope.JOBS_CANCEL})
    owner, boss = Principal(TESTER.id, scopes), Principal("sam", scopes, key="k1", key_name="boss")
    for decide, by_answer in ((control.approve, False), (control.reject, False), (None, True)):
        started = await engine.start("a_by", {})
        job = await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["go"])
        assert job.reason is not None
        assert (job.reason.code, job.reason.message, job.reason.people) == (
            "waiting_for_approval",
            "Go?",
            ("key:boss", "role:admin"),
        )
        assert [call.status for call in job.calls] == ["waiting_for_approval"]
        for refused in (control.approve, control.reject):
            with pytest.raises(Forbidden, match="is for key:boss, role:admin"):
                await refused(owner, job.id, "go")
            with pytest.raises(NotFound):
                await refused(Principal("eve", scopes, key="k2"), job.id, "go")
        with pytest.raises(Forbidden):
            await engine.services.questions.answer(owner, job.id, "go", {"approved": True})
        if by_answer:
            await engine.services.questions.answer(boss, job.id, "go", {"approved": True}, "gently")
        elif decide is not None:
            assert (await decide(boss, job.id, None, "gently")).done
        job = await engine.ended(job.id)
        if decide == control.reject:
            assert job.error is not None
            assert (job.state, job.error.type, job.error.message) == (JobState.FAILED, "rejected", "gently")
            continue
        assert job.state is JobState.COMPLETED, job.error
        assert [(each.step, each.actor, each.note) for each in job.approvals] == [("go", "sam", "gently")]
        (said,) = (await seen(engine, job.id, "go")).heard
        assert (said["agent"], said["output"]) == ("sam", "gently")
        await assert_replays([await engine.history(job.id)], [Plugin("asking", (AGENT,), WORKFLOWS)])


async def test_a_form_that_nobody_fills_in_ends_as_the_plan_says(engine: Engine) -> None:
    late = await engine.run("a_late", {})
    assert late.error is not None
    assert (late.error.type, late.error.step) == ("answer_timeout", "trip")
    skipped = await engine.run("a_skip", {})
    assert skipped.state is JobState.COMPLETED
    assert [(call.step, call.status, call.why) for call in skipped.calls] == [
        ("book", "skipped", "trip did not run"),
    ]
    default = await engine.run("a_default", {})
    assert (await seen(engine, default.id, "use")).input == {"n": 3}


async def test_each_item_has_a_question_of_its_own(engine: Engine) -> None:
    job = await waiting(engine, "a_each", {"names": ["ann", "bob"]}, questions=2)
    assert sorted(question.id for question in job.open_questions) == ["trip[ann]", "trip[bob]"]
    take = engine.services.questions.answer
    with pytest.raises(InvalidInput, match="asks no question 'trip'"):
        await take(TESTER, job.id, "trip", TRIP)
    await take(TESTER, job.id, "trip[bob]", {**TRIP, "city": "Oslo"})
    await take(TESTER, job.id, "trip[ann]", TRIP)
    assert (await seen(engine, job.id, key="bob")).input == {"who": "bob", "city": "Oslo"}
    assert (await seen(engine, job.id, key="ann")).input == {"who": "ann", "city": "Rome"}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"agents": ("witness",)}, "agents and ask"),
        ({"input": {"a": 1}}, "so it has no input"),
    ],
)
def test_a_step_that_asks_does_nothing_else(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Step(id="trip", ask=Ask(form=Trip, message="When?"), **fields)


def test_a_field_that_a_form_lacks_is_found_at_load() -> None:
    wrong = flow(
        "a_wrong",
        step("trip", ask=Ask(form=Trip, message="When?")),
        step("book", "witness", needs=["trip"], input={"to": cel("steps.trip.town")}),
    )
    with pytest.raises(CatalogueError, match="town"):
        build_catalogue([Plugin("wrong", (AGENT,), (wrong,))])
