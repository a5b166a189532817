"""Recognizes models whose validation and serialization run no author code."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

_PRODUCT: Final = "orchestrator."
_MODELS: Final = 1000  # Answers that are kept; those for models of replaced plugins give way.
_VALUES: Final = frozenset(
    {"str", "int", "float", "bool", "none", "any", "literal", "datetime", "date", "time", "uuid"}
)
# Schemas of values, with the keys under which they hold other schemas.
_CONTAINERS: Final = {
    "list": ("items_schema",),
    "set": ("items_schema",),
    "dict": ("keys_schema", "values_schema"),
    "nullable": ("schema",),
    "default": ("schema",),
    "model-field": ("schema",),
    "definitions": ("schema",),
}
_FACTORIES: Final[frozenset[Callable[..., Any]]] = frozenset({list, dict, set, str, int, float, bool})


@lru_cache(maxsize=_MODELS)
def runs_no_author_code(model: type[BaseModel]) -> bool:
    """Whether values of this model can be validated and serialized anywhere, because only pydantic's own code runs.

    True for the product's own models. For others, only if every part is known to be plain.
    """
    return _is_plain_class(model) and _is_plain(model.__pydantic_core_schema__)


def _is_plain_class(model: type) -> bool:
    """Whether no class of an author overrides a method or attribute of `BaseModel`."""
    if type(model) is not type(BaseModel):
        return False
    own = (each for each in model.__mro__ if not _is_of_product(each) and each.__module__ != BaseModel.__module__)
    return not any(
        callable(value) or isinstance(value, property | classmethod | staticmethod)
        for each in own
        if each is not object and each.__module__ not in ("abc", "typing")
        for value in vars(each).values()
        if not isinstance(value, type)
    )


def _is_of_product(model: type) -> bool:
    return model.__module__.startswith(_PRODUCT)


def _is_plain(schema: Any) -> bool:
    if "serialization" in schema:
        return False
    kind = schema["type"]
    if kind in _VALUES:
        return "pattern" not in schema  # A pattern of Python's own engine can take hours.
    match kind:
        case "model":
            return _is_of_product(schema["cls"]) or (_is_plain_class(schema["cls"]) and _is_plain(schema["schema"]))
        case "model-fields":
            return not schema.get("computed_fields") and all(map(_is_plain, schema["fields"].values()))
        case "union":
            return all(_is_plain(each[0] if isinstance(each, tuple) else each) for each in schema["choices"])
        case "definitions" if not all(map(_is_plain, schema["definitions"])):
            return False
        case "definition-ref":
            return True  # Its definition is checked.
        case "default" if schema.get("default_factory", list) not in _FACTORIES:
            return False
    return kind in _CONTAINERS and all(_is_plain(schema[key]) for key in _CONTAINERS[kind] if key in schema)
