"""Which models may be called, before anything is started."""

import pytest

from orchestrator.domain.agents import AgentOutput
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import JobConfig, JobInput
from orchestrator.domain.errors import ModelNotConfigured
from orchestrator.domain.ids import JobKind
from orchestrator.domain.model_choice import ChosenModel, Providers
from orchestrator.domain.plans import Plan, Step
from orchestrator.services.jobs.models import ModelCheck
from tests.unit.test_models import make_agent

OPENAI = Providers(openai=True)


def job_of(*agents: str, model: str | None = None, task_queue: str | None = None) -> JobInput:
    step = Step(id="write", name="Write", squad="documentation", agents=agents, task_queue=task_queue)
    return JobInput(
        job_id="wf_job_1",
        kind=JobKind.WORKFLOW,
        definition="d",
        name="D",
        owner="alice",
        input={},
        config=JobConfig(model=model),
        plan=Plan(steps=(step,)),
    )


def check_of(providers: Providers, **changes: object) -> ModelCheck:
    agent = make_agent().model_copy(update=changes)
    return ModelCheck(Catalogue({"writer": agent}, {}), providers)


@pytest.mark.parametrize(
    ("providers", "name", "chosen"),
    [
        (Providers(), "offline:drafter", ChosenModel("offline", "offline/drafter")),
        (Providers(), "gpt-4", ChosenModel("offline", "offline/drafter")),
        (Providers(drafted=frozenset({"*"})), "foo:bar", ChosenModel("offline", "offline/drafter")),
        (OPENAI, "gpt-4", ChosenModel("openai", "gpt-4")),
        (Providers(base_url=True), "foo:bar", ChosenModel("openai", "foo:bar")),
        (Providers(anthropic=True), "anthropic/claude-3.5-sonnet", ChosenModel("anthropic", "claude-3.5-sonnet")),
    ],
)
def test_a_requested_model_is_used(providers, name, chosen):
    assert providers.requested(name) == chosen


@pytest.mark.parametrize(
    ("providers", "name", "remedy"),
    [
        (Providers(), "foo:bar", "offline/drafter"),
        (Providers(), "openai:gpt-5-mini", "OPENAI_API_KEY"),
        (Providers(drafted=frozenset({"none"})), "gpt-4", "offline/drafter"),
        (OPENAI, "anthropic/claude-3.5-sonnet", "ANTHROPIC_API_KEY"),
        (OPENAI, "foo:bar", "ORCHESTRATOR_LLM_BASE_URL"),
    ],
)
def test_or_refused_with_a_remedy(providers, name, remedy):
    with pytest.raises(ModelNotConfigured) as refused:
        providers.requested(name)
    assert name in refused.value.message
    assert remedy in refused.value.message


@pytest.mark.parametrize(
    ("own", "default", "expected"),
    [("openai:own", "openai:default", "own"), (None, "openai:default", "default"), (None, None, "settings")],
)
def test_an_engineers_choice_wins_over_the_installations_default(own, default, expected):
    agent = make_agent("openai:settings").model_copy(update={"model": own})
    providers = Providers(openai=True, default_model=default)
    assert providers.choose(agent, None).name == expected
    assert providers.choose(agent, "openai:requested").name == "requested"


def test_without_any_provider_the_models_of_agents_are_drafted():
    agent = make_agent().model_copy(update={"model": "openai:own"})
    assert Providers(default_model="openai:default").choose(agent, None).provider == "offline"


def test_the_check_names_the_field_or_the_agent():
    with pytest.raises(ModelNotConfigured) as requested:
        check_of(Providers()).check(job_of("writer", model="foo:bar"), field="configuration.model")
    assert (requested.value.details["field"], requested.value.details["provided"]) == ("configuration.model", "foo:bar")
    with pytest.raises(ModelNotConfigured) as own:
        check_of(OPENAI, model="anthropic:claude-x").check(job_of("writer"))
    assert (own.value.details["field"], own.value.details["agent"]) == (None, "writer")


async def _answer(_: object) -> AgentOutput:
    return AgentOutput(summary="s", output="o")


def test_functions_and_frameworks_need_no_provider():
    check_of(OPENAI, function=_answer).check(job_of("writer"))
    check_of(OPENAI).check(job_of("writer", model="foo:bar", task_queue="agents-langgraph"))
    with pytest.raises(ModelNotConfigured):
        check_of(OPENAI, function=_answer).check(job_of("writer", model="foo:bar"))
