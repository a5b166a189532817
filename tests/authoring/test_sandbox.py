"""What an author may write into a workflow's file, and how a mistake shows."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.jobs import ReasonCode
from orchestrator.plugins import load_plugins
from orchestrator.testing import running_engine

ONE_FILE = Path(__file__).with_name("one_file.py")


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], list[Plugin]]]:
    """Loads `one_file.py` with some passages changed, as a plugin of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(passages: dict[str, str]) -> list[Plugin]:
        text = ONE_FILE.read_text()
        for before, after in passages.items():
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "one_file_changed.py").write_text(text)
        importlib.invalidate_caches()
        return load_plugins(["one_file_changed"])

    yield load
    sys.modules.pop("one_file_changed", None)


async def test_plugin_agent_and_workflow_may_share_a_file(temporal_address: str, tmp_path: Path) -> None:
    async with running_engine(temporal_address, tmp_path, load_plugins(["tests.authoring.one_file"])) as engine:
        first, second = [await engine.run("one_wait", {"name": name}) for name in ("you", "me")]
    assert first.result
    assert second.result
    assert (first.result["output"], second.result["output"]) == ("Hello you", "Hello me")
    # The sandbox loads the file again for each run: no run sees what another left in the module.
    assert (first.result["metadata"]["runs_seen"], second.result["metadata"]["runs_seen"]) == (1, 1)


async def test_an_import_that_the_sandbox_refuses_is_reported_before_a_worker_starts(
    temporal_address: str, tmp_path: Path, changed: Callable[[dict[str, str]], list[Plugin]]
) -> None:
    plugins = changed({"with workflow.unsafe.imports_passed_through():": "if True:"})
    with pytest.raises(CatalogueError) as caught:
        async with running_engine(temporal_address, tmp_path, plugins):
            pass
    assert caught.value.details["source"] == str(tmp_path / "one_file_changed.py")
    fault = caught.value.details["fault"]
    assert fault.startswith("workflow 'one_wait': the sandbox cannot load one_file_changed.WaitWorkflow: ")
    assert "mark the import as pass through" in fault


async def test_the_clock_in_a_workflow_is_caught_and_reported_as_the_reason(
    temporal_address: str, tmp_path: Path, changed: Callable[[dict[str, str]], list[Plugin]]
) -> None:
    plugins = changed({"import timedelta": "import datetime, timedelta", "job.job_id": "datetime.now().isoformat()"})
    async with running_engine(temporal_address, tmp_path, plugins) as engine:
        started = await engine.start("one_wait", {})
        job = await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.STUCK)
    assert not job.state.terminal  # a release that repairs the file lets the job go on
    assert "datetime.now" in job.reason.message
