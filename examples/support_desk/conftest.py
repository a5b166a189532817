"""Fixtures of the product, with the support desk in the engine."""

import pytest
from orchestrator.authoring import Plugin
from orchestrator.plugins import load_plugins

pytest_plugins = ["orchestrator.testing"]


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The plugins of the engine under test: the built-in catalogue and the support desk."""
    return load_plugins(["support_desk.plugin"])
