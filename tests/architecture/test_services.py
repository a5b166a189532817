"""A service declares its collaborators as the fields of a dataclass."""

import ast
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "orchestrator" / "services"


def constructors() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(SERVICES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                        yield f"{path.relative_to(SERVICES)}: {node.name}", method


def only_assigns(method: ast.FunctionDef) -> bool:
    parameters = {argument.arg for argument in (*method.args.args, *method.args.kwonlyargs)}
    statements = [node for node in method.body if not isinstance(node, ast.Expr)]  # without the docstring
    return all(
        isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in parameters
        for node in statements
    )


def test_no_constructor_of_a_service_only_assigns_its_parameters() -> None:
    found = list(constructors())
    assert found
    assert [name for name, method in found if only_assigns(method)] == []
