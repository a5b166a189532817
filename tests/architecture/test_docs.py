"""The documents name what the code has, and nothing that it has not: routes, settings, commands, words, links, keys."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from starlette.routing import WebSocketRoute

from api.app import create_app
from api.v1.envelope import status_of
from api.v1.jobs import JobQuery
from orchestrator.cli import app as cli
from orchestrator.domain import errors
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.events import EventType
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobState, ReasonCode
from orchestrator.domain.plans import RetryPolicy
from orchestrator.domain.webhooks import SUBSCRIBABLE
from orchestrator.services.jobs.reasons import ROUTINE
from orchestrator.settings import Settings
from tests import page_commands
from tests.api.conftest import Fixed
from tests.api.surface_documents import operations

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("build", "node_modules") for part in path.relative_to(ROOT).parts)
    and "prompts" not in path.parts
)
OPERATING = (DOCS / "operating.md").read_text()
API = "\n".join(path.read_text() for path in sorted(DOCS.glob("api*.md")))
# Read by docker compose, not by the product.
COMPOSE = set(re.findall(r"\$\{(ORCHESTRATOR_\w+)", (ROOT / "docker-compose.yml").read_text()))
LARGEST_PICTURE = 250_000


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    return [re.split(r"\s*(?<!\\)\|\s*", line.strip().strip("|").strip()) for line in page.splitlines() if "|" in line]


def explained(page: str) -> set[str]:
    """Every word in backticks that begins a table row with a meaning beside it."""
    return {word for first, *rest in rows(page) if any(rest) for word in re.findall(r"`([^`]+)`", first)}


def routes() -> set[str]:
    """Every route of the OpenAPI documents, and every WebSocket, which they cannot name."""
    app = create_app(Fixed(None))
    sockets = {f"WS {route.path}" for route in app.routes if isinstance(route, WebSocketRoute)}
    return {f"{method} {path}" for method, path in operations()} | sockets


def test_every_route_is_documented_and_every_documented_route_exists() -> None:
    named = set(re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE|WS) /[^`?]*)`", API, re.MULTILINE))
    assert named == routes()


def variables() -> dict[str, str]:
    """Every environment variable of the settings, with its default as text."""
    found = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = getattr(alias, "choices", None) or [alias or f"ORCHESTRATOR_{name.upper()}"]
        default = field.get_default(call_default_factory=True)
        text = "" if default in (None, "", {}) else f"{default:g}" if isinstance(default, float) else str(default)
        found |= dict.fromkeys(choices, text)
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    table = {name: row for row in rows(OPERATING) for name in re.findall(r"`([A-Z_]+)`", row[0])}
    for name, default in variables().items():
        assert name in table, name
        assert not default or table[name][1] == f"`{default}`", name


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_no_page_names_a_setting_that_does_not_exist(path: Path) -> None:
    named = set(re.findall(r"\bORCHESTRATOR_[A-Z_]+\b", path.read_text()))
    assert named <= variables().keys() | COMPOSE


def commands() -> dict[str, set[str]]:
    """Every command with its options."""
    return {
        name: {one.opts[0] for one in command.params if one.param_type_name == "option"} - {"--help"}
        for name, command in leaves("orchestrator", typer.main.get_command(cli))
    }


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command, or those of a group, with the whole name of each."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, one in (inner or {}).items():
        yield from leaves(f"{name} {word}", one)


def test_every_command_is_documented_with_its_options() -> None:
    table = {row[0].strip("`"): row[-1] for row in rows(OPERATING) if row[0].startswith("`orchestrator ")}
    assert {name: set(re.findall(r"`(--[a-z-]+)`", options)) for name, options in table.items()} == commands()
    assert any(commands().values())


@pytest.mark.parametrize("word", [*JobState, *ReasonCode])
def test_every_state_and_reason_is_explained_to_operators_and_callers(word: str) -> None:
    assert word in explained(OPERATING)
    assert word in explained(API)


@pytest.mark.parametrize("word", sorted({*CallStatus, *AttemptStatus, *EventType}))
def test_every_status_and_event_type_is_named_to_callers(word: str) -> None:
    assert f"`{word}`" in API


def test_every_error_is_documented_with_its_status() -> None:
    listed = {(row[0], row[1]) for row in rows(API) if re.fullmatch(r"\d{3}", row[0])}
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, OrchestratorError)]
    inside = {errors.CatalogueError, errors.AgentError, errors.StepFailed}
    for kind in set(kinds) - inside:
        status, code = status_of(kind.__new__(kind))
        assert (str(status), f"`{code}`") in listed, kind


def anchors(page: str) -> set[str]:
    """The fragments that a page's headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, fragment = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists() or (fragment and fragment not in anchors(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_the_link_check_bites(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head\n[good](#a-head) [web](https://example.com) [gone](gone.md) [no](page.md#nowhere)\n")
    assert broken_links(page) == ["gone.md", "page.md#nowhere"]


def test_every_room_is_on_the_map() -> None:
    packages = {f"orchestrator/{path.parent.name}" for path in (ROOT / "orchestrator").glob("*/__init__.py")}
    assert {"orchestrator/domain", "orchestrator/storage"} <= packages
    mapped = {word.rstrip("/") for word in explained((ROOT / "CONTRIBUTING.md").read_text())}
    assert packages - mapped == set()
    described = {word.rstrip("/") for word in explained((DOCS / "architecture.md").read_text())}
    assert packages - described == set()


def test_every_page_and_picture_is_linked_from_another() -> None:
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in re.findall(r"\]\(([^)\s:]+)\)", path.read_text())
    }
    pages = {path for path in PAGES if path.is_relative_to(DOCS)}
    assert {*pages, *DOCS.glob("images/*")} - linked == set()


@pytest.mark.parametrize("path", sorted(DOCS.glob("images/*")), ids=page_name)
def test_pictures_stay_small(path: Path) -> None:
    assert path.suffix in {".png", ".svg"}
    assert path.stat().st_size < LARGEST_PICTURE


@pytest.mark.parametrize("path", page_commands.pages(), ids=page_name)
def test_a_command_is_run_or_says_why_not(path: Path) -> None:
    for block in page_commands.blocks(path):
        assert re.fullmatch(r"(not run: \S.*|run by tests/\S+)?", block.mark), block
        for file in re.findall(r"\btests/[\w/.]+", block.mark):
            assert (ROOT / file).exists(), block


def test_the_pages_of_the_first_minutes_are_run() -> None:
    assert {"README.md", "docs/getting-started.md", "docs/api.md", "docs/api-orchestrator.md"} <= {
        page_name(path) for path in page_commands.pages() if page_commands.script(path)
    }


def test_the_picture_of_a_job_is_what_the_command_prints() -> None:
    script = runpy.run_path(str(DOCS / "picture.py"))
    drawn = script["PICTURE"].read_text()
    assert drawn == script["svg"](), "draw it again: .venv/bin/python docs/picture.py"
    assert "url(http" not in drawn


def test_the_check_of_the_site_bites(tmp_path: Path) -> None:
    faults_of = runpy.run_path(str(DOCS / "build.py"))["faults_of"]
    faults_of.__globals__["SITE"] = tmp_path
    page = tmp_path / "page.html"
    page.write_text(
        '<a href="https://x.org">x</a><a href="page.html#a">y</a><a href="gone.html">z</a><script src="//c.dn/">'
    )
    assert list(faults_of(page)) == ["page.html: gone.html leads nowhere", "page.html: <script> loads //c.dn/"]


def test_json_examples_are_json() -> None:
    fence = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
    blocks = [block for path in PAGES for block in fence.findall(path.read_text())]
    assert blocks
    for block in blocks:
        json.loads(block)


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("0*.md")), ids=page_name)
def test_a_decision_is_short_and_has_its_three_parts(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 35


@pytest.mark.parametrize("event", SUBSCRIBABLE)
def test_every_event_of_webhooks_is_named_where_they_are_registered(event: str) -> None:
    (row,) = [row for row in rows(API) if row[0] == "`events`" and "job.completed" in row[-1]]
    assert f"`{event}`" in row[-1]


@pytest.mark.parametrize("name", JobQuery.model_fields)
def test_every_parameter_of_the_list_of_jobs_is_explained(name: str) -> None:
    filters = API.partition("**Filters of jobs.**")[2].partition("An entry has")[0]
    assert name in {word.partition("=")[0] for word in explained(filters)}


def test_the_reasons_that_no_wait_ends_at_are_listed() -> None:
    page = re.sub(r"\s+", " ", (DOCS / "api.md").read_text())
    sentence = re.search(r"except changes among (.*?)\. `until=attention`", page)
    assert sentence is not None
    assert set(re.findall(r"`(\w+)`", sentence[1])) == ROUTINE


@pytest.mark.parametrize("page", ["authoring.md", "api.md", "operating.md"])
def test_the_pages_state_the_default_number_of_attempts(page: str) -> None:
    assert f"{RetryPolicy().maximum_attempts} attempts" in (DOCS / page).read_text()
