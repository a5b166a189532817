"""The activities that a worker of the built-in catalogue really runs."""

import pytest

from orchestrator.composition.process import build_parts
from orchestrator.engine.connect import connect
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.settings import Settings


@pytest.fixture
async def engine_parts_activities(tmp_path) -> set[str]:
    client = await connect({"target_host": "127.0.0.1:1"}, lazy=True)
    parts = build_parts(Settings(_env_file=None, data_dir=tmp_path), build_catalogue([BUILT_IN]), client)
    try:
        return {one.__name__ for one in (*parts.workers.activities(), parts.workers.delivery_activity())}
    finally:
        await parts.aclose()
