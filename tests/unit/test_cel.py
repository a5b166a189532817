"""CEL: what is refused at load, what an expression gives. A new release of the library must pass this corpus."""

from typing import Any

import pytest

from orchestrator.domain.cel import CelFault, CelType, evaluate, references, result_type, uses
from orchestrator.domain.expressions import Cel, cel, expressions_in, filled

NAMES: dict[str, Any] = {
    "input": {"n": 3, "x": 9.5, "list": [1, 2, {"b": None}], "brief": "Ü"},
    "steps": {
        "review": {"approved": True, "score": 9.5, "remarks": "", "status": "completed"},
        "skip": {"status": "skipped"},
    },
    "item": {"id": "a", "n": 1},
    "round": 2,
    "previous": {"review": {"remarks": "shorter"}},
    "ran": [{"output": "o"}],
}
CORPUS = {
    "steps.review.approved": True,
    "!steps.review.approved": False,
    "steps.review.score > 8": True,
    "input.n >= 2.5": True,
    "input.n == 3.0": True,
    "input.n in [3, 4]": True,
    "input.list[2].b == null": True,
    "input.list.size()": 3,
    "round == 1 ? '' : previous.review.remarks": "shorter",
    "round == 2 ? '' : previous.nothing.remarks": "",
    "steps.skip.status == 'completed' && steps.skip.approved": False,
    "has(input.zz) ? input.zz : 'none'": "none",
    "ran[0].output": "o",
    "item": {"id": "a", "n": 1},
    "{'b': input.n, 'a': [input.x]}": {"a": [9.5], "b": 3},
    "input.list.filter(i, i == 1 || i == 2).map(i, i * 2)": [2, 4],
    "input.brief + '!'": "Ü!",
    "input.brief.size()": 1,
    "string(input.n) + ' drafts'": "3 drafts",
    "'review'.matches('^re.*')": True,
    "input.n + 1": 4,
    "7 / 2": 3,
    "7.0 / 2.0": 3.5,
    "-7 % 3": -1,
    "double(input.n) + 0.5": 3.5,
    "null": None,
    "[1, 2].exists(i, i > 1) && [1, 2].all(i, i > 0)": True,
    "input.list.exists(i, i == 2)": True,
    "size('a') == 1 ? [] : [1]": [],
}
FAULTS = {
    "input.zz": 'Key not found in map : "zz"',
    "1 / 0": "divide by zero",
    "input.n + 0.5": "No matching overload",
    "steps.skip.approved": 'Key not found in map : "approved"',
    "9223372036854775807 + input.n": "integer overflow",
    "timestamp('2020-01-01T00:00:00Z')": "datetime, which is no JSON",
    "b'abc'": "bytearray, which is no JSON",
    "1.0 / 0.0": "float, which is no JSON",
    "{1: 2}": "dict, which is no JSON",
    "ran[1]": "index=1 size=1",
}
TYPES = {
    "steps.review.approved": CelType.BOOL,
    "steps.review.score": CelType.DYN,
    "steps.review.remarks": CelType.STRING,
}


@pytest.mark.parametrize(("expression", "value"), CORPUS.items())
def test_an_expression_has_one_value(expression: str, value: Any) -> None:
    result = evaluate(expression, NAMES)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(("expression", "reason"), FAULTS.items())
def test_an_expression_without_a_value_says_why(expression: str, reason: str) -> None:
    with pytest.raises(CelFault, match=reason.replace("(", r"\(")):
        evaluate(expression, NAMES)


def test_an_endless_expression_ends() -> None:
    many = list(range(1000))
    with pytest.raises(CelFault, match=r"[Ii]teration budget"):
        evaluate("a.map(x, a.map(y, a.map(z, x * y * z)))", {"a": many})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (
            "steps.review.scor > 8",
            r"line 1, column 13: unknown name 'steps.review.scor'. Did you mean 'steps.review.score'\?",
        ),
        ("steps.review.approved == 'yes'", "line 1, column 23: found no matching overload"),
        ("steps.review.approved &&", "line 1, column 25: Syntax error"),
        ("x" * 1001, "at most 1000"),
        ("now()", "undeclared reference|unknown name 'now'"),
    ],
)
def test_a_mistake_is_found_before_a_start(expression: str, reason: str) -> None:
    with pytest.raises(CelFault, match=reason):
        result_type(expression, TYPES)


def test_the_type_of_a_value_is_known_before_a_start() -> None:
    assert result_type("steps.review.approved", TYPES) is CelType.BOOL
    assert result_type("steps.review.score", TYPES) is CelType.DYN
    assert result_type("steps.review.score > 8", TYPES) is CelType.BOOL
    assert result_type("steps.review.remarks + '.'", TYPES) is CelType.STRING
    assert result_type("['a']", TYPES) is CelType.LIST
    assert result_type("{'a': 1}", TYPES) is CelType.MAP


def test_references_are_read_outside_of_strings() -> None:
    expression = "steps.a.x == 'steps.b' && other.steps.c && steps.d_1.y"
    assert references(expression, "steps") == {"a", "d_1"}
    assert uses("item.x", "item")
    assert not uses("'item' + x.item", "item")


def test_a_template_is_filled_and_a_plain_string_is_a_literal() -> None:
    template = {"a": {"cel": "item.id"}, "b": ["item.id", {"cel": "item.n + 1"}], "c": {"cel": 1}}
    assert filled(template, lambda text: evaluate(text, NAMES)) == {"a": "a", "b": ["item.id", 2], "c": {"cel": 1}}
    assert list(expressions_in(template)) == ["item.id", "item.n + 1"]
    assert cel("item") == Cel(cel="item")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("lenght(item) > 3", "line 1, column 7: unknown name 'lenght'. Did you mean 'size'?"),
        ("sise(item) > 3", "line 1, column 5: unknown name 'sise'. Did you mean 'size'?"),
        ("item >", "line 1, column 7: Syntax error: mismatched input the end"),
        ("item ?", "line 1, column 7: Syntax error: mismatched input the end"),
    ],
)
def test_a_fault_of_syntax_says_where_and_the_near_match_of_a_function(expression: str, message: str):
    with pytest.raises(CelFault) as refused:
        result_type(expression, {"item": CelType.LIST})
    assert str(refused.value) == message
