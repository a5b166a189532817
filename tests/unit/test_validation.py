"""What a caller is told when an input does not fit (D-029)."""

from typing import Any

import pytest

from orchestrator.agents.registry import AGENTS
from orchestrator.domain.errors import InvalidInput
from orchestrator.services.validation import check_input
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


def test_a_value_outside_an_enum_is_told_what_is_allowed() -> None:
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


def test_an_optional_field_tells_its_alternatives() -> None:
    error = fault(SRE, {"description": "checkout fails", "severity": 1})

    assert error.details == {"field": "severity", "provided": 1, "expected": "one of: sev1, sev2, sev3, sev4 or null"}


def test_other_rules_are_told_by_name() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}

    assert fault(schema, {"n": 9}).details == {"field": "n", "provided": 9, "expected": "maximum: 5"}


def test_an_input_that_is_no_object_is_told_so() -> None:
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
