"""What runs in workflows without the sandbox's eye on it, these tests check: no clock, chance, environment or I/O.

That is the domain, which is passed through, and the interpreter, which runs outside (decision 0012).
"""

import ast
import re
from collections.abc import Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = sorted((ROOT / "orchestrator" / "domain").glob("*.py"))


def imported(*names: str) -> list[Path]:
    """These modules of `workflows` and those that they import from there, directly or not."""
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = ROOT / "workflows" / f"{name}.py"
            waiting += re.findall(r"from workflows\.(\w+) import", found[name].read_text())
    return [found[name] for name in sorted(found)]


# The interpreter, and the interceptors around it. Questions check answers with the runtime's pure functions.
INTERPRETER = [path for path in imported("plan", "lifecycle", "call_numbers") if path.stem != "questions"]
OF_WORKFLOWS = {"asyncio", "temporalio", "workflows"}
ALLOWED_IMPORTS = {
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "graphlib",
    "hashlib",
    "inspect",  # signatures of tools
    "json",
    "math",
    "orchestrator",
    "pydantic",
    "pydantic_core",
    "re",
    "typing",
    "typing_extensions",
}
# A cache of compiled expressions: what it returns depends on its arguments alone.
ALLOWED_HERE = {
    "cel": {"cel_expr_python", "functools"},
    "json_schema": {"contextvars", "itertools", "jsonschema", "referencing"},
}
FORBIDDEN_CALLS = {
    *("now", "today", "utcnow", "time", "uuid1", "uuid4", "uuid7", "getenv", "open", "print", "input"),
    *("wait", "as_completed", "to_thread", "run_in_executor"),  # asyncio's, whose order or thread is not replayed
}


def faults(source: str, allowed: Set[str] = ALLOWED_IMPORTS) -> list[str]:
    """What a module that replays must not contain."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [f"import {n.name}" for n in names if n.name.split(".")[0] not in allowed]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] not in allowed:
                found.append(f"from {module}")
            case ast.ImportFrom(module=str(module)) if module.startswith("orchestrator.") and not module.startswith(
                "orchestrator.domain"
            ):
                found.append(f"from {module}")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="workflow"))):
                continue  # Temporal's own clock and chance, which replay.
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(f"{name}() in line {node.lineno}")
            case ast.For(iter=ast.Call(func=ast.Name(id="set")) | ast.Set()):
                found.append(f"iterates over a set in line {node.lineno}")
            case ast.Global():
                found.append(f"global in line {node.lineno}")
    return found


def is_constant(node: ast.stmt) -> bool:
    """A docstring, a `Final` that is no container, an alias of a type, or a field of a dataclass: no state."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="Final"), value=value):
            return not isinstance(value, ast.Dict | ast.List | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        case ast.AnnAssign(value=None | ast.Constant() | ast.Lambda() | ast.Call(func=ast.Name(id="field"))):
            return True
        case ast.Assign(value=ast.Subscript() | ast.BinOp() | ast.Call(func=ast.Name(id="TypeVar"))):
            return True
        case _:
            return False


def module_state(source: str) -> list[str]:
    """What a module and its classes keep between runs, which would then see one another."""
    stateless = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
    found: list[str] = []
    bodies: list[list[ast.stmt]] = [ast.parse(source).body]
    while bodies:
        for node in bodies.pop():
            if isinstance(node, ast.ClassDef | ast.With):
                bodies.append(node.body)
            elif not isinstance(node, stateless) and not is_constant(node):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_the_domain_is_pure(path: Path) -> None:
    assert faults(path.read_text(), ALLOWED_IMPORTS | ALLOWED_HERE.get(path.stem, set())) == []


@pytest.mark.parametrize("path", INTERPRETER, ids=lambda path: path.stem)
def test_the_interpreter_is_pure_and_keeps_nothing(path: Path) -> None:
    source = path.read_text()
    assert faults(source, ALLOWED_IMPORTS | OF_WORKFLOWS) == []
    assert module_state(source) == []


def test_the_modules_of_the_interpreter_are_found() -> None:
    names = {path.stem for path in INTERPRETER}
    assert {"plan", "steps", "details", "lifecycle", "adoption", "exits", "call_numbers", "starts"} <= names


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
        "asyncio.wait([])",
        "for x in {1, 2}: pass",
        "from orchestrator.engine import x",
    ],
)
def test_the_check_bites(source: str) -> None:
    assert faults(source)


def test_the_check_of_modules_bites() -> None:
    assert module_state("SEEN = {}") == ["SEEN = {}"]
    assert module_state("class Walk:\n    seen = []") == ["seen = []"]
    assert module_state("SEEN: dict[str, int] = {}")
    assert module_state("class Walk:\n    seen: list[int] = []")
    assert module_state("SEEN: Final = {}")
    assert module_state("LIMIT: Final = 3\nCall = Callable[[int], int]") == []
    assert faults("def f():\n    global SEEN")
