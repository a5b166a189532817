"""`examples/patterns`: its own tests pass in this engine, and each pattern has at most 30 lines."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.plugins import load_plugins

EXAMPLE = Path(__file__).parents[2] / "examples" / "patterns"
PATTERNS = sorted(path for path in (EXAMPLE / "agent_patterns").glob("*/*.py") if path.name != "__init__.py")
sys.path.insert(0, str(EXAMPLE))


def _tests() -> Iterator[tuple[str, object]]:
    for path in sorted((EXAMPLE / "tests").glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"patterns_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield from ((name, value) for name, value in vars(module).items() if name.startswith("test_"))


globals().update(_tests())


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return load_plugins(["agent_patterns.plugin"])


@pytest.mark.parametrize("path", PATTERNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_pattern_has_at_most_thirty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 30


def test_the_guide_shows_a_pattern_as_it_is() -> None:
    docs = EXAMPLE.parents[1] / "docs"
    for kind, page in (("code", "authoring.md"), ("plans", "plans.md")):
        assert (EXAMPLE / "agent_patterns" / kind / "polishing.py").read_text() in (docs / page).read_text()


def test_the_guide_links_every_pattern() -> None:
    guide = (EXAMPLE.parents[1] / "docs" / "authoring.md").read_text()
    for path in PATTERNS:
        assert f"(../{path.relative_to(EXAMPLE.parents[1]).as_posix()})" in guide
