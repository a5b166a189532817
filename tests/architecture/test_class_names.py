"""A class has a name that no other class of the product has: a search for it finds one."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("activities", "api", "orchestrator", "workflows")


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield path.relative_to(ROOT), node


def wire_models() -> set[str]:
    """Names of the API's models of requests and answers.

    They are those of the OpenAPI document and as short as the words that it documents; two dialects have one word for
    different things, and each is read beside its own routes.
    """
    bases = {
        node.name: {ast.unparse(base) for base in node.bases} for path, node in classes() if path.parts[0] == "api"
    } | {"_Frame": {"BaseModel"}}
    models = {"BaseModel"}
    while more := {name for name, parents in bases.items() if parents & models} - models:
        models |= more
    return models


def test_no_two_classes_have_one_name() -> None:
    places, models = defaultdict(list), wire_models()
    for path, node in classes():
        if path.parts[0] != "api" or node.name not in models:
            places[node.name].append(f"{path}:{node.lineno}")
    assert len(places) > 400
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
