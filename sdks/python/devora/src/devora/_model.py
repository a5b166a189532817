"""Typed, frozen JSON objects of server responses. They also keep unknown fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, ClassVar, Self, dataclass_transform

if typing.TYPE_CHECKING:
    from devora._responses import RawResponse

_Decoder = Callable[[Any], Any]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Model:
    """A JSON object with typed fields. A field that the server left out is None.

    `extra` holds the fields that this version of the library does not know. `to_dict()` is the whole object as it was
    sent. The outermost object of an answer has its `request_id` and `raw_response`, others have None.
    """

    _decoders: ClassVar[dict[str, _Decoder] | None] = None

    def __init__(_, /, **values: Any) -> None:  # noqa: N805 - a field may be called `self`
        """Make an object from values of the field's own types, for tests."""
        unknown = values.keys() - _.fields().keys()
        if unknown:
            raise TypeError(f"{type(_).__name__} has no field {', '.join(sorted(unknown))}")
        filled = {name: values.get(name) for name in _.fields()}
        _.__dict__.update({"request_id": None, **filled, "extra": {}, "_wire": values, "_response": None})

    @classmethod
    def fields(cls) -> dict[str, _Decoder]:
        """The known fields, in order, each with the function that reads it."""
        if "_decoders" not in cls.__dict__ or cls._decoders is None:
            hints = typing.get_type_hints(cls)
            cls._decoders = {name: _decoder(hint) for name, hint in hints.items() if not name.startswith("_")}
            cls._decoders.pop("extra", None)
        return cls._decoders

    @classmethod
    def from_wire(cls, wire: dict[str, Any], response: RawResponse | None = None) -> Self:
        """Read a JSON object. A value of an unexpected type stays as it was sent."""
        model = cls.__new__(cls)
        fields = cls.fields()
        values = {name: decode(wire.get(name)) for name, decode in fields.items()}
        extra = {name: value for name, value in wire.items() if name not in fields}
        request_id = None if response is None else response.request_id
        # A few objects have their own request id, which is used instead.
        model.__dict__.update(
            {"request_id": request_id, **values, "extra": extra, "_wire": wire, "_response": response}
        )
        return model

    if typing.TYPE_CHECKING:

        @property
        def extra(self) -> dict[str, Any]:
            """Fields that this version of the library does not know."""

        @property
        def request_id(self) -> str | None:
            """The id of the request, to quote to those who run the server."""

    def to_dict(self) -> dict[str, Any]:
        """The object as it was sent."""
        wire: dict[str, Any] = self.__dict__["_wire"]
        return wire

    @property
    def raw_response(self) -> RawResponse | None:
        """Status, headers and body of the answer."""
        response: RawResponse | None = self.__dict__["_response"]
        return response

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only: cannot set {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only: cannot delete {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__["_wire"] == self.__dict__["_wire"]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = [f"{name}={self.__dict__[name]!r}" for name in self.fields() if self.__dict__[name] is not None]
        return f"{type(self).__name__}({', '.join(values)})"


def _decoder(hint: Any) -> _Decoder:
    """The function that reads a value of one type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [option for option in arguments if option is not types.NoneType]
        return _decoder(inner[0]) if len(inner) == 1 else _as_it_is
    if origin is list:
        item = _decoder(arguments[0])
        return lambda value: [item(element) for element in value] if isinstance(value, list) else value
    if origin is dict:
        entry = _decoder(arguments[1])
        return lambda value: (
            {key: entry(element) for key, element in value.items()} if isinstance(value, dict) else value
        )
    if isinstance(hint, type) and issubclass(hint, Model):
        return lambda value: hint.from_wire(value) if isinstance(value, dict) else value
    if hint is datetime:
        return _moment
    if hint is date:
        return _day
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _moment(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return value
