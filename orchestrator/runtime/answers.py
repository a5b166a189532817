"""Asks a model for the answer of one call, and once more if the answer does not fit."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Final

from pydantic_ai import ModelSettings
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.usage import RunUsage

from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.errors import AgentError
from orchestrator.runtime.answer_text import AnswerText
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.errors import STREAM_STOPPED, TRUNCATED, misfit
from orchestrator.runtime.lengths import Length
from orchestrator.runtime.output_models import InvalidAnswer, read, read_text
from orchestrator.runtime.requests import answer_tool, response_of
from orchestrator.runtime.responses import is_whole
from orchestrator.runtime.turn_messages import ANSWER_TOOL, arguments_of, text_of

# One correction inside the call if the answer is invalid. Temporal owns all other retries.
_CORRECTIONS: Final = 1


@dataclass(slots=True)
class Asking:
    """The requests of one call so far, with their responses and what they cost."""

    agent: Agent
    model: Model
    length: Length
    bulkhead: Bulkhead
    answer_text: AnswerText
    _: KW_ONLY
    settings: ModelSettings
    seconds: float
    stream: bool
    usage: RunUsage = field(default_factory=RunUsage)
    responses: list[ModelResponse] = field(default_factory=list)

    async def answer(self, prompt: str) -> AgentOutput:
        """The answer that fits the agent's output model. Raises `AgentError`, and every error of the model layer."""
        instructions = self.agent.instructions or self.agent.description
        messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(prompt)], instructions=instructions)]
        for corrections in range(_CORRECTIONS + 1):
            response = await self._respond(messages)
            answer = await self._read(response)
            if not isinstance(answer, InvalidAnswer):
                if not response.tool_calls:
                    _check_end(response)
                return answer
            self._check_correctable(response, answer, is_last=corrections == _CORRECTIONS)
            messages += [response, ModelRequest(parts=_corrections(response, answer), instructions=instructions)]
        raise AssertionError("the last answer is read or refused")

    async def _respond(self, messages: list[ModelMessage]) -> ModelResponse:
        parameters = ModelRequestParameters(
            output_mode="tool", output_tools=[answer_tool(self.agent.output_model)], allow_text_output=True
        )
        response = await response_of(
            self.model,
            messages,
            settings=self.settings,
            parameters=parameters,
            answer_text=self.answer_text,
            seconds=self.seconds,
            stream=self.stream,
        )
        self.responses.append(response)
        self.usage.requests += 1
        self.usage.incr(response.usage)
        if response.finish_reason == "content_filter":
            message = "The provider's content filter cut the answer off."
            raise AgentError(message, kind="content_filtered", retryable=False)
        if self.length.cut and response.finish_reason == "length":
            raise self.length.exceeded(None)
        return response

    async def _read(self, response: ModelResponse) -> AgentOutput | InvalidAnswer:
        """The first answer that fits; text counts only without a tool call."""
        if not response.tool_calls:
            return await self._watch(partial(read_text, self.agent.output_model, text_of(response)))
        fault: InvalidAnswer | None = None
        for call in response.tool_calls:
            if call.tool_name != ANSWER_TOOL:
                continue
            arguments = arguments_of(call)
            if arguments is None:
                answer: AgentOutput | InvalidAnswer = InvalidAnswer("The arguments are not a JSON object.", "")
            else:
                answer = await self._watch(partial(read, self.agent.output_model, arguments))
            if not isinstance(answer, InvalidAnswer):
                return answer
            fault = fault or answer
        return fault or InvalidAnswer(f"There is no such tool. Call {ANSWER_TOOL} with the complete answer.", "")

    def _check_correctable(self, response: ModelResponse, answer: InvalidAnswer, *, is_last: bool) -> None:
        _check_end(response)
        if response.finish_reason == "length":
            raise AgentError(TRUNCATED, kind="output_truncated", retryable=False)
        if self.length.cut:  # A call with too few tokens for its whole answer has none for a correction.
            raise self.length.exceeded(None)
        if is_last:
            raise misfit(response, answer.faults)

    async def _watch(self, reading: Callable[[], AgentOutput | InvalidAnswer]) -> AgentOutput | InvalidAnswer:
        return await self.bulkhead.watch(self.agent.id, reading, model=self.agent.output_model)


def _check_end(response: ModelResponse) -> None:
    """Raise `AgentError` for a response without a reported end."""
    if not is_whole(response):
        raise AgentError(STREAM_STOPPED, kind="provider_unreachable", retryable=True)


def _corrections(response: ModelResponse, answer: InvalidAnswer) -> list[ModelRequestPart]:
    """What the model must correct: an answer to each of its tool calls, as providers require."""
    content = f"{answer.correction}\n\nFix the errors and try again."
    if not response.tool_calls:
        return [UserPromptPart(content)]
    return [
        ToolReturnPart(call.tool_name, content, call.tool_call_id, outcome="retried") for call in response.tool_calls
    ]
