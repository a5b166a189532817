"""Checks the values of an answer to a question: the same for HTTP and for the Update of the workflow."""

from typing import Any, Final

from pydantic import BaseModel

from orchestrator.domain.json_schema import check_input, rewritten
from orchestrator.domain.model_check import validated
from orchestrator.domain.questions import PersonQuestion, QuestionKind

VALUES: Final = "values"
# Beside these keywords, a part of a schema need not name all its properties itself.
_COMBINED: Final = frozenset(("$ref", "allOf", "anyOf", "dependentSchemas", "if", "not", "oneOf", "patternProperties"))


def check_answer(question: PersonQuestion, model: type[BaseModel] | None, values: dict[str, Any]) -> None:
    """Check values against the form of a question and its model. May run author code.

    A field that the form does not have is refused, unless the form allows `additionalProperties` explicitly.
    Raises `InvalidInput` for the first fault.
    """
    form = rewritten(question.form, _closed) if question.kind is QuestionKind.FORM else question.form
    check_input(form, values, formats=model is None, whole=VALUES)
    if model is not None:
        validated(model, values, whole=VALUES)


def _closed(part: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(part.get("properties"), dict) or "additionalProperties" in part or not _COMBINED.isdisjoint(part):
        return part
    return {**part, "additionalProperties": False}
