"""Questions to people: what a form may be, who may answer, and the fold of a job's questions."""

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from orchestrator.domain.access import Principal, Role, Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.json_schema import check_input
from orchestrator.domain.questions import Ask, PersonQuestion, approval_question, beginning, tool_question


class Ticket(BaseModel):
    title: str
    urgent: bool = Field(default=False, description="Today.")


FORM = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}


def test_a_form_of_a_model_travels_as_its_schema() -> None:
    ask = Ask(form=Ticket, message="What is wrong?")
    assert ask.model is Ticket
    sent = ask.model_dump(mode="json")
    assert "model" not in sent
    assert sent["form"] == Ticket.model_json_schema()
    received = Ask.model_validate(sent)
    assert (received.model, received.form) == (None, ask.form)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"form": {"type": "string"}}, "a pydantic model with fields"),
        ({"form": {"type": "object"}}, "a pydantic model with fields"),
        ({"form": {"type": "object", "properties": {"n": {"description": "long" * 2000}}}}, "at most 6144"),
        ({"by": ("role:support",)}, "roles are admin"),
        ({"by": ("support",)}, "names nobody"),
        ({"by": ("key:",)}, "names nobody"),
        ({"form": Ticket, "on_timeout": "default"}, "without one: title"),
        ({"message": ""}, "message"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_a_wrong_ask_is_refused_where_it_is_written(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Ask.model_validate({"form": FORM, "message": "How many?", **fields})


OWNER = Principal("ann", frozenset(Scope) - {Scope.ADMIN})
OTHER = Principal("bob", frozenset(Scope) - {Scope.ADMIN}, key="key_1", key_name="desk")
MANAGER = Principal("user:eve", frozenset(Scope) - {Scope.ADMIN}, roles=frozenset({Role.ORCHESTRATION_MANAGER}))
ADMIN = Principal("root", frozenset({Scope.ADMIN}))


@pytest.mark.parametrize(
    ("by", "admitted"),
    [
        ((), [OWNER, ADMIN]),
        (("owner",), [OWNER, ADMIN]),
        (("owner:bob",), [OTHER, ADMIN]),
        (("key:desk",), [OTHER, ADMIN]),
        (("key:key_1", "owner"), [OWNER, OTHER, ADMIN]),
        (("role:orchestration_manager",), [MANAGER, ADMIN]),
    ],
)
def test_who_may_answer(by: tuple[str, ...], admitted: list[Principal]) -> None:
    question = PersonQuestion(id="q", step="q", message="?", form=FORM, by=by)
    assert [person for person in (OWNER, OTHER, MANAGER, ADMIN) if question.admits(person, "ann")] == admitted


def test_a_deadline_takes_the_defaults_of_the_form() -> None:
    assert Ask(form=FORM, message="?", on_timeout="default").question("q", "q").values_at_deadline() == {"n": 3}


def test_a_tool_call_is_a_question_with_its_arguments_and_no_answer_is_a_no() -> None:
    schema = {"type": "object", "properties": {"amount": {"$ref": "#/$defs/M"}}, "$defs": {"M": {"type": "number"}}}
    question = tool_question("d.s.t1.1", "d", "s", "Refund?", arguments={"amount": 5.0}, schema=schema)
    assert question.form["$defs"] == {"M": {"type": "number"}}
    assert question.form["properties"]["arguments"]["properties"] == {"amount": {"$ref": "#/$defs/M"}}
    assert (question.details, question.values_at_deadline()) == ({"amount": 5.0}, {"approved": False})


def test_what_is_too_long_to_show_is_refused_or_named() -> None:
    with pytest.raises(ValueError, match="at most"):
        approval_question("q", "q", "Ship?", details="x" * 10_000)
    with pytest.raises(ValueError, match="at most"):
        Ask(form=Ticket, message="Which?").question("q", "q", "x" * 10_000)
    question = tool_question("q", "q", "a", "Go?", arguments={"n": 1, "text": "x" * 9000}, schema={"type": "object"})
    assert question.details["n"] == 1
    assert question.details["text"].endswith("x… (9000 characters)")


@pytest.mark.parametrize("letter", ["x", "ä", "\n", "😀"])
def test_a_long_text_is_shown_by_its_beginning(letter: str) -> None:
    shown = beginning(letter * 10_000)
    assert shown.startswith(letter * 400)
    assert shown.endswith(f"{letter} …")
    assert approval_question("q", "q", "Ship?", details=shown).details == shown
    assert beginning("short") == "short"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/definitions/B"}}, "definitions": {"B": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#/$defs/B"}}, "$defs": {"B": {"$ref": "#/$defs/C"}, "C": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}}},
        {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#"}}},
    ],
)
def test_edited_arguments_are_checked_wherever_their_schema_has_its_parts(schema: dict[str, Any]) -> None:
    form = tool_question("a", "s", "desk", "?", arguments={}, schema={"type": "object", **schema}).form

    check_input(form, {"approved": True, "arguments": {"a": 5}})
    with pytest.raises(InvalidInput, match=r"arguments\.a"):
        check_input(form, {"approved": True, "arguments": {"a": "x"}})


@pytest.mark.parametrize("part", [{"$ref": "#/$defs/Gone"}, {"$ref": "http://127.0.0.1:1/x"}, {"pattern": "(?=x)"}])
def test_arguments_whose_schema_cannot_be_evaluated_can_still_be_edited(part: dict[str, Any]) -> None:
    form = tool_question("a", "s", "desk", "?", arguments={}, schema={"type": "object", "properties": {"a": part}}).form

    check_input(form, {"approved": True, "arguments": {"a": 5}})
    with pytest.raises(InvalidInput, match="arguments"):
        check_input(form, {"approved": True, "arguments": 5})
