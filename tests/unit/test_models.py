"""Which model a call gets, from the request, the settings and the agent."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.domain.agents import Agent, ModelSettings
from orchestrator.domain.commands import AgentTask, JobConfig
from orchestrator.domain.errors import AgentError
from orchestrator.domain.ids import JobKind
from orchestrator.domain.model_choice import split_model_name
from orchestrator.domain.plans import Step
from orchestrator.runtime import anthropic_models
from orchestrator.runtime import models as models_module
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from tests.fakes.openai_server import Answer, Failure, OpenAIServer
from tests.fakes.sink import Sink


class Anything(BaseModel):
    """Any input."""


def make_agent(default_model: str = "anthropic/claude-3.5-sonnet") -> Agent:
    return Agent(
        id="writer",
        name="Writer",
        squad="documentation",
        description="Writes.",
        capabilities=("writing",),
        input_model=Anything,
        settings=ModelSettings(default_model=default_model),
    )


def make_task(model: str | None = None) -> AgentTask:
    return AgentTask(
        job_id="job_1",
        definition="writer",
        kind=JobKind.AGENT,
        step=Step(id="write", name="Write", squad="documentation", agents=("writer",)),
        agent="writer",
        input={"context": "a guide"},
        config=JobConfig(model=model),
    )


def chosen(config: ModelConfig, *, request: str | None = None, agent: str = "anthropic/claude-3.5-sonnet") -> Any:
    return ModelSource(config).model_for(make_agent(agent), make_task(request))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai:gpt-4o", ("openai", "gpt-4o")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("anthropic:claude-x", ("anthropic", "claude-x")),
        ("anthropic/claude-3.5-sonnet", ("anthropic", "claude-3.5-sonnet")),
        ("openai:anthropic/claude-3.5-sonnet", ("openai", "anthropic/claude-3.5-sonnet")),
        ("gpt-4o", ("openai", "gpt-4o")),
        ("claude-x", ("anthropic", "claude-x")),
        ("qwen2.5:7b", ("", "qwen2.5:7b")),
        ("meta-llama/Llama-3-8B", ("", "meta-llama/Llama-3-8B")),
    ],
)
def test_names_are_split_at_known_providers_only(name, expected):
    assert split_model_name(name) == expected


@pytest.mark.parametrize(
    ("request_model", "default", "expected"),
    [("openai:asked", "openai:configured", "asked"), (None, "openai:configured", "configured"), (None, None, "own")],
)
def test_the_request_wins_over_the_settings_and_those_over_the_agent(request_model, default, expected):
    config = ModelConfig(default_model=default, openai_api_key="k")
    assert chosen(config, request=request_model, agent="openai:own").model_name == expected


@pytest.mark.parametrize("name", ["openai:m", "anthropic/m", "m"])
def test_with_a_base_url_every_provider_goes_there_without_its_prefix(name):
    model = chosen(ModelConfig(llm_base_url="http://127.0.0.1:9/v1", anthropic_api_key="k"), request=name)
    assert model.model_name == "m"
    assert model.base_url.startswith("http://127.0.0.1:9/v1")


def test_names_with_signs_of_their_own_reach_the_base_url_whole():
    assert chosen(ModelConfig(llm_base_url="http://127.0.0.1:9/v1"), request="qwen2.5:7b").model_name == "qwen2.5:7b"


def test_each_provider_is_taken_by_its_prefix():
    config = ModelConfig(openai_api_key="k1", anthropic_api_key="k2")
    assert chosen(config, request="openai:gpt-4o").system == "openai"
    assert chosen(config, request="anthropic/claude-x").system == "anthropic"


def test_provider_clients_never_retry_and_never_read_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://environment")
    config = ModelConfig(openai_api_key="k1", anthropic_api_key="k2")
    openai, anthropic = (chosen(config, request=name).client for name in ("openai:m", "anthropic:m"))
    compatible = chosen(ModelConfig(llm_base_url="http://127.0.0.1:9/v1")).client
    assert [client.max_retries for client in (openai, anthropic, compatible)] == [0, 0, 0]
    assert "environment" not in f"{openai.base_url} {anthropic.base_url} {openai.api_key} {compatible.api_key}"
    assert anthropic.auth_token is None


@pytest.mark.parametrize(
    ("config", "request_model", "named"),
    [
        (ModelConfig(openai_api_key="k"), None, "ANTHROPIC_API_KEY"),
        (ModelConfig(anthropic_api_key="k"), "openai:gpt-4o", "OPENAI_API_KEY"),
        (ModelConfig(openai_api_key="k"), "qwen2.5:7b", "ORCHESTRATOR_LLM_BASE_URL"),
    ],
)
def test_a_provider_without_a_key_is_an_error_that_says_what_to_set(config, request_model, named):
    with pytest.raises(AgentError) as failed:
        chosen(config, request=request_model)
    assert (failed.value.kind, failed.value.retryable) == ("model_not_configured", False)
    assert named in failed.value.message


@pytest.mark.parametrize("request_model", [None, "anthropic/claude-3.5-sonnet", "gpt-4", "offline/drafter"])
def test_with_nothing_configured_calls_are_drafted_offline(request_model):
    assert chosen(ModelConfig(), request=request_model).model_name == "offline/drafter"


def test_with_nothing_configured_a_requested_model_is_no_draft():
    with pytest.raises(AgentError) as failed:
        chosen(ModelConfig(), request="foo:bar")
    assert (failed.value.kind, failed.value.retryable) == ("model_not_configured", False)
    assert chosen(ModelConfig(drafted=frozenset({"*"})), request="foo:bar").model_name == "offline/drafter"


def test_an_agents_own_model_wins_over_the_settings():
    config = ModelConfig(default_model="openai:configured", openai_api_key="k")
    agent = make_agent("openai:theirs").model_copy(update={"model": "openai:own"})
    source = ModelSource(config)
    assert source.model_for(agent, make_task()).model_name == "own"
    assert source.model_for(agent, make_task("openai:asked")).model_name == "asked"


@pytest.mark.parametrize("name", ["offline/drafter", "offline:drafter"])
def test_the_drafter_can_be_asked_for_by_name(name):
    config = ModelConfig(openai_api_key="k", llm_base_url="http://127.0.0.1:9/v1")
    assert chosen(config, request=name).model_name == "offline/drafter"


def test_keys_are_not_shown():
    config = ModelConfig(llm_api_key="secret-1", openai_api_key="secret-2", anthropic_api_key="secret-3")
    assert "secret" not in repr(config)
    assert ModelSource(config).secrets == ("secret-1", "secret-2", "secret-3")


async def run_with(config: ModelConfig, model: str) -> Any:
    source = ModelSource(config)
    try:
        runner = AgentRunner(source, lambda: datetime(2026, 11, 20, tzinfo=UTC))
        return await runner.run(make_agent(), make_task(model), attempt=1, progress=lambda _: None, sink=Sink())
    finally:
        await source.aclose()


async def test_the_price_of_a_known_model_is_recorded_next_to_the_published_one(monkeypatch):
    answer = {"summary": "s", "output": "o"}
    async with OpenAIServer(Answer(answer, model="gpt-4o", prompt_tokens=1000, completion_tokens=1000)) as server:
        monkeypatch.setattr(models_module, "OPENAI_URL", server.url)
        result = await run_with(ModelConfig(openai_api_key="k"), "openai:gpt-4o")
    assert result.usage.provider_cost == pytest.approx(0.0125)
    assert result.usage.cost == pytest.approx(0.024)


async def test_an_overloaded_anthropic_is_asked_once(monkeypatch):
    async with OpenAIServer(Failure(529, {"type": "overloaded_error", "message": "Overloaded"})) as server:
        monkeypatch.setattr(anthropic_models, "ANTHROPIC_URL", server.url.removesuffix("/v1"))
        with pytest.raises(AgentError) as failed:
            await run_with(ModelConfig(anthropic_api_key="k"), "anthropic:claude-x")
    assert (failed.value.kind, failed.value.retryable) == ("provider_unavailable", True)
    assert [request.path for request in server.received] == ["/v1/messages"]


async def test_closing_the_source_closes_its_connections():
    source = ModelSource(ModelConfig(openai_api_key="k"))
    client = source.model_for(make_agent("openai:m"), make_task()).client
    await source.aclose()
    assert client.is_closed()
