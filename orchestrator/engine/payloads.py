"""Converts payloads to values with pydantic, but accepts any input of a workflow."""

from collections.abc import Sequence
from typing import Any, Final, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter, SerializationContext, WithSerializationContext

from orchestrator.domain.commands import JobInput, PlainInput
from orchestrator.domain.text import sound_data


class JobDataConverter(DataConverter):
    """A converter of which only the codec depends on the workflow.

    The SDK requests one for each message, and by default rebuilds all parts each time: 2 ms of a short job.
    """

    def with_context(self, context: SerializationContext) -> Self:
        """This converter with its codec bound to a workflow."""
        codec = self.payload_codec
        bound_codec = codec.with_context(context) if isinstance(codec, WithSerializationContext) else codec
        if bound_codec is codec:
            return self
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__, payload_codec=bound_codec)  # `copy.copy` takes five times as long.
        return clone


# They keep no types: those of a workflow in the sandbox would keep its copies of modules.
_CONVERTERS: Final = PydanticPayloadConverter(max_cached_type_adapters=0).converters


class JobPayloadConverter(PydanticPayloadConverter):
    """Reads any value that is not a `JobInput` as a `PlainInput`, where a `JobInput` is expected.

    Otherwise the SDK could not call the class of a workflow in code, and would retry its task for ever.
    """

    def __init__(self) -> None:
        """Share the converters: the SDK creates an object of this class for each task of a workflow."""
        self.converters = _CONVERTERS

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Convert values. An author's workflow may return half a surrogate pair, which no payload can contain."""
        try:
            return super().to_payloads(values)
        except (PydanticSerializationError, UnicodeEncodeError):
            data = [value.model_dump() if isinstance(value, BaseModel) else value for value in values]
            return super().to_payloads([sound_data(value) for value in data])

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Convert payloads to values of the expected types."""
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
    except ValueError:  # Half a surrogate pair, or not JSON.
        return _text(data)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
