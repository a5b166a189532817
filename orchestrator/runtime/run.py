"""Runs one attempt of an agent call: with a model for a prompted agent, directly for a function agent."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from pydantic_ai import ModelSettings
from pydantic_ai.models import Model

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
from orchestrator.runtime.answers import Asking
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.errors import TIMED_OUT, agent_error
from orchestrator.runtime.inputs import apply_model
from orchestrator.runtime.lengths import Length
from orchestrator.runtime.models import ModelSource
from orchestrator.runtime.prompts import user_prompt
from orchestrator.runtime.results import MALFORMED, agent_result
from orchestrator.runtime.turn_messages import ANSWER_TOOL
from orchestrator.runtime.turns import TurnRunner
from orchestrator.runtime.usage import provider_cost_of, usage_of

Progress = Callable[[int], None]


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
        # A gateway may have cut the silent connection of the attempt before: this one is a stream.
        return await self._ask_model(agent, task, AnswerText(progress, sink), stream=attempt > 1)

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

    async def _ask_model(self, agent: Agent, task: AgentTask, answer_text: AnswerText, *, stream: bool) -> AgentResult:
        model = self._models.model_for(agent, task)
        prompt = user_prompt(task)
        length = Length.of(agent, task, prompt)
        seconds = task.step.timeouts.start_to_close * TIME_SHARE
        asking = Asking(
            agent,
            model,
            length,
            self._bulkhead,
            answer_text,
            settings=_settings(agent, task, model, length.tokens),
            seconds=seconds,
            stream=stream or self._models.streams,
        )
        try:
            async with asyncio.timeout(seconds) as limit:
                output = await asking.answer(prompt)
        except AgentError as error:
            raise _with_usage(error, asking) from error.__cause__
        except Exception as error:  # noqa: BLE001 - the edge of the model layer: a gateway's response can break it anywhere
            if limit.expired():
                raise _with_usage(AgentError(TIMED_OUT, kind="provider_timeout", retryable=True), asking) from None
            # A draft has no stream that could break off.
            has_answered = asking.responses and model.model_name != OFFLINE_MODEL
            # `from None`: the provider's error contains the request and the whole body.
            raise _with_usage(
                agent_error(error, answered=bool(has_answered), secrets=self._models.secrets), asking
            ) from None
        if model.model_name == OFFLINE_MODEL:
            make_result: Callable[[], AgentResult] = partial(self._result_of_draft, agent, task, output, prompt)
        else:
            usage = usage_of(agent, asking.usage, provider_cost_of(asking.responses))
            response = asking.responses[-1]
            make_result = partial(
                self._result,
                agent,
                task,
                output,
                usage=usage,
                model=response.model_name or model.model_name,
                metadata={"truncated": True} if response.finish_reason == "length" else {},
            )
        try:
            # Serializers of an output model are author code too.
            return await self._bulkhead.watch(agent.id, make_result, model=agent.output_model)
        except AgentError as error:
            raise _with_usage(error, asking) from error.__cause__

    def _result_of_draft(self, agent: Agent, task: AgentTask, output: AgentOutput, prompt: str) -> AgentResult:
        """The result of the offline drafter, with an estimate of the tokens: four characters are one token."""
        prompt_tokens = estimated_tokens(agent.instructions + prompt)
        completion_tokens = estimated_tokens(output.model_dump_json())
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=published_cost(prompt_tokens + completion_tokens, agent.pricing.per_1k_tokens),
            provider_cost=0.0,
        )
        metadata = {"offline": True, "tokens_estimated": True}
        return self._result(agent, task, output, usage=usage, model=OFFLINE_MODEL, metadata=metadata)

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


def _with_usage(error: AgentError, asking: Asking) -> AgentError:
    """Add the usage of the call to its error."""
    if error.usage is None and asking.usage.has_values():
        price = provider_cost_of(asking.responses) if asking.responses else None
        error.usage = usage_of(asking.agent, asking.usage, price)
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
