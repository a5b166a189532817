"""Fixtures for the whole suite; each room's own lie beside its tests."""

import gc

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.plugins import BUILT_IN
from tests.catalogue import TEST_PLUGIN
from tests.conformance import Conformance


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--conformance`: write `docs/conformance.md` from this run."""
    parser.addoption("--conformance", action="store_true", help="write docs/conformance.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    """Add what the option asks for: in the process that hears of every test, not in one that runs some of them."""
    if config.getoption("--conformance") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Conformance())


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Collect what tests left behind. A task that failed unheard logs its traceback when it is collected, for which
    Python 3.11 parses source; where that interrupts another parse, such as pytest's of a late import, either fails.
    """
    gc.collect()


pytest_plugins = ["orchestrator.testing", "tests.redis_server", "tests.property_tests"]


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The built-in catalogue and the suite's own agents."""
    return [BUILT_IN, TEST_PLUGIN]


@pytest.fixture(scope="session")
def temporal_settings() -> dict[str, bool | int | float | str]:
    """Deleting a closed workflow, as retention does, takes effect at once."""
    return {
        "history.transferProcessorEnsureCloseBeforeDelete": False,
        "history.visibilityProcessorEnsureCloseBeforeDelete": False,
    }


@pytest.fixture(autouse=True)
def ledger_lines(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The ledger lines that the test proves (`tests.ledger`)."""
    lines: tuple[str, ...] = getattr(request, "param", ())
    return lines
