"""Schemas of strangers: patterns that backtrack, references to addresses, schemas that explode. Each is a typed error.

A fault here would hold the interpreter's lock, so that not even the time limit of the test could end it: these run in
a process of their own.
"""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.json_schema import SchemaFault, check_input, evaluable, faults_of, schema_fault
from orchestrator.domain.patterns import Patterns, TooMuchWork, pattern_fault, size_of

EVIL = "^(a+)+$"
LONG = "a" * 60 + "!"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def of(part: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": part}, **more}


BACKTRACKING = {
    "pattern": (of({"type": "string", "pattern": EVIL}), {"a": LONG}),
    "dotted": (of({"pattern": r"^([a-z0-9]+\.?)+$"}), {"a": LONG}),
    "property": ({"type": "object", "patternProperties": {EVIL: False}, "required": ["b"]}, {LONG: 1}),
    "additional": (
        {"type": "object", "patternProperties": {EVIL: True}, "additionalProperties": {"type": "null"}},
        {LONG: 1},
    ),
    "name": ({"propertyNames": {"pattern": EVIL}}, {LONG: 1}),
    "draft": (of({"$schema": DRAFT_7, "pattern": EVIL}), {"a": LONG}),
    "of a default": (of({"$ref": "#/default"}, default={"$schema": DRAFT_7, "pattern": EVIL}), {"a": LONG}),
    "in a reference": (of({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"pattern": EVIL}}}), {"a": LONG}),
    "unevaluated": (
        {"type": "object", "patternProperties": {"^x": {}, EVIL: True}, "unevaluatedProperties": False},
        {LONG: 1},
    ),
    "laughs": (
        of({"$ref": "#/$defs/d0"})
        | {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": False}},
        {"a": 1},
    ),
    "unique": (of({"uniqueItems": True, "maxItems": 1}), {"a": [{"n": n} for n in range(60_000)]}),
    "repeats": (of({"pattern": "(.{1,50}){1,50}!"}), {"a": "é" * 500_000}),
}


def test_no_schema_holds_a_process() -> None:
    program = (
        "import json, sys; from orchestrator.domain.json_schema import check_input; "
        "from orchestrator.domain.errors import InvalidInput\n"
        "for name, (schema, data) in json.load(sys.stdin).items():\n"
        "    try: check_input(schema, data)\n"
        "    except InvalidInput: print(name)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        input=json.dumps(BACKTRACKING),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (result.stdout.splitlines(), result.stderr) == (list(BACKTRACKING), "")


@pytest.mark.parametrize("ref", ["{}/schema.json", "{}/schema.json#/$defs/A"])
def test_a_reference_is_never_fetched(ref: str) -> None:
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(404)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        schema = of({"$ref": ref.format(f"http://127.0.0.1:{server.server_port}")})
        with pytest.raises(InvalidInput, match="leads nowhere"):
            check_input(schema, {"a": 1})
        with pytest.raises(SchemaFault, match="leads nowhere"):
            faults_of(schema, {"a": 1}, 3)
        assert "leads nowhere" in str(schema_fault(schema))
        server.shutdown()
    assert not requests


@pytest.mark.parametrize(
    ("schema", "value", "fault"),
    [
        (of({"$ref": "#/$defs/Gone"}), {"a": 1}, "reference '/$defs/Gone' leads nowhere"),
        (of({"$ref": "#/properties/a"}), {"a": 1}, None),
        (of({"type": "no such type"}), {"a": 1}, "is not JSON Schema: at $.properties.a.type"),
        (of({"pattern": "(?=x)"}), {"a": "x"}, "look-around"),
        (of({"pattern": r"(a)\1"}), {"a": "x"}, "backreferences"),
        (of({"pattern": "a{1,9999}{1,9999}"}), {"a": "x"}, "repeats too much"),
        (of({"pattern": "x" * 2_001}), {"a": "x"}, "2000 characters"),
        ({"type": "object", "patternProperties": {"[": {}}}, {"a": "x"}, "unclosed"),
        ({"unevaluatedProperties": False}, {"a": 1}, "not supported"),
        (of({"items": [{}]}), {"a": [1]}, "is not JSON Schema"),
        (of({"multipleOf": 0.01}), {"a": 10**400}, None),
        ({"$id": 5}, {"a": 1}, "is not JSON Schema"),
        ({"$defs": 5, "$ref": "#/$defs/x"}, {"a": 1}, "is not JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_evaluated_is_an_error_of_ours(schema: Any, value: Any, fault: str | None) -> None:
    assert (schema_fault(schema) is None) == (fault is None)
    assert (fault or "") in str(schema_fault(schema))
    with pytest.raises(InvalidInput):
        check_input(schema, value)


def test_what_cannot_be_evaluated_can_be_left_out() -> None:
    schema = of({"type": "string", "pattern": "(?=x)", "default": {"pattern": "(?=x)"}}, unevaluatedProperties=False)
    schema["properties"]["pattern"] = {"type": "string", "pattern": "^x"}
    schema |= {"patternProperties": {"(?=x)": {}}, "additionalProperties": False}

    assert evaluable(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "default": {"pattern": "(?=x)"}},
            "pattern": {"type": "string", "pattern": "^x"},
        },
    }
    assert schema_fault(evaluable(schema)) is None


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        (of({"pattern": "^a"}), {"a": "ab"}, True),
        (of({"pattern": "b$"}), {"a": "ab\n"}, False),
        (of({"pattern": "^a"}), {"a": 5}, True),
        (of({"pattern": "^a"}), {"a": "\ud800"}, False),
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"x1": 1}, True),
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"x1": "1"}, False),
        ({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}}, {"y": None}, True),
        ({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}}, {"y": 1}, False),
        (of({"uniqueItems": True}), {"a": [1, True, "1", [1], {"a": 1}, {"a": True}]}, True),
        (of({"uniqueItems": True}), {"a": [1, 1.0]}, False),
        (of({"uniqueItems": True}), {"a": [{"x": [1], "y": 2}, {"y": 2, "x": [1.0]}]}, False),
        ({"$ref": "#/$defs/T", "$defs": {"T": of({"$ref": "#/$defs/T"})}}, {"a": {"a": {}}}, True),
        ({"$ref": "#/$defs/T", "$defs": {"T": of({"$ref": "#/$defs/T"})}}, {"a": {"a": 1}}, False),
        (of({"$ref": "urn:b"}, **{"$defs": {"b": {"$id": "urn:b", "type": "null"}}}), {"a": None}, True),
        (of({"$ref": "#/definitions/b"}, definitions={"b": {"type": "null"}}), {"a": 1}, False),
        (of({"oneOf": [{"minimum": 3}, {"enum": [1, 2]}]}), {"a": 2}, True),
    ],
)
def test_what_fits_and_what_does_not(schema: dict[str, Any], value: Any, fits: bool) -> None:
    assert schema_fault(schema) is None
    assert (faults_of(schema, value, 3) == []) == fits


def test_an_unknown_field_is_named_with_its_near_match() -> None:
    with pytest.raises(InvalidInput, match=r"Unknown field: a.reson. Did you mean 'reason'\?") as caught:
        check_input(
            of({"properties": {"reason": {}, "send": {}}, "additionalProperties": False}), {"a": {"reson": "typo"}}
        )
    assert caught.value.details == {"field": "a.reson", "provided": "typo", "expected": "one of: reason, send"}


@pytest.mark.parametrize(
    ("pattern", "size"),
    [("abc", 3), ("(a{1,50}){1,50}", 2_500), ("a{3}b", 4), (r"[a-z]{2,4}\d+", 5), ("a{", 2), ("((x{2}){2}){2}|y", 10)],
)
def test_the_size_of_a_pattern_counts_its_repetitions(pattern: str, size: int) -> None:
    assert size_of(pattern) == size


def test_a_large_input_is_checked_with_a_usual_pattern() -> None:
    uuids = ["0b1d3a3c-6a1e-4f7b-9a29-0c8c1f3f7a10"] * 25_000
    pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    check_input(of({"type": "array", "items": {"type": "string", "pattern": pattern}}), {"a": uuids})


def test_all_texts_of_a_check_have_one_limit() -> None:
    patterns = Patterns()
    for _ in range(11):
        patterns.matches("^.{1,500}$", "x" * 10_000)
    with pytest.raises(TooMuchWork, match="too long"):
        patterns.matches("^.{1,500}$", "x" * 10_000)
    assert pattern_fault("^.{1,500}$") is None
