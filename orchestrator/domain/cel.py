"""CEL, the language of a plan's conditions and mappings: no clock, no chance, no side effect (decision 0033).

The only module that imports the library. Evaluation is part of replay, so the library is pinned to one exact version.
"""

import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from cel_expr_python import cel as library

from orchestrator.domain.near_matches import near_match

MAX_LENGTH: Final = 1000  # Characters of one expression.
_LIBRARY_FAULTS: Final = (RuntimeError, ValueError, TypeError, OverflowError)
_STRINGS: Final = re.compile(r"'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_POSITION: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_EXPECTED: Final = re.compile(r" expecting \{.*\}$")
_FUNCTIONS: Final = ("size", "has", "string", "int", "double", "bool", "timestamp", "duration", "matches", "contains")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']+)'")


class CelType(Enum):
    """The type of a name, or of the value of an expression.

    The library sees a name that is a `NUMBER` as `DYN`, so that 3 and 3.0 compare.
    """

    BOOL = "bool"
    STRING = "string"
    LIST = "list"
    MAP = "map"
    NUMBER = "number"
    DYN = "any"


_TYPES: Final = {
    CelType.BOOL: library.Type.BOOL,
    CelType.STRING: library.Type.STRING,
    CelType.LIST: library.Type.List(library.Type.DYN),
    CelType.MAP: library.Type.DYN,
    CelType.NUMBER: library.Type.DYN,
    CelType.DYN: library.Type.DYN,
}
_JSON_TYPES: Final = {
    "boolean": CelType.BOOL,
    "string": CelType.STRING,
    "array": CelType.LIST,
    "object": CelType.MAP,
    "integer": CelType.NUMBER,
    "number": CelType.NUMBER,
}
_NAMES: Final = {
    "BOOL": CelType.BOOL,
    "STRING": CelType.STRING,
    "LIST": CelType.LIST,
    "MAP": CelType.MAP,
    **dict.fromkeys(("INT", "UINT", "DOUBLE"), CelType.NUMBER),
}


class CelFault(ValueError):
    """An expression that cannot be compiled, or that has no value: what is wrong, and where."""


def json_type(schema: Mapping[str, Any]) -> CelType:
    """The type of values that fit a JSON Schema."""
    return _JSON_TYPES.get(str(schema.get("type")), CelType.DYN)


def result_type(expression: str, names: Mapping[str, CelType]) -> CelType:
    """Compile an expression against typed names, such as `steps.review.approved`, and return the type of its value.

    Raises `CelFault` with line, column and the near match of an unknown name.
    """
    if (kind := names.get(expression.strip())) is not None:
        return kind
    if len(expression) > MAX_LENGTH:
        raise CelFault(f"the expression has {len(expression)} characters: at most {MAX_LENGTH} are allowed")
    env = library.NewEnv(variables={name: _TYPES[kind] for name, kind in names.items()})
    try:
        compiled = env.compile(expression)
    except _LIBRARY_FAULTS as fault:
        raise CelFault(_explained(str(fault), names)) from None
    return _NAMES.get(re.split(r"\W", compiled.return_type().name())[0].upper(), CelType.DYN)


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression as JSON. Raises `CelFault` if it has none, for example because a key is missing."""
    try:
        value = _compiled(expression, tuple(sorted(names))).eval(data=dict(names))
        is_error = value.type() == library.Type.ERROR
        plain = value.value() if is_error else value.plain_value()
    except _LIBRARY_FAULTS as fault:
        raise CelFault(_reason(str(fault))) from None
    if is_error:
        raise CelFault(_reason(str(plain)))
    return _json(plain)


def references(expression: str, root: str) -> set[str]:
    """The first names after `root.` in an expression: `review` for `steps.review.approved` and the root `steps`."""
    bare = _STRINGS.sub("''", expression)
    return set(re.findall(rf"(?<![\w.]){re.escape(root)}\s*\.\s*([A-Za-z_]\w*)", bare))


def uses(expression: str, name: str) -> bool:
    """Whether an expression uses a name."""
    return re.search(rf"(?<![\w.]){re.escape(name)}\b", _STRINGS.sub("''", expression)) is not None


@lru_cache(maxsize=2048)
def _compiled(expression: str, names: tuple[str, ...]) -> library.Expression:
    return library.NewEnv(variables=dict.fromkeys(names, library.Type.DYN)).compile(expression)


def _explained(fault: str, names: Mapping[str, CelType]) -> str:
    match = _POSITION.search(fault)
    if match is None:
        return _reason(fault)
    line, column, reason = match.groups()
    unknown = _UNDECLARED.search(reason)
    if unknown is not None:
        # What other languages call the length of a list.
        hint = near_match(unknown[1], names) or near_match(unknown[1], _FUNCTIONS)
        if not hint and near_match(unknown[1], ["length", "len", "count"]):
            hint = " Did you mean 'size'?"
        reason = f"unknown name {unknown[1]!r}.{hint}"
    reason = _EXPECTED.sub("", reason).replace("'<EOF>'", "the end").replace("\\u003F", "?")
    return f"line {line}, column {column}: {reason}"


def _reason(fault: str) -> str:
    """The library's message without its status words."""
    first = fault.splitlines()[0] if fault else "no reason"
    return re.sub(r"^[A-Z_]+: ", "", re.sub(r" \[[A-Z_]+\]$", "", first)).replace("\\u003F", "?")


def _json(value: Any) -> Any:
    """The value as JSON, with sorted keys: the library's maps have no order of their own."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if isfinite(value):
            return value
        case list():
            return [_json(each) for each in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _json(value[key]) for key in sorted(value)}
        case _:
            raise CelFault(
                f"the value is a {type(value).__name__}, which is no JSON: convert it, for example by string(…)"
            )
