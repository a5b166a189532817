"""Runs one attempt of an agent call: with a model for a prompted agent, directly for a function agent."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic_ai import Agent as ModelAgent
from pydantic_ai import ModelRetry, ModelSettings, TextOutput, ToolOutput
from pydantic_ai.exceptions import OutputTokenLimitExceeded, UsageLimitExceeded
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.run import AgentRunResult
from pydantic_ai.usage import RunUsage, UsageLimits

from orchestrator.domain.agents import Agent, AgentFunction, AgentOutput, FunctionCall
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError, InvalidInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.moments import stamp
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.domain.ports import TextSink
from orchestrator.domain.steps import TIME_SHARE
from orchestrator.domain.text import name
from orchestrator.domain.usage import Usage, estimated_tokens, published_cost
from orchestrator.runtime.answer_text import AnswerText
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.errors import STREAM_STOPPED, agent_error
from orchestrator.runtime.inputs import apply_model
from orchestrator.runtime.lengths import Length
from orchestrator.runtime.models import ModelSource
from orchestrator.runtime.output_models import InvalidAnswer, RawAnswer, raw_model, read, read_text
from orchestrator.runtime.prompts import user_prompt
from orchestrator.runtime.responses import SoundResponses, is_whole
from orchestrator.runtime.results import MALFORMED, agent_result
from orchestrator.runtime.turn_messages import ANSWER_TOOL
from orchestrator.runtime.turns import TurnRunner
from orchestrator.runtime.usage import provider_cost_of, usage_of

Progress = Callable[[int], None]

# One correction inside the call if the answer is invalid. Temporal owns all other retries.
_CORRECTIONS: Final = 1
# A call with too few tokens for its whole answer has none for a correction.
_ONE_REQUEST: Final = UsageLimits(request_limit=1)


class AgentRunner:
    """Implements the port `AgentRuntime` with pydantic-ai."""

    def __init__(
        self,
        models: ModelSource,
        clock: Callable[[], datetime],
        bulkhead: Bulkhead | None = None,
        turns: TurnRunner | None = None,
    ) -> None:
        self._models = models
        self._clock = clock
        self._bulkhead = bulkhead or Bulkhead()
        self._turns = turns

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Progress, sink: TextSink
    ) -> AgentResult:
        """Run one attempt. `progress` receives the number of characters so far, `sink` the streamed text.

        Raises `AgentError`. Errors of an agent function pass through unchanged.
        """
        if agent.function is not None:
            return await self._call_function(agent, agent.function, task, attempt)
        if task.turn is None and (task.kind is JobKind.AGENT or task.own_input):
            # Only here: else the input belongs to the workflow, and the model gets it unchanged.
            task = task.model_copy(update={"input": await _input_of(agent, task, as_json=True)})
        if agent.acts:
            if self._turns is None:
                raise TypeError("this runtime was built without turns, which an agent with tools needs")
            return await self._turns.run(agent, task, attempt=attempt, answer_text=AnswerText(progress, sink))
        return await self._ask_model(agent, task, AnswerText(progress, sink))

    async def _call_function(self, agent: Agent, function: AgentFunction, task: AgentTask, attempt: int) -> AgentResult:
        call = FunctionCall(
            job_id=task.job_id,
            step=task.step.id,
            attempt=attempt,
            effect_id=task.call_id.effect_id(task.job_id),
            input=await _input_of(agent, task),
            context=task.context,
        )

        def result(output: object) -> AgentResult:
            # This runs in the function's thread or loop: serializers of its output model are author code too.
            if not isinstance(output, AgentOutput):
                raise AgentError(
                    f"The function of agent {agent.id} returned {name(type(output).__name__)}, not an AgentOutput.",
                    kind=MALFORMED,
                    retryable=False,
                )
            usage = Usage(cost=0.0, provider_cost=0.0)
            return self._result(agent, task, output, usage=usage, model=f"function/{agent.id}")

        return await self._bulkhead.call(agent.id, function, call, finish=result)

    async def _ask_model(self, agent: Agent, task: AgentTask, answer_text: AnswerText) -> AgentResult:
        model = self._models.model_for(agent, task)
        run_usage = RunUsage()
        prompt = user_prompt(task)
        length = Length.of(agent, task, prompt)
        responses = SoundResponses()
        reader = _Reader(agent, self._bulkhead)
        try:
            run = await _model_agent(agent, model, responses, reader).run(
                prompt,
                model_settings=_settings(agent, task, model, length.tokens),
                usage=run_usage,
                usage_limits=_ONE_REQUEST if length.cut else None,
                timeout=task.step.timeouts.start_to_close * TIME_SHARE,
                event_stream_handler=answer_text.read,
            )
        except AgentError as error:  # From the offline drafter, or a validator that blocks or exits.
            raise _with_usage(error, agent, run_usage) from error.__cause__
        except Exception as error:  # noqa: BLE001 - the edge of the model layer: a gateway's response can break it anywhere
            billed = usage_of(agent, run_usage, None) if run_usage.has_values() else None
            # A draft has no stream that could break off.
            last = None if model.model_name == OFFLINE_MODEL else responses.last
            if length.cut and isinstance(error, (OutputTokenLimitExceeded, UsageLimitExceeded)):
                raise length.exceeded(billed) from None
            # `from None`: the provider's error contains the request and the whole body.
            raise agent_error(
                error, last=last, secrets=self._models.secrets, usage=billed, faults=reader.faults
            ) from None
        if model.model_name == OFFLINE_MODEL:
            make_result: Callable[[], AgentResult] = partial(self._result_of_draft, agent, task, run, prompt)
        else:
            usage = usage_of(agent, run_usage, _provider_cost(run))
            if length.cut and run.response.finish_reason == "length":
                raise length.exceeded(usage)
            make_result = self._result_of_answer(agent, task, run, usage=usage, requested_model=model.model_name)
        try:
            # Serializers of an output model are author code too.
            return await self._bulkhead.watch(agent.id, make_result)
        except AgentError as error:
            raise _with_usage(error, agent, run_usage) from error.__cause__

    def _result_of_answer(
        self, agent: Agent, task: AgentTask, run: AgentRunResult[AgentOutput], *, usage: Usage, requested_model: str
    ) -> Callable[[], AgentResult]:
        """Return a function that creates the result. Raises `AgentError` for an incomplete answer."""
        response = run.response
        _check_whole(response, usage)
        truncation = {"truncated": True} if response.finish_reason == "length" else {}
        answered_by = response.model_name or requested_model
        return partial(self._result, agent, task, run.output, usage=usage, model=answered_by, metadata=truncation)

    def _result_of_draft(
        self, agent: Agent, task: AgentTask, run: AgentRunResult[AgentOutput], prompt: str
    ) -> AgentResult:
        """The result of the offline drafter, with an estimate of the tokens: four characters are one token."""
        prompt_tokens = estimated_tokens(agent.instructions + prompt)
        completion_tokens = estimated_tokens(run.output.model_dump_json())
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=published_cost(prompt_tokens + completion_tokens, agent.pricing.per_1k_tokens),
            provider_cost=0.0,
        )
        metadata = {"offline": True, "tokens_estimated": True}
        return self._result(agent, task, run.output, usage=usage, model=OFFLINE_MODEL, metadata=metadata)

    def _result(
        self,
        agent: Agent,
        task: AgentTask,
        output: AgentOutput,
        *,
        usage: Usage,
        model: str,
        metadata: dict[str, Any] | None = None,
    ) -> AgentResult:
        """The output as a result that Temporal can store, with the metadata of D-026."""
        notes = {"timestamp": stamp(self._clock()), **(metadata or {})}
        return agent_result(agent, task, output, usage=usage, model=model, metadata=notes)


async def _input_of(agent: Agent, task: AgentTask, *, as_json: bool = False) -> dict[str, Any]:
    """Validate the input with the agent's input model. Raises `AgentError`, not retryable."""
    try:
        return await apply_model(agent.input_model, task.input, as_json=as_json)
    except InvalidInput as fault:
        message = f"The input does not fit agent {agent.id}: {fault.message}"
        raise AgentError(message, kind="invalid_input", retryable=False) from None


def _check_whole(response: ModelResponse, usage: Usage) -> None:
    """Raise `AgentError` for an answer that the provider's filter cut off, and for prose without a reported end."""
    if response.finish_reason == "content_filter":
        message = "The provider's content filter cut the answer off."
        raise AgentError(message, kind="content_filtered", retryable=False, usage=usage)
    if not response.tool_calls and not is_whole(response):
        raise AgentError(STREAM_STOPPED, kind="provider_unreachable", retryable=True, usage=usage)


class _Reader:
    """Reads the answers of one call with the agent's output model, in the agent's event loop."""

    def __init__(self, agent: Agent, bulkhead: Bulkhead) -> None:
        self._agent = agent
        self._bulkhead = bulkhead
        self.faults = ""

    async def read(self, answer: Any) -> AgentOutput:
        """Read an answer from the tool call. Raises `ModelRetry`, and `AgentError` for a validator that blocks."""
        if isinstance(answer, RawAnswer):
            return await self._read(partial(read, self._agent.output_model, answer))
        output: AgentOutput = answer  # `read_text` has validated it.
        return output

    async def read_text(self, text: str) -> AgentOutput:
        """Read an answer from text. Raises the same errors as `read`."""
        return await self._read(partial(read_text, self._agent.output_model, text))

    async def _read(self, reading: Callable[[], AgentOutput | InvalidAnswer]) -> AgentOutput:
        answer = await self._bulkhead.watch(self._agent.id, reading)
        if isinstance(answer, InvalidAnswer):
            self.faults = answer.faults
            raise ModelRetry(answer.correction)
        return answer


def _model_agent(
    agent: Agent, model: Model, responses: SoundResponses, reader: _Reader
) -> ModelAgent[None, AgentOutput]:
    # Any: the types of pydantic-ai do not allow a text function to return the tool's output.
    text_reader: Any = reader.read_text
    model_agent: ModelAgent[None, AgentOutput] = ModelAgent(
        model,
        name=agent.id,
        output_type=[
            ToolOutput(raw_model(agent.output_model), name=ANSWER_TOOL, description="Give the complete answer."),
            TextOutput(text_reader),
        ],
        instructions=agent.instructions or agent.description,
        retries={"tools": 0, "output": _CORRECTIONS},
        capabilities=[responses],
    )
    model_agent.output_validator(reader.read)
    return model_agent


def _with_usage(error: AgentError, agent: Agent, run_usage: RunUsage) -> AgentError:
    """Add the usage of the call to its error."""
    if error.usage is None and run_usage.has_values():
        error.usage = usage_of(agent, run_usage, None)
    return error


def _settings(agent: Agent, task: AgentTask, model: Model, max_tokens: int) -> ModelSettings:
    """The temperature of the request, else of the agent (D-023); the answer tool is forced if the model supports it."""
    requested, default = task.config, agent.settings
    settings = ModelSettings(
        temperature=default.default_temperature if requested.temperature is None else requested.temperature,
        max_tokens=max_tokens,
    )
    if model.profile.get("supports_forced_tool_choice", True):
        settings["tool_choice"] = [ANSWER_TOOL]
    return settings


def _provider_cost(run: AgentRunResult[AgentOutput]) -> float | None:
    return provider_cost_of([message for message in run.new_messages() if isinstance(message, ModelResponse)])
