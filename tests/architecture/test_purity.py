"""The domain is passed through the sandbox unchecked, so these tests check it: no clock, chance, environment or I/O."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = sorted((ROOT / "orchestrator" / "domain").glob("*.py"))
ALLOWED_IMPORTS = {
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "graphlib",
    "hashlib",
    "math",
    "orchestrator",
    "pydantic",
    "typing",
}
FORBIDDEN_CALLS = {"now", "today", "utcnow", "time", "uuid1", "uuid4", "uuid7", "getenv", "open", "print", "input"}


def faults(source: str) -> list[str]:
    """What a domain module must not contain."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [f"import {n.name}" for n in names if n.name.split(".")[0] not in ALLOWED_IMPORTS]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] not in ALLOWED_IMPORTS:
                found.append(f"from {module}")
            case ast.ImportFrom(module=str(module)) if module.startswith("orchestrator.") and not module.startswith(
                "orchestrator.domain"
            ):
                found.append(f"from {module}")
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(f"{name}() in line {node.lineno}")
            case ast.For(iter=ast.Call(func=ast.Name(id="set")) | ast.Set()):
                found.append(f"iterates over a set in line {node.lineno}")
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_the_domain_is_pure(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_coroutines_are_only_declared_by_ports() -> None:
    for path in PURE:
        coroutines = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.AsyncFunctionDef)]
        assert not coroutines or path.stem == "ports", path


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from os import environ",
        "datetime.now()",
        "for x in {1, 2}: pass",
        "from orchestrator.engine import x",
    ],
)
def test_the_check_bites(source: str) -> None:
    assert faults(source)
