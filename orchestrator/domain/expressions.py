"""Expressions in plans, and the JSON values around them: `cel("…")` in Python, `{"cel": "…"}` in JSON."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.domain.cel import MAX_LENGTH

KEY: Final = "cel"


class Cel(BaseModel):
    """A CEL expression. A plain string in a plan is always a literal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cel: str = Field(min_length=1, max_length=MAX_LENGTH)


def cel(expression: str) -> Cel:
    """A CEL expression for a plan: `when=cel("steps.review.approved")`."""
    return Cel(cel=expression)


def _plain(value: Any) -> Any:
    """The value with every expression as `{"cel": …}`."""
    match value:
        case Cel():
            return {KEY: value.cel}
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


Template = Annotated[dict[str, Any], BeforeValidator(_plain)]
"""A JSON object with expressions in it; `{"cel": …}` alone is an expression whose value is an object."""


def expression_of(value: Any) -> str | None:
    """The expression, if the value is one."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(text := value.get(KEY), str):
        return text
    return None


def filled(template: Any, evaluate: Callable[[str], Any]) -> Any:
    """The template with the value of each expression in its place."""
    if (expression := expression_of(template)) is not None:
        return evaluate(expression)
    match template:
        case dict():
            return {key: filled(value, evaluate) for key, value in template.items()}
        case list():
            return [filled(value, evaluate) for value in template]
        case _:
            return template


def expressions_in(template: Any) -> Iterator[str]:
    """Every expression in a template."""
    if (expression := expression_of(template)) is not None:
        yield expression
        return
    children = template.values() if isinstance(template, dict) else template if isinstance(template, list) else ()
    for child in children:
        yield from expressions_in(child)
