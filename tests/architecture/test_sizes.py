"""Small files, short functions, everything described: the budget of the style guide, measured."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestrator", "activities", "workflows", "api")


def modules() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts and len(path.read_text().splitlines()) > 3
    ]


def functions() -> Iterator[tuple[str, int]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_stay_small() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > 400} == {}
    assert statistics.median(sizes.values()) <= 130


def test_functions_stay_short() -> None:
    sizes = dict(functions())
    assert {name: n for name, n in sizes.items() if n > 60} == {}
    assert statistics.quantiles(sizes.values(), n=20)[-1] <= 40


def test_every_module_says_what_it_is() -> None:
    silent = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []
