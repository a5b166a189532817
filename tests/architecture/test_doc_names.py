"""The documents name files, modules, classes, commands, routes and numbers that the code has."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice import v1 as workflowservice

from tests.architecture.test_docs import PAGES, ROOT, commands, page_name, routes, rows

ROOMS = {path.parent.name for path in (ROOT / "orchestrator").glob("*/__init__.py")}
# The rows of this page are names of another document; `test_guide_names.py` checks its second column.
OTHER_NAMES = {"docs/api-orchestrator.md", "docs/requirements.md", "docs/conformance.md"}
OWN_PAGES = [path for path in PAGES if path.parts[len(ROOT.parts)] != "sdks" and page_name(path) not in OTHER_NAMES]
INTERNALS = [
    path
    for path in PAGES
    if path.parent.name == "decisions" or page_name(path) in {"CONTRIBUTING.md", "docs/architecture.md"}
]
# The worked example of a new surface, and placeholders.
EXAMPLES = re.compile(r"tickets|<|[A-Z]{3,}")

PRODUCT = ("orchestrator", "api", "workflows", "activities")


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository, and every folder."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {str(parent) for file in listed for parent in Path(file).parents}
    return frozenset({*listed, *folders})


def without_blocks(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def quoted(path: Path) -> list[str]:
    """The texts in backticks outside blocks."""
    return re.findall(r"`([^`\n]+)`", without_blocks(path))


def is_path(text: str) -> bool:
    """Whether a text is the path of a file or folder of this repository."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", text) or text.startswith("-"):
        return False
    first, *more = text.split("/")
    tops = {"api", "activities", "workflows", "tests", "docs", "examples", "bench", "sdks", "orchestrator", *ROOMS}
    return bool(more and first in tops) or bool(re.fullmatch(r"\w+\.py", text))


def exists(path: str) -> bool:
    place = path.rstrip("/")
    if "/" not in place:  # a module that the sentence has located
        return any(file.rpartition("/")[2] == place for file in tracked())
    return place in tracked() or f"orchestrator/{place}" in tracked()


def test_every_path_exists() -> None:
    for path in OWN_PAGES:
        # A guide introduces its own files in bold.
        introduced = {name.rpartition("/")[2] for name in re.findall(r"\*\*`([^`]+)`\*\*", path.read_text())}
        for name in (text for text in quoted(path) if is_path(text) and not EXAMPLES.search(text)):
            assert exists(name) or name.rpartition("/")[2] in introduced, f"{page_name(path)}: {name}"


@cache
def sources() -> dict[str, str]:
    """The product's Python files."""
    files = [file for file in tracked() if file.endswith(".py") and file.split("/")[0] in PRODUCT]
    return {file: (ROOT / file).read_text() for file in files}


@cache
def classes() -> dict[str, set[str]]:
    """Every class of the product with the names in its body."""
    members: dict[str, set[str]] = {}
    for source in sources().values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                members.setdefault(node.name, set()).update(re.findall(r"\w+", ast.unparse(node)))
    return members


@cache
def identifiers() -> frozenset[str]:
    """Every word of the product's code, docstrings and comments apart."""
    return frozenset(word for source in sources().values() for word in words_of(source))


def words_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Constant(value=str(text)) if " " not in text:
                yield text


@pytest.mark.parametrize("path", INTERNALS, ids=page_name)
def test_every_method_exists(path: Path) -> None:
    named = [re.fullmatch(r"([A-Z][a-z]\w+)\.(\w+)(\(.*\))?", text) for text in quoted(path)]
    assert [hit[0] for hit in named if hit and hit[2] not in classes().get(hit[1], set())] == []


@pytest.mark.parametrize("path", INTERNALS, ids=page_name)
def test_every_class_exists(path: Path) -> None:
    named = [text for text in quoted(path) if re.fullmatch(r"([A-Z][a-z0-9]+){2,}", text)]
    assert [name for name in named if name not in identifiers() and not of_a_library(name)] == []


def of_a_library(name: str) -> bool:
    """Whether Temporal or another library has a class, an event type or a request of this name."""
    event = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
    modules = ("builtins", "temporalio.exceptions", "temporalio.workflow", "concurrent.futures", "pydantic")
    return (
        f"EVENT_TYPE_{event}" in EventType.keys()  # noqa: SIM118 - a wrapper of protobuf, not a dictionary
        or hasattr(workflowservice, f"{name}Request")
        or any(hasattr(importlib.import_module(module), name) for module in modules)
    )


def test_every_module_exists() -> None:
    rooms = r"(?:orchestrator|workflows|activities)"
    for path in OWN_PAGES:
        for text in re.findall(rf"(?:^from |^import |`|-m )({rooms}(?:\.\w+)+)\b", path.read_text(), re.MULTILINE):
            module, last = text, ""
            if f"{module.replace('.', '/')}.py" not in tracked() and module.replace(".", "/") not in tracked():
                module, _, last = text.rpartition(".")
            assert last in {"", "env"} or hasattr(importlib.import_module(module), last), f"{page_name(path)}: {text}"


def test_every_command_and_option_exists() -> None:
    known = commands()
    groups = {name.rpartition(" ")[0] for name in known} - {"orchestrator"}
    for path in OWN_PAGES:
        for text in re.findall(r"(?:`|^|\$\()(orchestrator [a-z][^`\n]*)", path.read_text(), re.MULTILINE):
            words = text.partition("#")[0].split()
            command = next((name for size in (3, 2) if (name := " ".join(words[:size])) in known), None)
            if command is None:
                assert " ".join(words) in groups, f"{page_name(path)}: {text}"
                continue
            options = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][a-z-]+(=.*)?", word)}
            assert options <= known[command] | {"--help"}, f"{page_name(path)}: {text}"


def test_every_route_exists() -> None:
    known = {re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route))) for route in routes()}
    for path in OWN_PAGES:
        for route in re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE|WS) /[^`?\s]*)", path.read_text()):
            described = route.endswith(("/openapi.json", "/docs", "/redoc"))
            assert described or any(each.fullmatch(route) for each in known), f"{page_name(path)}: {route}"


def test_every_log_event_for_alerts_is_logged() -> None:
    logs = (ROOT / "docs/operating.md").read_text().partition("## Logs")[2].partition("\n## ")[0]
    named = {event for first, *_ in rows(logs) for event in re.findall(r"`(\w+)`", first)}
    assert len(named) > 30
    parts = {"temporal", "index"}  # `CircuitBreaker` logs `{part}_away` and `{part}_back`
    assert named - identifiers() == {f"{part}_{event}" for part in parts for event in ("away", "back")}


def test_every_decision_is_in_the_index_under_its_title() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    listed = dict(re.findall(r"^\| \[\d{4}\]\(([^)]+)\) \| (.+) \|$", index, re.MULTILINE))
    titles = {}
    for path in (ROOT / "docs/decisions").glob("0*.md"):
        [(number, title)] = re.findall(r"\A# (\d{4}) (.+)\n", path.read_text())
        assert path.name.startswith(number)
        titles[path.name] = title
    assert {name: title.partition(" (superseded")[0] for name, title in listed.items()} == titles


def test_a_decision_that_was_changed_names_its_successor() -> None:
    for path in (ROOT / "docs/decisions").glob("0*.md"):
        head, _, body = path.read_text().partition("## Context")
        successors = {int(number) for number in re.findall(r"\((\d{4})-", head)}
        assert all(number > int(path.name[:4]) for number in successors), path.name
        for number in re.findall(r"(?<![\d.])00\d\d(?!\d)", body):
            assert list((ROOT / "docs/decisions").glob(f"{number}-*.md")), f"{path.name}: {number}"


def test_references_to_decisions_resolve() -> None:
    numbers = {path.name[:4] for path in (ROOT / "docs/decisions").glob("0*.md")}
    for file, source in sources().items():
        assert set(re.findall(r"[Dd]ecision (\d{4})", source)) <= numbers, file
        assert not re.search(r"\(architecture, |\(section \d", source), f"{file}: name a row of docs/architecture.md"


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in OWN_PAGES:
        named = re.findall(r"(?:`|^|&& |= )make ((?:[a-z-]+ ?)+)", path.read_text(), re.MULTILINE)
        words = {word for text in named for word in text.split() if not word.startswith("-")}
        assert words <= targets, f"{page_name(path)}: {words - targets}"
