"""Large parts of a message: removed, stored beside their job, referenced out of band and put back (decision 0013).

Pure. References are never part of the data, so that a caller's data cannot name a stored value.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

METADATA: Final = "orchestrator-stored"  # Where a Temporal payload carries its references.
INLINE_BYTES: Final = 64 * 1024  # A message up to this size is sent whole.
LEFT_BYTES: Final = 32 * 1024  # The most of a larger one that stays inline.
PART_BYTES: Final = 4 * 1024  # A smaller part is not worth a reference.
KEPT: Final = ("plan", "retry")  # Of a job's input; the projection reads them from history alone.
_MAX_KEPT: Final = 1024 * 1024
_PREVIEW_CHARACTERS: Final = 80
# The size of every part is measured. Deeper parts, and parts of very long lists, are removed with their parent.
_DEPTH: Final = 8
_MAX_PARTS: Final = 1000

Place = tuple[str | int, ...]


class Stored(BaseModel):
    """The place of a part in its message, and of its body: value `key` of job `job_id`, `bytes` long as JSON.

    The body of a `nested` part is `{"value": …, "stored": [references within it]}`.
    """

    model_config = ConfigDict(frozen=True)

    at: Place
    job_id: str
    key: str
    bytes: int
    nested: bool = False

    def under(self, *place: str | int) -> "Stored":
        """The same value; its place is relative to a container."""
        return self.model_copy(update={"at": (*place, *self.at)})

    def within(self, *place: str | int) -> "Stored":
        """The same value; its place is relative to a part of the message."""
        return self.model_copy(update={"at": self.at[len(place) :]})


_REFERENCES: Final = TypeAdapter(tuple[Stored, ...])


@dataclass(frozen=True, slots=True)
class Split:
    """A message without its large parts. `bodies` are JSON texts by key."""

    rest: Any
    stored: tuple[Stored, ...]
    bodies: Mapping[str, str]


def split(job_id: str, message: Any, *, inline: int = INLINE_BYTES, keep: Sequence[str] = KEPT) -> Split:
    """Remove the large parts of plain JSON data over `inline` bytes, the biggest first.

    The rest fits `LEFT_BYTES`, without the fields of `keep`, which stay unless they are huge. A removed text leaves its
    beginning, a removed object or list an empty one, so that the rest keeps its form.
    """
    bodies: dict[str, str] = {}
    retained: dict[str, Any] = {}
    if isinstance(message, dict):
        retained = {name: message[name] for name in keep if name in message and _size(message[name]) <= _MAX_KEPT}
    free = {name: value for name, value in message.items() if name not in retained} if retained else message
    if _size(free) <= inline:
        return Split(message, (), bodies)
    rest, stored = _split(job_id, free, min(inline, LEFT_BYTES), bodies, 0)
    if retained:  # In the order of the message.
        rest = {name: retained.get(name, rest.get(name)) for name in message if name in retained or name in rest}
    return Split(rest, stored, bodies)


def restored(rest: Any, stored: Iterable[Stored], bodies: Mapping[tuple[str, str], str]) -> Any:
    """The whole message. `bodies` holds the texts by job and key, those of nested references too."""
    for reference in stored:
        value = value_of(bodies[reference.job_id, reference.key])
        if reference.nested:
            value = restored(value["value"], references(value["stored"]), bodies)
        rest = _put(rest, reference.at, value)
    return rest


def references(raw: Any) -> tuple[Stored, ...]:
    """References from plain data; empty for other data."""
    try:
        return _REFERENCES.validate_python(raw)
    except ValidationError:
        return ()


def references_of(text: bytes | str) -> tuple[Stored, ...]:
    """References from JSON; empty for other text, which another program wrote."""
    try:
        return _REFERENCES.validate_json(text)
    except ValidationError:
        return ()


def references_text(stored: Sequence[Stored]) -> bytes:
    """The JSON form of references."""
    return _REFERENCES.dump_json(tuple(stored))


def text_of(value: Any) -> str:
    """A value as JSON text. Equal values give equal texts."""
    return _bytes_of(value).decode(errors="surrogatepass")


def value_of(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `ValueError`."""
    try:
        return from_json(text)
    except ValueError:  # half a surrogate pair, which the fast reader refuses
        return json.loads(text)


def _bytes_of(value: Any) -> bytes:
    """A value as JSON. Inputs can have hundreds of thousands of keys: the fast writer saves seconds."""
    try:
        return to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError:  # half a surrogate pair, which the fast writer refuses
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def _split(job_id: str, value: Any, target: int, bodies: dict[str, str], depth: int) -> tuple[Any, tuple[Stored, ...]]:
    """A value over `target` bytes without its large parts; an empty value if that is not enough."""
    if not isinstance(value, dict | list) or depth == _DEPTH or len(value) > _MAX_PARTS:
        return _replaced(job_id, value, (), bodies)
    places: list[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
    sizes = {place: _size(child) for place, child in places}
    total_bytes = remaining_bytes = sum(sizes.values()) + sum(len(str(place)) + 4 for place in sizes)
    rest: Any = dict(value) if isinstance(value, dict) else list(value)
    stored: list[Stored] = []
    for place in sorted(sizes, key=lambda place: -sizes[place]):
        if remaining_bytes <= target or sizes[place] < PART_BYTES:
            break
        share = max(PART_BYTES, target * sizes[place] // total_bytes)
        rest[place], parts = _split(job_id, value[place], share, bodies, depth + 1)
        stored += [part.under(place) for part in parts]
        remaining_bytes -= sizes[place] - _size(rest[place])
    if remaining_bytes <= target:
        return rest, tuple(stored)
    return _replaced(job_id, rest, tuple(stored), bodies)


def _replaced(
    job_id: str, value: Any, stored: tuple[Stored, ...], bodies: dict[str, str]
) -> tuple[Any, tuple[Stored, ...]]:
    nested = bool(stored)
    text = text_of({"value": value, "stored": [part.model_dump() for part in stored]} if nested else value)
    data = text.encode(errors="surrogatepass")
    key = hashlib.sha256(data).hexdigest()
    bodies[key] = text
    return _placeholder(value), (Stored(at=(), job_id=job_id, key=key, bytes=len(data), nested=nested),)


def _placeholder(value: Any) -> Any:
    match value:
        case str():
            return value[:_PREVIEW_CHARACTERS] + "…"
        case list():
            return []
        case dict():
            return {}
        case _:
            return None


def _put(rest: Any, place: Sequence[str | int], value: Any) -> Any:
    if not place:  # The kept fields of an object stay.
        return {**rest, **value} if isinstance(rest, dict) and isinstance(value, dict) else value
    first, *inner = place
    changed = rest.copy()
    changed[first] = _put(rest[first], inner, value)
    return changed


def _size(value: Any) -> int:
    return len(_bytes_of(value))
