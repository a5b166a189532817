"""Responses of models: made sound before anything reads them, and the last one kept for the words of an error."""

from dataclasses import replace
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models import ModelRequestContext

from orchestrator.domain.text import sound, sound_data
from orchestrator.runtime.answer_json import mended


class SoundResponses(AbstractCapability[None]):
    """Mends what a model wrote: halves of emojis, NUL, JSON with something around it."""

    def __init__(self) -> None:
        self.last: ModelResponse | None = None

    async def after_model_request(
        self, ctx: RunContext[None], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """The response with sound parts; called once for each request to the model."""
        self.last = replace(response, parts=[_sound_part(part) for part in response.parts])
        return self.last


def says_nothing(response: ModelResponse) -> bool:
    """Whether there is no answer in it, not even one that does not fit."""
    return not any(
        (isinstance(part, TextPart) and part.content.strip()) or isinstance(part, ToolCallPart)
        for part in response.parts
    )


def is_whole(response: ModelResponse) -> bool:
    """Whether the provider said that the response was complete. A stream may end between two words without an error."""
    return "finish_reason" in (response.provider_details or {})


def _sound_part(part: ModelResponsePart) -> ModelResponsePart:
    match part:
        case TextPart() | ThinkingPart():
            return replace(part, content=sound(part.content))
        case ToolCallPart():
            return replace(part, args=_sound_arguments(part.args))
        case _:
            return part


def _sound_arguments(arguments: Any) -> Any:
    if isinstance(arguments, str):
        return mended(arguments)
    try:
        return sound_data(arguments)
    except ValueError:  # the output model refuses it
        return arguments
