"""Answers to forms: fields that a form lacks, at every level, and the name of the whole."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from orchestrator.domain.answers import check_answer
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.questions import PersonQuestion, QuestionKind


class Reason(BaseModel):
    text: str = ""


class Decision(BaseModel):
    send: bool
    discount: int = 0
    reason: Reason | None = None

    @model_validator(mode="after")
    def _explained(self) -> "Decision":
        if self.discount > 30 and self.reason is None:
            raise ValueError("a discount over 30 needs a reason")
        return self


class Open(Decision):
    model_config = ConfigDict(extra="allow")


def question(form: dict[str, Any], kind: QuestionKind = QuestionKind.FORM) -> PersonQuestion:
    return PersonQuestion(id="q", step="q", message="?", form=form, kind=kind)


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"send": True, "reson": "x"}, "reson", "Unknown field: reson. Did you mean 'reason'?"),
        ({"send": True, "reason": {"txt": "x"}}, "reason", "Invalid value for field reason"),
        ({"send": True, "zzz": 1}, "zzz", "Unknown field: zzz. Expected one of: send, discount, reason"),
        ({"send": True, "discount": 40}, "values", "a discount over 30 needs a reason"),
        ({"discount": 3}, "send", "Missing required field: send"),
    ],
)
def test_a_wrong_answer_names_its_field(values: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as fault:
        check_answer(question(Decision.model_json_schema()), Decision, values)
    assert message in fault.value.message
    assert fault.value.details["field"] == field


def test_more_fields_count_where_a_form_allows_them() -> None:
    check_answer(question(Open.model_json_schema()), Open, {"send": True, "more": 1})
    form = {"type": "object", "properties": {"a": {}}}
    check_answer(question({**form, "additionalProperties": {"type": "integer"}}), None, {"b": 1})
    check_answer(question({**form, "patternProperties": {"^b": {}}}), None, {"b": 1})
    both = {"allOf": [{"properties": {"b": {}}}], **form}
    check_answer(question(both), None, {"b": 1})
    tool = {"type": "object", "properties": {"arguments": form}}
    check_answer(question(tool, QuestionKind.TOOL), None, {"arguments": {"b": 1}})
