"""Fixtures of the product, with our plugin in the engine and a site to publish on."""

from collections.abc import Iterator
from threading import Thread

import pytest
from orchestrator.authoring import Plugin
from orchestrator.plugins import load_plugins

from acme_site import AcmeSite

pytest_plugins = ["orchestrator.testing"]


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """What the engine under test loads: the built-in catalogue and our plugin."""
    return load_plugins(["acme_agents.plugin"])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[AcmeSite]:
    """A site of this test's own, where the publisher posts."""
    with AcmeSite() as running:
        Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("ACME_SITE_URL", running.url)
        yield running
        running.shutdown()
