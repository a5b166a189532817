"""Labels of jobs that one room writes and another reads are named in `orchestrator.domain.labels` alone."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from api.dialects.orchestrator.models import WorkflowRequest
from orchestrator.domain.labels import JobLabel, JobPriority
from tests.unit.histories import job_input, step
from workflows.starts import priority_of

ROOT = Path(__file__).parents[2]
ROOMS = ("activities", "api", "orchestrator", "workflows")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def is_labels(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] == "labels"


def keys_of(node: ast.AST) -> list[ast.expr | None]:
    """The keys of labels that a piece of code names."""
    match node:
        case ast.Subscript(value=mapping, slice=key) if is_labels(mapping):
            return [key]
        case ast.Call(func=ast.Attribute(value=mapping), args=[key, *_]) if is_labels(mapping):
            return [key]
        case ast.keyword(arg="labels", value=ast.Dict(keys=keys)):
            return keys
        case ast.Assign(targets=[target], value=ast.Dict(keys=keys)) if is_labels(target):
            return keys
        case ast.AnnAssign(target=target, value=ast.Dict(keys=keys)) if is_labels(target):
            return keys
        case _:
            return []


def bare_labels(code: str) -> Iterator[int]:
    """Lines that write or read a label by a bare string."""
    for node in ast.walk(ast.parse(code)):
        yield from (key.lineno for key in keys_of(node) if isinstance(key, ast.Constant))


def test_no_room_names_a_label_by_a_bare_string() -> None:
    assert [f"{path.relative_to(ROOT)}:{line}" for path in SOURCES for line in bare_labels(path.read_text())] == []


@pytest.mark.parametrize(
    "code", ["job.labels['mode']", "job.labels.get('mode')", "f(labels={'mode': 1})", "labels = {'mode': 1}"]
)
def test_the_rule_finds_them(code: str) -> None:
    assert list(bare_labels(code)) == [1]


def test_labels_are_persisted_as_before() -> None:
    job = job_input(step("a", "writer"), labels={JobLabel.SURFACE: "chat", JobLabel.PRIORITY: JobPriority.HIGH})
    assert json.loads(job.model_dump_json())["labels"] == {"surface": "chat", "priority": "high"}
    assert {type(part) for pair in job.labels.items() for part in pair} == {str}


@pytest.mark.parametrize(("word", "key"), [("critical", 1), ("high", 2), ("normal", 3), ("low", 4), ("urgent", None)])
def test_a_priority_has_a_number_of_temporal(word: str, key: int | None) -> None:
    job = job_input(step("a", "writer"), labels={JobLabel.PRIORITY: word})
    assert priority_of(job).priority_key == key


def test_a_session_may_ask_for_every_priority() -> None:
    field = WorkflowRequest.model_fields["priority"]
    pattern = next(part.pattern for part in field.metadata if hasattr(part, "pattern"))
    assert set(pattern.strip("^$()").split("|")) == set(JobPriority)
    assert str in get_args(field.annotation)
