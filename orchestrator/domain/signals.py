"""Decodes control signals, for the interpreter and for the projection. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from orchestrator.domain import names
from orchestrator.domain.commands import Control, Decision

# The two encodings in which the Temporal UI, the CLI and every SDK send JSON.
JSON_PLAIN: Final = b"json/plain"
JSON_PROTOBUF: Final = b"json/protobuf"
_NULL: Final = b"binary/null"
# A larger value may travel by reference, which only the worker can resolve. No control is that large.
MAX_INPUT_BYTES: Final = 32 * 1024
# Other metadata means that the bytes are encoded or incomplete.
_KNOWN_METADATA: Final = frozenset({"encoding", "messageType"})

_CONTROLS: Final[dict[str, type[Control | Decision]]] = {
    names.SIGNAL_PAUSE: Control,
    names.SIGNAL_RESUME: Control,
    names.SIGNAL_APPROVE: Decision,
    names.SIGNAL_REJECT: Decision,
}


@dataclass(frozen=True, slots=True)
class SignalInput:
    """One input of a signal in Temporal: its encoding, empty if unknown, and its bytes."""

    encoding: bytes
    data: bytes

    @classmethod
    def of(cls, metadata: Mapping[str, bytes], data: bytes) -> "SignalInput":
        """The input of a payload."""
        is_plain = metadata.keys() <= _KNOWN_METADATA
        return cls(metadata.get("encoding", b"") if is_plain else b"", data)


def names_control(name: str) -> bool:
    """Whether declared workflows handle a signal of this name."""
    return name in _CONTROLS


def read_control(name: str, inputs: Sequence[SignalInput]) -> Control | Decision | None:
    """The control or decision of a signal to a declared workflow; None if the workflow ignores the signal.

    A control has one input, a JSON object. For `pause` and `resume` it is optional; `null` counts as no input.
    """
    model = _CONTROLS.get(name)
    if model is None or len(inputs) > 1:
        return None
    body = _body(inputs[0]) if inputs else b"{}"
    if body is None:
        return None
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None


def _body(value: SignalInput) -> bytes | None:
    """The JSON bytes; None for a wrong encoding or size."""
    if len(value.data) > MAX_INPUT_BYTES:
        return None
    if value.encoding == _NULL:
        return None if value.data else b"{}"
    if value.encoding not in (JSON_PLAIN, JSON_PROTOBUF):
        return None
    return b"{}" if value.data.strip() == b"null" else value.data
