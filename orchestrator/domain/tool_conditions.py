"""A CEL condition over the arguments of a tool: whether a call of it needs a person's yes."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.domain.cel import CelFault, CelType, evaluate, json_type, references, result_type
from orchestrator.domain.expressions import Cel
from orchestrator.domain.near_matches import near_match

ROOT: Final = "args"


def check_condition(condition: Cel, schema: Mapping[str, Any] | None) -> None:
    """Raise `CelFault` for a condition that does not fit the JSON Schema of the arguments, or is no boolean.

    Without a schema, every argument may exist, with any type.
    """
    if schema is None:
        _check_kind(result_type(condition.cel, {ROOT: CelType.DYN}), CelType.DYN)
        return
    properties: Mapping[str, Any] = schema.get("properties", {})
    models: Mapping[str, Any] = schema.get("$defs", {})
    text = condition.cel
    if unknown := sorted(references(text, ROOT) - properties.keys()):
        hint = near_match(unknown[0], properties) or f" Its arguments: {', '.join(properties) or 'none'}."
        raise CelFault(f"there is no argument {unknown[0]!r}.{hint}")
    types = {
        f"{ROOT}.{name}": json_type(models.get(str(each.get("$ref", "")).removeprefix("#/$defs/"), each))
        for name, each in properties.items()
    }
    _check_kind(result_type(text, types))


def _check_kind(kind: CelType, *others: CelType) -> None:
    if kind not in (CelType.BOOL, *others):
        raise CelFault(f"its value is {kind.value}: expected bool, for example by a comparison")


def holds(condition: Cel, arguments: type[BaseModel] | None, value: Mapping[str, Any]) -> bool:
    """Whether a condition is true for arguments, as the tool gets them: converted, and with their defaults.

    Without a model of the arguments, as those of a server, they are as the model sent them. Raises `CelFault` if it is
    neither true nor false, or a number is not finite: every comparison with such a one is false. Validators and
    serializers of the types are author code.
    """
    typed = _plain(value if arguments is None else arguments.model_validate(value).model_dump(by_alias=True))
    answer = evaluate(condition.cel, {ROOT: typed})
    if not isinstance(answer, bool):
        raise CelFault(f"its value is a {type(answer).__name__}")
    return answer


def _plain(value: Any) -> Any:
    """The value as JSON, with decimals as numbers."""
    match value:
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case float() | Decimal():
            if not math.isfinite(value):
                raise CelFault("a number is not finite")
            return float(value)
        case _:
            return to_jsonable_python(value)
