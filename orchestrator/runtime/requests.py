"""Makes one request to a model: as a stream if somebody reads its text, else in one piece (decision 0042)."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from functools import lru_cache
from typing import Any, Final

import httpx2
from pydantic import TypeAdapter
from pydantic_ai import ModelSettings
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.tools import GenerateToolJsonSchema, ToolDefinition

from orchestrator.domain.agents import AgentOutput
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.runtime.answer_text import AnswerText
from orchestrator.runtime.responses import sound_response
from orchestrator.runtime.turn_messages import ANSWER_TOOL

# An answer that may be longer than so many tokens is streamed: gateways cut a connection that is silent for minutes.
LONG: Final = 8192
# The schemas of so many output models are kept; those of replaced plugins give way.
_SCHEMAS: Final = 1000


async def response_of(
    model: Model,
    messages: Sequence[ModelMessage],
    *,
    settings: ModelSettings,
    parameters: ModelRequestParameters,
    answer_text: AnswerText,
    seconds: float,
    stream: bool,
) -> ModelResponse:
    """The repaired response of a model. `seconds` limits the silence before a response in one piece.

    It is a stream if `stream` says so, if somebody reads the text of the job, or if the answer may be long.
    """
    if stream or _needs_stream(model, settings) or await answer_text.is_read():
        async with model_request_stream(
            model, messages, model_settings=settings, model_request_parameters=parameters
        ) as events:
            await answer_text.read(_answer_events(events))
            return sound_response(events.get())
    timeout: Any = httpx2.Timeout(connect=10.0, read=seconds, write=30.0, pool=30.0)
    response = sound_response(
        await model_request(
            model,
            messages,
            model_settings=ModelSettings(**{**settings, "timeout": timeout}),
            model_request_parameters=parameters,
        )
    )
    # A reader who came during the request gets the text in one piece.
    await answer_text.read(_answer_events(_parts_of(response)))
    return response


@lru_cache(maxsize=_SCHEMAS)
def answer_tool(output_model: type[AgentOutput]) -> ToolDefinition:
    """The tool with which a model gives its answer."""
    return ToolDefinition(
        name=ANSWER_TOOL,
        description="Give the complete answer.",
        parameters_json_schema=TypeAdapter(output_model).json_schema(schema_generator=GenerateToolJsonSchema),
        kind="output",
    )


def _needs_stream(model: Model, settings: ModelSettings) -> bool:
    return model.model_name == OFFLINE_MODEL or settings.get("max_tokens", 0) > LONG


async def _parts_of(response: ModelResponse) -> AsyncIterator[AgentStreamEvent]:
    for index, part in enumerate(response.parts):
        yield PartStartEvent(index=index, part=part)


async def _answer_events(events: AsyncIterable[Any]) -> AsyncIterator[AgentStreamEvent]:
    """The events of a response, without the arguments of tools other than the answer: no reader wants those."""
    left_out: set[int] = set()
    async for event in events:
        if isinstance(event, PartStartEvent):
            left_out.discard(event.index)
            if isinstance(event.part, ToolCallPart) and event.part.tool_name != ANSWER_TOOL:
                left_out.add(event.index)
        if not (isinstance(event, PartStartEvent | PartDeltaEvent) and event.index in left_out):
            yield event
