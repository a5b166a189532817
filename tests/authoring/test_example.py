"""`examples/plugin` is a repository of its own: its tests pass, and the product runs what it adds."""

import asyncio
import importlib
import os
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from api.app import create_app
from orchestrator import plugins
from orchestrator.composition.lazy_services import LazyServices
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.plugins import ENTRY_POINT_GROUP, load_plugins
from orchestrator.settings import Settings
from orchestrator.testing import ADMIN_KEY, Engine, eventually, running_engine

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
CHANGES = {"product": "Rocket Skates", "version": "2.4.0", "changes": ["Brakes work downhill"]}


async def test_the_examples_own_tests_pass() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=EXAMPLE,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    assert " passed" in text
    assert "skipped" not in text


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example can be imported, as if it were installed."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in [one for one in sys.modules if one.partition(".")[0] in {"acme_agents", "acme_site"}]:
        del sys.modules[name]


@pytest.fixture
def notes(example: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, str]]]:
    """What was published on the example's own stand-in of a site."""
    with importlib.import_module("acme_site").AcmeSite() as site:
        Thread(target=site.serve_forever, daemon=True).start()
        monkeypatch.setenv("ACME_SITE_URL", site.url)
        yield site.notes
        site.shutdown()


@pytest_asyncio.fixture(loop_scope="session")
async def acme(
    example: None, temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    """An engine with the plugins that the environment names."""
    monkeypatch.setenv("ORCHESTRATOR_PLUGINS", "acme_agents.plugin")
    named = load_plugins(Settings(_env_file=None).plugin_modules())
    async with running_engine(temporal_address, tmp_path, named) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="session")
async def http(acme: Engine) -> AsyncIterator[httpx2.AsyncClient]:
    """The HTTP API over that engine."""
    transport = httpx2.ASGITransport(app=create_app(LazyServices.of(acme.parts)))
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=60) as client:
        yield client


async def workflow_type(client: Client, job_id: str) -> str | None:
    return (await client.get_workflow_handle(job_id).describe()).workflow_type


async def test_both_kinds_of_workflow_are_listed_with_all_that_an_author_wrote(http: httpx2.AsyncClient) -> None:
    listed = {one["id"]: one for one in (await http.get("/v1/workflows")).json()["workflows"]}
    assert {"api_development", "acme_release", "acme_embargo"} <= set(listed)
    assert (listed["acme_release"]["agents_count"], listed["acme_embargo"]["agents_count"]) == (3, 2)

    body = (await http.get("/v1/workflows/acme_embargo")).json()
    assert [step["id"] for step in body["steps"]] == ["notes", "publish"]
    assert "embargo_seconds" in body["input_schema"]["required"]
    assert "deliverables" in body["output_schema"]["properties"]
    agent = (await http.get("/v1/agents/acme_release_writer")).json()
    assert "breaking_changes" in str(agent["output_schema"])


async def test_the_declared_workflow_runs_under_its_own_name(
    http: httpx2.AsyncClient, acme: Engine, notes: dict[str, Any]
) -> None:
    accepted = await http.post("/v1/workflows/acme_release/run", json={"input": CHANGES, "async": True})
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["job_id"]

    async def look() -> dict[str, Any]:
        return dict((await http.get(f"/v1/jobs/{job_id}")).json())

    await eventually(look, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")
    assert not notes
    assert (await http.post(f"/v1/jobs/{job_id}/approve")).status_code == 200
    job = await eventually(look, lambda job: job["status"] in {"completed", "failed"})
    assert job["status"] == "completed", job["error"]
    assert len(notes) == 1
    assert await workflow_type(acme.parts.backend.client, job_id) == "acme_release"


async def test_the_workflow_in_code_runs_under_its_own_name(
    http: httpx2.AsyncClient, acme: Engine, notes: dict[str, Any]
) -> None:
    body = {"input": {**CHANGES, "embargo_seconds": 0.1}}
    answer = (await http.post("/v1/workflows/acme_embargo/run", json=body)).json()
    assert answer["status"] == "completed", answer
    steps = (await http.get(f"/v1/jobs/{answer['job_id']}")).json()["steps"]
    assert [(one["step"], one["status"]) for one in steps] == [("notes", "completed"), ("publish", "completed")]
    assert len(notes) == 1
    assert await workflow_type(acme.parts.backend.client, answer["job_id"]) == "acme_embargo"


async def test_a_worker_without_the_class_leaves_the_job_to_one_that_has_it(
    temporal_address: str, tmp_path: Path, notes: dict[str, Any]
) -> None:
    queue = f"test-old-{tmp_path.name}"
    both = load_plugins(["acme_agents.plugin"])
    async with (
        running_engine(temporal_address, tmp_path, both, worker=False, task_queue=queue) as engine,
        running_engine(temporal_address, tmp_path, [plugins.BUILT_IN], task_queue=queue),
    ):
        started = await engine.start("acme_embargo", {**CHANGES, "embargo_seconds": 0.1})
        job = await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.STUCK)
        assert "this worker has no class for workflow 'acme_embargo'" in job.reason.message
    async with running_engine(temporal_address, tmp_path, both, task_queue=queue) as engine:
        assert (await engine.ended(started.job_id)).state is JobState.COMPLETED
    assert len(notes) == 1


def test_its_entry_point_loads_it_without_any_setting(example: None, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"][ENTRY_POINT_GROUP]
    points = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in declared.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == ENTRY_POINT_GROUP else [])
    assert [plugin.name for plugin in load_plugins([])] == ["built-in", "acme"]


async def test_its_histories_catch_a_release_that_no_longer_fits(
    tmp_path: Path, example: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLE / "acme_agents" / "embargo.py").read_text()
    awaited = '        notes = await call_agent(job, "notes", "acme_release_writer")\n'
    assert text.count(awaited) == 1
    unfit = text.replace(awaited, "        await workflow.sleep(1)\n" + awaited)
    (tmp_path / "embargo_changed.py").write_text(unfit)
    monkeypatch.syspath_prepend(str(tmp_path))
    changed = importlib.import_module("embargo_changed").EmbargoWorkflow
    replayer = Replayer(workflows=[changed], plugins=[OrchestratorPlugin()])
    for path in (EXAMPLE / "tests" / "histories").glob("*.json"):
        with pytest.raises(NondeterminismError):
            await replayer.replay_workflow(WorkflowHistory.from_json("wf_job_recorded", path.read_text()))
