"""Every line of the native API's specification that concerns the server is named by a test that proves it."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
# 72 to 94 describe the client libraries and the command-line client, which have tests of their own.
SERVER = [f"D-{number:03d}" for number in (*range(1, 72), *range(95, 107))]


def named(path: Path) -> Iterator[str]:
    """The lines that the tests of one file name: in a `@ledger(…)` above a function that is collected."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "ledger":
                    yield from (argument.value for argument in mark.args if isinstance(argument, ast.Constant))


def test_every_line_of_the_native_api_is_named_by_a_test() -> None:
    proven = {line for path in TESTS.rglob("test_*.py") for line in named(path)}
    assert [line for line in SERVER if line not in proven] == []


def test_marks_are_found_where_they_count(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(
        '@ledger("D-001", "D-002")\ndef test_a(): ...\n\n@ledger("D-003")\ndef no_test(): ...\n# @ledger("D-004")\n'
    )
    assert list(named(file)) == ["D-001", "D-002"]
