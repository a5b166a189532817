"""The parts of a process of the built-in catalogue, without a Temporal server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.composition.process import Parts, build_parts
from orchestrator.engine.connect import connect
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.settings import Settings


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    client = await connect({"target_host": "127.0.0.1:1"}, lazy=True)
    parts = build_parts(Settings(_env_file=None, data_dir=tmp_path), build_catalogue([BUILT_IN]), client)
    yield parts
    await parts.aclose()


@pytest.fixture
def engine_parts_activities(parts: Parts) -> set[str]:
    """The activities that a worker really runs."""
    activities = (*parts.workers.activities(), parts.workers.delivery_activity())
    return {activity.__name__ for activity in activities}
