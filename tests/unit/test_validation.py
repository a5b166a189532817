"""The error that a caller gets when an input does not fit (D-029)."""

import asyncio
import sys
import threading
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from unittest.mock import patch

import pytest
from pydantic import BaseModel, Field, create_model, field_validator, model_validator

from orchestrator.agents.registry import AGENTS
from orchestrator.domain import json_schema
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.json_schema import check_input
from orchestrator.domain.model_check import validated
from orchestrator.runtime.inputs import apply_model
from workflows.definitions.api_development import DEFINITION as API_DEVELOPMENT
from workflows.definitions.full_stack_development import DEFINITION as FULL_STACK

PRODUCT_MANAGER = next(agent for agent in AGENTS if agent.id == "product_manager").input_schema()
SRE = next(agent for agent in AGENTS if agent.id == "site_reliability_engineer").input_schema()


def fault(schema: dict[str, Any], data: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_input(schema, data)
    return caught.value


def test_a_missing_field_reads_as_documented() -> None:
    error = fault(PRODUCT_MANAGER, {"context": "a task app"})

    assert error.message == "Missing required field: task_type"
    assert error.details == {"field": "task_type", "provided": None, "expected": "string"}


def test_of_two_missing_fields_the_first_is_named() -> None:
    assert fault(PRODUCT_MANAGER, {}).details["field"] == "task_type"


def test_a_missing_field_comes_before_a_wrong_one() -> None:
    error = fault(API_DEVELOPMENT.input_schema, {"api_name": "Shop", "api_type": "soap"})

    assert error.details == {"field": "description", "provided": None, "expected": "string"}


def test_a_value_outside_an_enum_is_answered_with_the_allowed_ones() -> None:
    error = fault(API_DEVELOPMENT.input_schema, {"api_name": "Shop", "description": "Sells", "api_type": "soap"})

    assert error.message == 'Invalid value for field api_type: got "soap", expected one of: rest, graphql'
    assert error.details == {"field": "api_type", "provided": "soap", "expected": "one of: rest, graphql"}


@pytest.mark.parametrize(
    ("stack", "field", "provided", "expected"),
    [
        ([], "tech_stack", [], "object"),
        ({"frontend": "React"}, "tech_stack.frontend", "React", "array"),
        ({"backend": ["FastAPI", 3]}, "tech_stack.backend.1", 3, "string"),
    ],
)
def test_a_wrong_type_is_named_by_its_dotted_path(stack: Any, field: str, provided: Any, expected: str) -> None:
    error = fault(FULL_STACK.input_schema, {"project_name": "x", "description": "y", "tech_stack": stack})

    assert error.details == {"field": field, "provided": provided, "expected": expected}


def test_a_missing_nested_field_is_named_by_its_dotted_path() -> None:
    schema = {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}}},
        "$defs": {
            "Row": {"type": "object", "properties": {"kind": {"$ref": "#/$defs/Kind"}}, "required": ["kind"]},
            "Kind": {"enum": ["a", 1]},
        },
    }

    error = fault(schema, {"rows": [{"kind": "a"}, {}]})

    assert error.message == "Missing required field: rows.1.kind"
    assert error.details["expected"] == "one of: a, 1"


def test_an_optional_field_names_its_alternatives() -> None:
    error = fault(SRE, {"description": "checkout fails", "severity": 1})

    assert error.details == {"field": "severity", "provided": 1, "expected": "one of: sev1, sev2, sev3, sev4 or null"}


def test_other_rules_are_named() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}

    assert fault(schema, {"n": 9}).details == {"field": "n", "provided": 9, "expected": "maximum: 5"}


def test_an_input_that_is_no_object_is_refused() -> None:
    assert fault(PRODUCT_MANAGER, ["prd"]).details == {"field": "input", "provided": ["prd"], "expected": "object"}


def test_a_long_value_is_not_echoed_whole() -> None:
    error = fault(PRODUCT_MANAGER, {"task_type": "x" * 5000, "context": "y"})

    assert len(error.details["provided"]) == 100
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (PRODUCT_MANAGER, {"task_type": "prd", "context": "a task app", "target_audience": "students"}),
        (
            API_DEVELOPMENT.input_schema,
            {"api_name": "Shop", "description": "Sells", "api_type": "rest", "requirements": ["JWT authentication"]},
        ),
    ],
)
def test_keys_beyond_the_schema_are_allowed(schema: dict[str, Any], data: dict[str, Any]) -> None:
    check_input(schema, data)


class Meeting(BaseModel):
    """Formats, a validator, defaults: what a JSON Schema does not tell."""

    when: datetime
    seats: int = 8
    tags: list[str] = Field(default_factory=lambda: ["internal"])
    mode: int | str = "any"

    @field_validator("seats")
    @classmethod
    def _even(cls, seats: int) -> int:
        if seats == 13:
            raise KeyError("a fault of the author's own")
        if seats == 15:
            sys.exit(3)
        if seats % 2:
            raise ValueError("seats come in pairs" + "!" * 1000)
        return seats

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.seats > 100 and not self.tags:
            raise ValueError("a large meeting needs a tag")
        return self


def refused(data: dict[str, Any], model: type[BaseModel] = Meeting) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        validated(model, data)
    return caught.value


def test_a_model_is_applied_whole_and_its_defaults_are_filled_in() -> None:
    given = {"when": "2026-11-26T10:00:00Z", "beyond": 1}
    read = validated(Meeting, given)

    assert read == {
        "when": datetime(2026, 11, 26, 10, tzinfo=UTC),
        "seats": 8,
        "tags": ["internal"],
        "mode": "any",
        "beyond": 1,
    }
    assert validated(Meeting, given, as_json=True)["when"] == "2026-11-26T10:00:00Z"
    assert given == {"when": "2026-11-26T10:00:00Z", "beyond": 1}


def test_a_format_is_named_by_its_field() -> None:
    error = refused({"when": "not a date"})

    assert error.details["field"] == "when"
    assert error.details["provided"] == "not a date"
    assert error.message.startswith('Invalid value for field when: got "not a date", expected a valid datetime')


def test_a_validator_speaks_in_its_authors_words_and_is_cut() -> None:
    error = refused({"when": "2026-11-26", "seats": 7})

    assert error.details["field"] == "seats"
    assert error.message.startswith("Invalid value for field seats: got 7. seats come in pairs!!")
    assert len(error.message) < 400


def test_a_rule_for_the_whole_names_the_input() -> None:
    error = refused({"when": "2026-11-26", "seats": 200, "tags": []})

    assert (error.details["field"], error.details["expected"]) == ("input", "a large meeting needs a tag")


@pytest.mark.parametrize(("seats", "fault"), [(13, "KeyError: "), (15, "SystemExit: 3")])
def test_a_validator_that_fails_in_its_own_way_is_no_fault_of_ours(seats: int, fault: str) -> None:
    error = refused({"when": "2026-11-26", "seats": seats})

    assert error.message.startswith(f"The input model Meeting failed on this input: {fault}")
    assert error.details["field"] == "input"


def test_a_field_that_is_missing_inside_names_its_type() -> None:
    error = refused({"meetings": [{"when": "2026-11-26"}, {}]}, create_model("Week", meetings=list[Meeting]))

    assert error.details == {"field": "meetings.1.when", "provided": None, "expected": "string"}


def test_the_members_of_a_union_are_no_part_of_a_fields_name() -> None:
    assert refused({"when": "2026-11-26", "mode": []}).details["field"] == "mode"


class Endless(BaseModel):
    released: ClassVar[threading.Event]
    text: str

    @field_validator("text")
    @classmethod
    def _wait(cls, text: str) -> str:
        cls.released.wait()
        return text


async def test_a_validator_that_does_not_end_is_given_up() -> None:
    Endless.released = threading.Event()
    try:
        with pytest.raises(InvalidInput, match=r"did not end within 0\.05 seconds"):
            await apply_model(Endless, {"text": "x"}, seconds=0.05)
        assert (await apply_model(Meeting, {"when": "2026-11-26"}))["seats"] == 8
    finally:
        Endless.released.set()


@pytest.mark.parametrize(
    ("format", "wrong", "right"),
    [
        ("date-time", "not a date", "2026-11-26T10:00:00Z"),
        ("date", "2026-13-01", "2026-11-26"),
        ("uuid", "x", "0b1d3a3c-6a1e-4f7b-9a29-0c8c1f3f7a10"),
        ("ipv4", "300.1.1.1", "10.0.0.1"),
    ],
)
def test_formats_of_a_schema_count_where_there_is_no_model(format: str, wrong: str, right: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "format": format}}}
    check_input(schema, {"x": right})

    assert fault(schema, {"x": wrong}).details == {"field": "x", "provided": wrong, "expected": f'format: "{format}"'}


def test_of_a_million_faults_only_the_first_are_looked_for() -> None:
    looked_at = []
    checker = json_schema._Evaluator.TYPE_CHECKER.redefine("integer", lambda _, value: bool(looked_at.append(value)))
    assert checker.is_type(1, "integer") is False  # it counts what it is asked
    schema = {"type": "object", "properties": {"n": {"type": "array", "items": {"type": "integer"}}}, "required": ["m"]}

    with patch.object(json_schema._Evaluator, "TYPE_CHECKER", checker):
        assert fault(schema, {"n": ["x"] * 1_000_000}).details["field"] == "m"
    assert 20 <= len(looked_at) <= 50


async def test_an_endless_validator_is_interrupted_once_it_is_given_up() -> None:
    ends = threading.Event()

    class Spinning(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def _spin(cls, text: str) -> str:
            try:
                while True:
                    pass
            finally:
                ends.set()

    with pytest.raises(InvalidInput, match="did not end within"):
        await apply_model(Spinning, {"text": "x"}, seconds=0.05)
    assert await asyncio.to_thread(ends.wait, 30)


class Seat(BaseModel):
    number: int = 1


async def test_a_small_input_of_a_plain_model_needs_no_thread_and_a_large_one_does() -> None:
    with patch("orchestrator.runtime.inputs.in_thread", side_effect=AssertionError):
        value = await apply_model(Seat, {"number": "2", "list": [{"text": "x" * 900}] * 20})
        assert value["number"] == 2
        for large in ("x" * 20_001, ["x" * 101] * 199, list(range(201)), {"x" * 20_001: 1}, [[1] * 150] * 2):
            with pytest.raises(AssertionError):
                await apply_model(Seat, {"value": large})
        with pytest.raises(AssertionError):
            await apply_model(Meeting, {"when": "2026-11-26"})
