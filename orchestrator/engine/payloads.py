"""How payloads become values: as pydantic's converter does, but whatever a workflow was started with can be read."""

import copy
from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter, SerializationContext, WithSerializationContext

from orchestrator.domain.commands import JobInput, PlainInput
from orchestrator.domain.text import sound_data


class JobDataConverter(DataConverter):
    """A converter of which only the codec depends on the workflow.

    The SDK asks for one for each message, and by itself would build all parts anew each time: 2 ms of a short job.
    """

    def with_context(self, context: SerializationContext) -> Self:
        """This converter with its codec bound to a workflow."""
        codec = self.payload_codec
        bound = codec.with_context(context) if isinstance(codec, WithSerializationContext) else codec
        if bound is codec:
            return self
        clone = copy.copy(self)
        object.__setattr__(clone, "payload_codec", bound)
        return clone


class JobPayloadConverter(PydanticPayloadConverter):
    """Reads what is no `JobInput` as a `PlainInput` where a `JobInput` is expected.

    Otherwise the class of a workflow in code could not even be called, and its task would be tried again for ever.
    """

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """The payloads. What an author's workflow returns may hold half a surrogate pair, which no payload carries."""
        try:
            return super().to_payloads(values)
        except (PydanticSerializationError, UnicodeEncodeError):
            plain = [value.model_dump() if isinstance(value, BaseModel) else value for value in values]
            return super().to_payloads([sound_data(value) for value in plain])

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values, each of the type that is expected of it."""
        if type_hints != [JobInput] or len(payloads) != 1:
            return super().from_payloads(payloads, type_hints)
        return [_job_input(payloads[0])]


def _job_input(payload: Payload) -> JobInput:
    if not payload.metadata.get("encoding", b"").startswith(b"json/"):
        empty = payload.metadata.get("encoding") == b"binary/null"
        return PlainInput(value=None if empty else _text(payload.data))
    try:
        return JobInput.model_validate_json(payload.data)
    except ValidationError:
        return PlainInput(value=_plain(payload.data))


def _plain(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:  # half a surrogate pair, or no JSON at all
        return _text(data)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
