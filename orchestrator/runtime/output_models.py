"""Output models of authors. Their validators are authors' code: no task of the model layer runs them (0017)."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import ValidationError, create_model, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from orchestrator.domain.agents import AgentOutput
from orchestrator.runtime.answer_json import objects

_SUMMARY_LIMIT: Final = 300
# Text that begins so is meant as an object, not as prose.
_JSON_SIGNS: Final = ("{", "```json")
_MOST_FAULTS: Final = 3


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer as the model gave it: JSON that no output model has validated yet."""

    value: Any


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an answer does not fit: `correction` is the request to the model, `faults` the words for people."""

    correction: str
    faults: str


@cache
def unread(model: type[AgentOutput]) -> type[AgentOutput]:
    """A model with the same schema, which takes whatever is JSON as `Unread`."""
    validators: Any = {"unread": model_validator(mode="wrap")(_unread)}
    return create_model(
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, __validators__=validators
    )


def _unread(cls: type[AgentOutput], value: Any, handler: ModelWrapValidatorHandler[AgentOutput]) -> Any:
    return Unread(value)


def read(model: type[AgentOutput], answer: Unread) -> AgentOutput | Misfit:
    """The answer as its output model reads it. Runs the author's code."""
    try:
        return model.model_validate_json(json.dumps(answer.value))
    except ValidationError as error:
        details = error.json(include_url=False, include_context=False)
        return Misfit(f"{error.error_count()} validation errors:\n```json\n{details}\n```", faults_of(error))


def read_text(model: type[AgentOutput], text: str) -> AgentOutput | Misfit:
    """The answer of a server that knows no tools: JSON as the output model, wherever it stands, and prose as `output`.

    Prose may hold JSON that is a part of it: only an object that fits the output model is the answer. Runs the author's
    code.
    """
    body = text.strip()
    if not body:
        return Misfit("The answer is empty.", "")
    faults: list[ValidationError] = []
    for found in objects(body):
        try:
            return model.model_validate_json(found)
        except ValidationError as error:
            faults.append(error)
    try:
        if not body.startswith(_JSON_SIGNS):
            return model.model_validate({"summary": _first_lines(body), "output": text})
    except ValidationError as error:
        faults.append(error)
    schema = json.dumps(model.model_json_schema())
    wish = f"Answer with one JSON object that fits this schema: {schema}"
    return Misfit(wish, faults_of(faults[0]) if faults else "")


def faults_of(error: ValidationError) -> str:
    """The first faulty fields, for people."""
    faults = error.errors(include_url=False, include_input=False)[:_MOST_FAULTS]
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in faults)


def _first_lines(text: str) -> str:
    """The first paragraph that is no heading, as a summary."""
    paragraphs = (part.strip() for part in text.split("\n\n"))
    first = next((part for part in paragraphs if part and not part.startswith("#")), text)
    return first if len(first) <= _SUMMARY_LIMIT else first[: _SUMMARY_LIMIT - 1] + "…"
