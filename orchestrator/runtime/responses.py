"""Repairs the responses of models: halves of emojis, NUL characters, JSON inside other text."""

from dataclasses import replace
from typing import Any

from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ThinkingPart, ToolCallPart

from orchestrator.domain.text import sound, sound_data
from orchestrator.runtime.answer_json import repaired


def sound_response(response: ModelResponse) -> ModelResponse:
    """The response with repaired parts."""
    return replace(response, parts=[_sound_part(part) for part in response.parts])


def says_nothing(response: ModelResponse) -> bool:
    """Whether a response contains no answer, not even an invalid one."""
    return not any(
        (isinstance(part, TextPart) and part.content.strip()) or isinstance(part, ToolCallPart)
        for part in response.parts
    )


def is_whole(response: ModelResponse) -> bool:
    """Whether the provider reported the end of the response. A stream may stop between two words without an error."""
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
        return repaired(arguments)
    try:
        return sound_data(arguments)
    except ValueError:  # The output model refuses it.
        return arguments
