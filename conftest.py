"""Fixtures for the whole suite; each room's own lie beside its tests."""

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.plugins import BUILT_IN
from tests.catalogue import TEST_PLUGIN

pytest_plugins = ["orchestrator.testing", "tests.redis_server"]


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
