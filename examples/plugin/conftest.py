"""Fixtures of the product, with our plugin in the engine, and a site to publish to."""

from collections.abc import Iterator
from threading import Thread

import pytest
from orchestrator.authoring import Plugin
from orchestrator.plugins import load_plugins

from acme_site import AcmeSite

pytest_plugins = ["orchestrator.testing"]


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The plugins of the engine under test: the built-in catalogue and ours."""
    return load_plugins(["acme_agents.plugin"])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[AcmeSite]:
    """A site for one test, where the publisher posts."""
    with AcmeSite() as site:
        Thread(target=site.serve_forever, daemon=True).start()
        monkeypatch.setenv("ACME_SITE_URL", site.url)
        yield site
        site.shutdown()
