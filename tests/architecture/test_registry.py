"""What is defined is registered: workflows, activities, packages."""

import ast
import inspect
import tomllib
from pathlib import Path

from temporalio import workflow as temporal_workflow

from workflows.registry import WORKFLOWS

ROOT = Path(__file__).parents[2]


def defined(package: str, decorator: str) -> set[str]:
    """Names of classes or methods in a package that carry a decorator such as `workflow.defn`."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef):
                marks = {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
                if decorator in marks:
                    found.add(node.name)
    return found


def test_every_workflow_class_is_registered() -> None:
    assert {one.__name__ for one in WORKFLOWS} == defined("workflows", "workflow.defn")
    assert all(inspect.isclass(one) for one in WORKFLOWS)
    assert temporal_workflow._Definition.from_class(WORKFLOWS[0]) is not None


def test_every_activity_is_registered(engine_parts_activities: set[str]) -> None:
    assert defined("activities", "activity.defn") == engine_parts_activities


def test_the_wheel_ships_our_four_packages_and_nothing_else() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "orchestrator",
        "activities",
        "workflows",
        "api",
    ]


def test_the_workflow_package_stays_empty() -> None:
    assert (ROOT / "workflows" / "__init__.py").read_text() == ""
