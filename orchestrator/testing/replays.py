"""Replays recorded histories with today's code: a change that a running job would not survive fails here."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from orchestrator.domain.catalogue import Plugin
from orchestrator.engine.plugin import OrchestratorPlugin
from workflows.registry import WORKFLOWS


async def assert_replays(histories: Path | Iterable[WorkflowHistory], plugins: Sequence[Plugin] = ()) -> None:
    """Replay histories with the workflow classes of the plugins, and with the interpreter of declared workflows.

    `histories` is a folder of JSON files, as `temporal workflow show --output json` writes them, or histories that
    `Engine.history` returned. Raises `AssertionError` if there is none, and names every history that does not replay.
    """
    recorded = _read(histories) if isinstance(histories, Path) else list(histories)
    assert recorded, f"no history to replay in {histories}"
    classes = [*WORKFLOWS, *(entry.workflow for plugin in plugins for entry in plugin.code_workflows)]
    replayer = Replayer(workflows=classes, plugins=[OrchestratorPlugin()])
    faults = []
    for history in recorded:
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        if result.replay_failure is not None:
            faults.append(f"{history.workflow_id}: {result.replay_failure}")
    assert not faults, "histories that do not replay:\n" + "\n".join(faults)


def _read(folder: Path) -> list[WorkflowHistory]:
    return [WorkflowHistory.from_json(path.stem, path.read_text()) for path in sorted(folder.glob("*.json"))]
