"""Reads answers with output models. Their validators are author code, so the model layer does not run them (0017)."""

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.domain.agents import AgentOutput
from orchestrator.runtime.answer_json import objects

_SUMMARY_LIMIT: Final = 300
# Text that begins like this is an object, not prose.
_JSON_SIGNS: Final = ("{", "```json")
_MAX_FAULTS: Final = 3


@dataclass(frozen=True, slots=True)
class InvalidAnswer:
    """Why an answer does not fit: `correction` is the request to the model, `faults` the text for people."""

    correction: str
    faults: str


def read(model: type[AgentOutput], arguments: dict[str, Any]) -> AgentOutput | InvalidAnswer:
    """Validate the arguments of the answer tool with the output model. Runs author code."""
    try:
        return model.model_validate_json(json.dumps(arguments))
    except ValidationError as error:
        details = error.json(include_url=False, include_context=False)
        return InvalidAnswer(f"{error.error_count()} validation errors:\n```json\n{details}\n```", faults_of(error))


def read_text(model: type[AgentOutput], text: str) -> AgentOutput | InvalidAnswer:
    """Read the answer of a server without tools: an object anywhere in the text, or prose as the field `output`.

    Prose may contain other JSON: only an object that fits the output model is the answer. Runs author code.
    """
    body = text.strip()
    if not body:
        return InvalidAnswer("The answer is empty.", "")
    faults: list[ValidationError] = []
    for candidate in objects(body):
        try:
            return model.model_validate_json(candidate)
        except ValidationError as error:
            faults.append(error)
    try:
        if not body.startswith(_JSON_SIGNS):
            return model.model_validate({"summary": _first_lines(body), "output": text})
    except ValidationError as error:
        faults.append(error)
    schema = json.dumps(model.model_json_schema())
    request = f"Answer with one JSON object that fits this schema: {schema}"
    return InvalidAnswer(request, faults_of(faults[0]) if faults else "")


def faults_of(error: ValidationError) -> str:
    """The first invalid fields and their problems, for people."""
    faults = error.errors(include_url=False, include_input=False)[:_MAX_FAULTS]
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in faults)


def _first_lines(text: str) -> str:
    """The first paragraph that is not a heading, as a summary."""
    paragraphs = (part.strip() for part in text.split("\n\n"))
    first = next((part for part in paragraphs if part and not part.startswith("#")), text)
    return first if len(first) <= _SUMMARY_LIMIT else first[: _SUMMARY_LIMIT - 1] + "…"
