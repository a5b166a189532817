"""The environment that `api.orchestrator_api` reads: a Temporal server, a worker, a data directory of its own."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from api.deps import api_state
from api.orchestrator_api import app
from orchestrator.domain.catalogue import Plugin
from orchestrator.testing import ADMIN_KEY, running_engine


@asynccontextmanager
async def environment(address: str, folder: Path, plugins: list[Plugin]) -> AsyncIterator[None]:
    """A worker that runs, and the variables by which the application finds what it needs."""
    queue = f"test-{uuid.uuid4().hex[:12]}"
    wide = '{"execute_workflow": {"limit": 1000, "seconds": 60}}'
    variables = {
        "TEMPORAL_ADDRESS": address,
        "ORCHESTRATOR_DATA_DIR": str(folder),
        "ORCHESTRATOR_TASK_QUEUE": queue,
        "ORCHESTRATOR_ADMIN_API_KEY": ADMIN_KEY,
        "ORCHESTRATOR_SURFACE_LIMITS": wide,
        "ORCHESTRATOR_PUBLIC_SESSIONS": "true",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        async with running_engine(address, folder, plugins, task_queue=queue):
            yield
    finally:
        await api_state(app).source.aclose()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def stack(temporal_address: str, tmp_path_factory, orchestrator_plugins: list[Plugin]) -> AsyncIterator[None]:
    """For each module that is run as its document prints it."""
    async with environment(temporal_address, tmp_path_factory.mktemp("app"), orchestrator_plugins):
        yield
