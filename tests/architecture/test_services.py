"""A service declares its collaborators as the fields of a dataclass."""

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from orchestrator.composition.process import Parts

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


def composed(value: object) -> Iterator[object]:
    """A value and the dataclasses of the product that it is composed of, each once."""
    pending, done = [value], set[int]()
    while pending:
        part = pending.pop()
        if is_dataclass(part) and type(part).__module__.startswith("orchestrator.services") and id(part) not in done:
            done.add(id(part))
            yield part
            pending += [getattr(part, field.name) for field in fields(part)]


async def test_no_service_prints_its_collaborators(parts: Parts) -> None:
    """One service reaches the whole process: to print it with a traceback would take minutes."""
    services = [part for part in composed(parts.services) if part is not parts.services]
    assert len(services) > 20
    assert [type(part).__name__ for part in services if type(part).__repr__ is not object.__repr__] == []


def test_the_dataclasses_with_state_are_named() -> None:
    changeable = set()
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
                if "dataclass" in decorators and "frozen=True" not in decorators:
                    changeable.add(node.name)
    page = (SERVICES.parents[1] / "docs" / "architecture.md").read_text()
    sentence = page.partition("has a constructor;")[2].partition("are dataclasses with state")[0]
    assert {name.strip("` \n") for name in sentence.split(" and ")} == changeable
