"""The runtime against a local server that speaks the OpenAI protocol: one request per attempt, errors sorted."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_serializer, field_validator

from orchestrator.domain.agents import Agent, AgentOutput, Deliverable, FunctionCall, ModelSettings, StepOutput
from orchestrator.domain.commands import AgentTask, JobConfig
from orchestrator.domain.errors import AgentError
from orchestrator.domain.ids import JobKind
from orchestrator.domain.plans import Step, Timeouts
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.requests import LONG
from orchestrator.runtime.run import AgentRunner
from tests.fakes.openai_server import MODEL, Answer, Failure, OpenAIServer
from tests.fakes.sink import Sink
from tests.ledger import ledger

NOW = datetime(2026, 11, 20, 10, 0, 5, 123456, tzinfo=UTC)
KEY = "sk-very-secret-key-0123456789"
ANSWER = {"summary": "Done.", "output": "# PRD", "deliverables": [{"path": "prd.md", "content": "# PRD"}]}


class Anything(BaseModel):
    """Any input."""


class Estimate(AgentOutput):
    """An output model with a field of its own."""

    hours: int = Field(ge=1)


def make_agent(**more: Any) -> Agent:
    defaults = {
        "id": "product_manager",
        "name": "Product Manager",
        "squad": "business",
        "description": "Writes requirements.",
        "capabilities": ("prd",),
        "instructions": "You write requirements.",
        "input_model": Anything,
    }
    return Agent(**(defaults | more))


def make_task(*, timeout: float = 30.0, config: JobConfig | None = None, **more: Any) -> AgentTask:
    step = Step(
        id="plan",
        name="Plan it",
        squad="business",
        agents=("product_manager",),
        instruction="Write the PRD.",
        timeouts=Timeouts(start_to_close=timeout),
    )
    defaults = {
        "job_id": "job_1",
        "definition": "product_manager",
        "kind": JobKind.AGENT,
        "step": step,
        "agent": "product_manager",
        "input": {"task_type": "prd", "context": "An online book store"},
        "config": config or JobConfig(),
    }
    return AgentTask(**(defaults | more))


async def run_on(
    server: OpenAIServer,
    agent: Agent | None = None,
    task: AgentTask | None = None,
    *,
    progress=None,
    sink: Sink | None = None,
    attempt: int = 1,
    config: ModelConfig | None = None,
) -> Any:
    models = ModelSource(config or ModelConfig(llm_base_url=server.url, llm_api_key=KEY))
    try:
        return await AgentRunner(models, lambda: NOW).run(
            agent or make_agent(),
            task or make_task(),
            attempt=attempt,
            progress=progress or (lambda _: None),
            sink=sink or Sink(),
        )
    finally:
        await models.aclose()


async def failure_of(
    *script: Answer | Failure, task: AgentTask | None = None, reader: bool = True
) -> tuple[AgentError, OpenAIServer]:
    async with OpenAIServer(*script) as server:
        with pytest.raises(AgentError) as failed:
            await run_on(server, task=task, sink=Sink(reader=reader))
    return failed.value, server


BOTH = pytest.mark.parametrize("reader", [True, False], ids=["read", "unread"])


@ledger("D-030")
@BOTH
async def test_an_answer_becomes_a_result_with_usage_and_published_cost(reader: bool):
    async with OpenAIServer(Answer(ANSWER)) as server:
        result = await run_on(server, sink=Sink(reader=reader))
    assert server.received[0].body["stream"] is reader
    assert result.step == "plan"
    assert result.agent == "product_manager"
    assert (result.summary, result.output) == ("Done.", "# PRD")
    assert result.deliverables == [Deliverable(path="prd.md", content="# PRD")]
    assert result.metadata == {"task_type": "prd", "timestamp": "2026-11-20T10:00:05Z"}
    assert result.model == MODEL
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (450, 3092)
    assert result.usage.cost == pytest.approx(0.042504)
    assert result.usage.provider_cost is None
    assert len(server.received) == 1


async def test_the_prompt_holds_instructions_input_step_and_earlier_results():
    context = [
        StepOutput(step="research", agent="analyst", summary="Short A", output="Full text A", data={"share": 3}),
        StepOutput(step="other", agent="analyst", summary="Short B"),
    ]
    async with OpenAIServer(Answer(ANSWER)) as server:
        await run_on(server, task=make_task(context=context))
    system, user = (message["content"] for message in server.received[0].body["messages"])
    assert system == "You write requirements."
    for part in ("Plan it", "Write the PRD.", "An online book store", "Full text A", '"share": 3', "Short B"):
        assert part in user


async def test_the_agents_own_settings_are_sent_when_the_request_names_none():
    settings = ModelSettings(default_model="openai:house-model", default_temperature=0.2, max_tokens=777)
    async with OpenAIServer(Answer(ANSWER)) as server:
        await run_on(server, agent=make_agent(settings=settings))
    body = server.received[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("house-model", 0.2, 777)
    assert body["stream"] is True
    assert server.received[0].authorization == f"Bearer {KEY}"


async def test_overrides_of_the_request_arrive_at_the_server():
    config = JobConfig(model="anthropic/claude-3-opus", temperature=0.0, max_tokens=55)
    async with OpenAIServer(Answer(ANSWER)) as server:
        await run_on(server, task=make_task(config=config))
    body = server.received[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("claude-3-opus", 0.0, 55)


async def test_without_a_reader_the_model_is_asked_for_its_answer_in_one_piece_which_late_readers_get():
    sink, seen = Sink(reader=False), []
    async with OpenAIServer(Answer(ANSWER)) as server:
        await run_on(server, sink=sink, progress=seen.append)
    assert server.received[0].body["stream"] is False
    assert (sink.sent, seen) == (["# PRD"], [len(json.dumps(ANSWER))])


@pytest.mark.parametrize(
    "more",
    [
        {"attempt": 2},  # A gateway may have cut the silent connection of the first one.
        {"task": make_task(config=JobConfig(max_tokens=LONG + 1))},
        {"always_stream": True},
    ],
    ids=["repeated", "long", "setting"],
)
async def test_what_a_silent_connection_may_not_survive_is_streamed_without_a_reader(more: dict[str, Any]):
    always = more.pop("always_stream", False)
    async with OpenAIServer(Answer(ANSWER)) as server:
        config = ModelConfig(llm_base_url=server.url, always_stream=always)
        result = await run_on(server, sink=Sink(reader=False), config=config, **more)
    assert server.received[0].body["stream"] is True
    assert result.output == "# PRD"


async def test_a_correction_answers_every_tool_call_of_the_answer_before():
    async with OpenAIServer(Answer({"summary": "s"}), Answer(ANSWER)) as server:
        await run_on(server)
    asked = server.received[1].body["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "tool"]
    assert asked[3]["tool_call_id"] == asked[2]["tool_calls"][0]["id"]
    assert "Field required" in asked[3]["content"]


async def test_progress_grows_to_the_length_of_the_answer():
    seen: list[int] = []
    async with OpenAIServer(Answer(ANSWER, pieces=5)) as server:
        await run_on(server, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) >= 5
    assert seen[-1] >= len("# PRD")


async def test_fields_of_the_output_model_become_data():
    async with OpenAIServer(Answer({"summary": "s", "output": "o", "hours": 12})) as server:
        result = await run_on(server, agent=make_agent(output_model=Estimate))
    assert result.data == {"hours": 12}


async def test_prose_of_a_server_without_tools_is_taken_as_the_answer():
    async with OpenAIServer(Answer("# Title\n\nFirst paragraph.\n\nMore.", as_text=True)) as server:
        result = await run_on(server)
    assert result.output == "# Title\n\nFirst paragraph.\n\nMore."
    assert result.summary == "First paragraph."
    assert result.deliverables == []


async def test_json_text_is_read_as_the_output_model():
    text = '```json\n{"summary": "s", "output": "o", "hours": 3}\n```'
    async with OpenAIServer(Answer(text, as_text=True)) as server:
        result = await run_on(server, agent=make_agent(output_model=Estimate))
    assert (result.output, result.data) == ("o", {"hours": 3})


async def test_an_answer_that_does_not_fit_is_corrected_once_and_both_requests_are_paid():
    async with OpenAIServer(Answer({"summary": "s"}), Answer(ANSWER)) as server:
        result = await run_on(server)
    assert result.output == "# PRD"
    assert len(server.received) == 2
    assert result.usage.total_tokens == 2 * 3542


async def test_cost_is_unknown_when_the_server_counts_no_tokens():
    async with OpenAIServer(Answer(ANSWER, usage=False)) as server:
        result = await run_on(server)
    assert result.usage.total_tokens == 0
    assert result.usage.cost is None


async def test_text_cut_at_max_tokens_is_marked():
    async with OpenAIServer(Answer("A long", as_text=True, finish_reason="length")) as server:
        result = await run_on(server)
    assert result.metadata["truncated"] is True


@pytest.mark.parametrize(
    ("reply", "kind", "retryable"),
    [
        (Failure(429, {"message": "slow down"}), "provider_rate_limited", True),
        (Failure(429, {"message": "q", "code": "insufficient_quota"}), "quota_exhausted", False),
        (Failure(402, {"message": "pay"}), "quota_exhausted", False),
        (Failure(500, {"message": "x"}), "provider_unavailable", True),
        (Failure(502), "provider_unavailable", True),
        (Failure(503), "provider_unavailable", True),
        (Failure(504), "provider_unavailable", True),
        (Failure(529), "provider_unavailable", True),
        (Failure(408), "provider_timeout", True),
        (Failure(409), "provider_unavailable", True),
        (Failure(401, {"message": "bad key"}), "provider_authentication", False),
        (Failure(403), "provider_authentication", False),
        (Failure(400, {"message": "no"}), "provider_rejected", False),
        (Failure(404, {"message": "no", "code": "model_not_found"}), "provider_rejected", False),
        (Failure(413), "provider_rejected", False),
        (Failure(422), "provider_rejected", False),
        (Failure(400, {"message": "m", "code": "context_length_exceeded"}), "context_overflow", False),
        (Failure(400, {"message": "This model's maximum context length is 8"}), "context_overflow", False),
        (Failure(400, {"message": "m", "code": "content_filter"}), "content_filtered", False),
        (Answer("", as_text=True, finish_reason="content_filter"), "content_filtered", False),
        (Answer("Half an", as_text=True, finish_reason="content_filter"), "content_filtered", False),
        (Answer(ANSWER, then="break"), "provider_unreachable", True),
        (Answer("Half an", as_text=True, then="stop"), "provider_unreachable", True),
    ],
)
@BOTH
async def test_every_failure_of_the_provider_is_sorted_once_after_one_request(reply, kind, retryable, reader):
    error, server = await failure_of(reply, reader=reader)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert error.retry_after is None
    assert len(error.message) <= 300
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_kept(status):
    error, _ = await failure_of(Failure(status, headers={"Retry-After": "7"}))
    assert error.retry_after == 7.0


async def test_retry_after_as_a_date_is_kept():
    until = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error, _ = await failure_of(Failure(429, headers={"Retry-After": until}))
    assert error.retry_after is not None
    assert 3000 < error.retry_after <= 3600


@pytest.mark.parametrize(
    "reply",
    [Answer('{"summary": '), Answer({"summary": 3, "output": "o"}), Answer('{"summary": ', as_text=True)],
    ids=["broken json", "wrong type", "broken json as text"],
)
@BOTH
async def test_an_answer_that_never_fits_is_malformed_and_billed(reply, reader):
    error, server = await failure_of(reply, reader=reader)
    assert (error.kind, error.retryable) == ("malformed_output", False)
    assert "does not fit the agent's output model" in error.message
    assert error.usage is not None
    assert error.usage.total_tokens == 2 * 3542
    assert len(server.received) == 2


async def test_an_answer_that_outgrows_max_tokens_says_so():
    error, _ = await failure_of(Answer('{"summary": "s', finish_reason="length"))
    assert (error.kind, error.retryable) == ("output_truncated", False)
    assert "max_tokens" in error.message


TRUNCATED = Answer('{"summary": "s', finish_reason="length")


async def test_an_answer_gets_the_length_that_the_tokens_of_its_call_allow():
    wish = JobConfig(max_tokens=5000)
    for allowance, length in ((None, 5000), (100_000, 5000), (1000, 950)):
        async with OpenAIServer(Answer(ANSWER)) as server:
            await run_on(server, task=make_task(config=wish, allowance=allowance))
        assert length - 100 <= server.received[0].body["max_tokens"] <= length


@pytest.mark.parametrize("reply", [TRUNCATED, Answer("No end", as_text=True, finish_reason="length")])
async def test_an_answer_that_outgrows_the_tokens_of_its_call_exceeds_the_budget_and_is_billed(reply):
    error, _ = await failure_of(reply, task=make_task(allowance=1000))
    assert (error.kind, error.retryable) == ("budget_exceeded", False)
    assert "tokens of this month are used up" in error.message
    assert error.usage is not None
    assert error.usage.total_tokens == 3542
    error, _ = await failure_of(TRUNCATED, task=make_task(allowance=100_000))
    assert error.kind == "output_truncated"


async def test_a_call_whose_tokens_are_cut_has_none_for_a_correction():
    misfit = Answer({"summary": 3, "output": "o"})
    error, server = await failure_of(misfit, task=make_task(allowance=1000))
    assert (error.kind, len(server.received)) == ("budget_exceeded", 1)
    error, server = await failure_of(misfit, task=make_task(allowance=100_000))
    assert (error.kind, len(server.received)) == ("malformed_output", 2)


async def test_a_prompt_that_needs_more_than_is_left_is_not_sent():
    error, server = await failure_of(Answer(ANSWER), task=make_task(allowance=20))
    assert (error.kind, error.retryable, server.received) == ("budget_exceeded", False, [])


@BOTH
async def test_a_call_ends_itself_before_the_steps_time_is_over(reader: bool):
    error, server = await failure_of(Answer(ANSWER, then="hang"), task=make_task(timeout=1.0), reader=reader)
    assert (error.kind, error.retryable) == ("provider_timeout", True)
    await asyncio.wait_for(server.disconnected.wait(), 10)


async def test_a_server_that_is_not_there_is_unreachable():
    server = OpenAIServer(Answer(ANSWER))
    async with server:
        pass
    with pytest.raises(AgentError) as failed:
        await run_on(server)
    assert (failed.value.kind, failed.value.retryable) == ("provider_unreachable", True)


async def test_cancelling_a_call_closes_its_connection():
    arrived = asyncio.Event()
    async with OpenAIServer(Answer(ANSWER, then="hang")) as server:
        call = asyncio.create_task(run_on(server, progress=lambda _: arrived.set()))
        await asyncio.wait_for(arrived.wait(), 10)
        assert not server.disconnected.is_set()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(server.disconnected.wait(), 10)


async def test_no_secret_and_no_cause_leaves_with_an_error():
    echoed = f"Bad header Authorization: Bearer {KEY}, api_key={KEY} and sk-proj-abcdef. " + "x" * 1000
    for status in (400, 401, 500):
        error, _ = await failure_of(Failure(status, {"message": echoed}))
        assert KEY not in error.message
        assert "sk-proj" not in error.message
        assert len(error.message) <= 300
        # Temporal writes causes into the history, and the provider's error holds the whole body.
        assert error.__cause__ is None
        assert error.__suppress_context__


async def test_a_function_agent_gets_the_same_effect_id_on_every_attempt():
    calls: list[FunctionCall] = []

    async def act(call: FunctionCall) -> Estimate:
        calls.append(call)
        return Estimate(summary="s", output="o", hours=2)

    models = ModelSource(ModelConfig())
    agent = make_agent(function=act, output_model=Estimate)
    runner = AgentRunner(models, lambda: NOW)
    results = [await runner.run(agent, make_task(), attempt=n, progress=lambda _: None, sink=Sink()) for n in (1, 2)]
    await models.aclose()
    assert [call.effect_id for call in calls] == ["job_1/plan/product_manager"] * 2
    assert [call.attempt for call in calls] == [1, 2]
    assert calls[0].input == {"task_type": "prd", "context": "An online book store"}
    assert results[0].model == "function/product_manager"
    assert results[0].data == {"hours": 2}
    assert (results[0].usage.total_tokens, results[0].usage.cost) == (0, 0.0)


async def test_errors_of_a_function_pass_through_and_a_wrong_answer_is_malformed():
    async def fail(_: FunctionCall) -> AgentOutput:
        raise KeyError("their own")

    async def wrong(_: FunctionCall) -> Any:
        return {"summary": "s"}

    models = ModelSource(ModelConfig())
    runner = AgentRunner(models, lambda: NOW)
    with pytest.raises(KeyError):
        await runner.run(make_agent(function=fail), make_task(), attempt=1, progress=lambda _: None, sink=Sink())
    with pytest.raises(AgentError) as failed:
        await runner.run(make_agent(function=wrong), make_task(), attempt=1, progress=lambda _: None, sink=Sink())
    await models.aclose()
    assert (failed.value.kind, failed.value.retryable) == ("malformed_output", False)


async def test_without_a_provider_the_drafter_answers_and_says_so():
    models = ModelSource(ModelConfig(default_model="anthropic/claude-3.5-sonnet"))
    seen: list[int] = []
    result = await AgentRunner(models, lambda: NOW).run(
        make_agent(), make_task(), attempt=1, progress=seen.append, sink=Sink()
    )
    await models.aclose()
    assert result.model == "offline/drafter"
    assert "offline draft" in result.output.lower()
    assert "online book store" in result.output
    assert result.metadata["offline"] is True
    assert result.usage.provider_cost == 0.0
    assert result.usage.cost == pytest.approx(result.usage.total_tokens / 1000 * 0.012, abs=1e-6)
    assert seen


@pytest.mark.parametrize("answer", [Answer(ANSWER), Answer(json.dumps(ANSWER), as_text=True)])
async def test_a_validator_that_exits_fails_its_own_call(answer: Answer) -> None:
    """In a task of the model layer an exit would leave the worker's event loop."""

    class Exiting(AgentOutput):
        """Reads nothing."""

        @field_validator("summary")
        @classmethod
        def _leave(cls, _: str) -> str:
            sys.exit(3)

    async with OpenAIServer(answer) as server:
        with pytest.raises(AgentError) as failed:
            await run_on(server, agent=make_agent(output_model=Exiting))
    assert (failed.value.kind, failed.value.retryable) == ("SystemExit", False)
    assert failed.value.usage is not None
    assert failed.value.message == "The code of product_manager raised SystemExit: 3"


class Blocking(AgentOutput):
    """Its code holds the thread that it runs in, where the answer says."""

    @field_validator("summary")
    @classmethod
    def _blocks(cls, text: str) -> str:
        if text == "validator":
            time.sleep(4)
        return text

    @field_serializer("summary")
    def _blocks_too(self, text: str) -> str:
        if text == "serializer":
            time.sleep(4)
        return text


@pytest.mark.parametrize("place", ["validator", "serializer"])
@pytest.mark.parametrize("as_text", [False, True])
async def test_code_of_an_output_model_that_blocks_fails_its_own_call_and_holds_no_loop(
    place: str, as_text: bool
) -> None:
    given = {"summary": place, "output": "o"}
    agent, bulkhead = make_agent(output_model=Blocking), Bulkhead(block_limit=0.5)
    async with OpenAIServer(Answer(json.dumps(given) if as_text else given, as_text=as_text)) as server:
        models = ModelSource(ModelConfig(llm_base_url=server.url, llm_api_key=KEY), bulkhead)
        running = asyncio.create_task(
            AgentRunner(models, lambda: NOW, bulkhead).run(
                agent, make_task(), attempt=1, progress=lambda _: None, sink=Sink()
            )
        )
        with pytest.raises(AgentError) as failed:
            await running
        await models.aclose()
    assert (failed.value.kind, failed.value.retryable) == ("agent_blocked", False)
    assert "test_runtime.py" in failed.value.message
    assert failed.value.usage is not None
    assert len(server.received) == 1


async def test_a_validator_that_blocks_fails_the_call_that_is_drafted_offline() -> None:
    class Slow(AgentOutput):
        """Takes long to read whatever it is given."""

        @field_validator("summary")
        @classmethod
        def _blocks(cls, text: str) -> str:
            time.sleep(4)
            return text

    bulkhead = Bulkhead(block_limit=0.5)
    models = ModelSource(ModelConfig(), bulkhead)
    runner = AgentRunner(models, lambda: NOW, bulkhead)
    with pytest.raises(AgentError) as failed:
        await runner.run(make_agent(output_model=Slow), make_task(), attempt=1, progress=lambda _: None, sink=Sink())
    await models.aclose()
    assert (failed.value.kind, failed.value.retryable) == ("agent_blocked", False)
