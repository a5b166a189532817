"""Compressed JSON columns: the documents of jobs are most of the index."""

import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import JSON, Dialect, LargeBinary, TypeDecorator
from sqlalchemy.types import TypeEngine

_ZLIB_MARK: Final = b"\x78"  # The first byte of every zlib stream; no JSON text begins with it.
_WORTHWHILE: Final = 200  # Bytes. A shorter text does not shrink.
_LARGE: Final = 64 * 1024  # Bytes. Larger texts are compressed faster and less.


def to_text(value: Any) -> bytes:
    """Plain data or a pydantic model as JSON. NaN and the infinities, which JSON lacks, become null."""
    return to_json(value, inf_nan_mode="null")


class PackedJson(TypeDecorator[Any]):
    """JSON as a zlib stream. It also reads the plain text that older releases wrote. None is stored as NULL."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type. SQLite stores any value in any column, so its columns keep their first type."""
        return dialect.type_descriptor(JSON() if dialect.name == "sqlite" else LargeBinary())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], bytes | None]:
        """Pack values on their way to the database."""
        return lambda value: None if value is None else pack(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Unpack values that the database returns."""
        return lambda stored: None if stored is None else unpack(stored)


def pack(value: Any) -> bytes:
    """The stored form of a value. Raises `PydanticSerializationError` for a value that JSON cannot express."""
    text = to_text(value)
    if len(text) < _WORTHWHILE:
        return text
    return zlib.compress(text, 1 if len(text) > _LARGE else 6)


def unpack(stored: bytes | str) -> Any:
    """The value of a stored form."""
    if isinstance(stored, bytes) and stored[:1] == _ZLIB_MARK:
        stored = zlib.decompress(stored)
    return json.loads(stored)
