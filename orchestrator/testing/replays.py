"""Replays recorded histories with today's code: a change that a running job would not survive fails here."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.ports import ValueStore
from orchestrator.engine.plugin import OrchestratorPlugin
from workflows.registry import WORKFLOWS


async def assert_replays(
    histories: Path | Iterable[WorkflowHistory], plugins: Sequence[Plugin] = (), *, values: ValueStore | None = None
) -> None:
    """Replay histories with the workflow classes of the plugins, and with the interpreter of declared workflows.

    `histories` is a folder of JSON files, as `temporal workflow show --output json` writes them, or histories that
    `Engine.history` returned. A history with parts over 64 KiB refers to the value store of its installation: `values`
    is that store, for example `engine.values`.

    Raises `AssertionError` if there is no history, and names every one that does not replay.
    """
    if isinstance(histories, Path):
        recorded = _read(histories)
    else:
        recorded = [(history.workflow_id, history) for history in histories]
    assert recorded, f"no history to replay in {histories}"
    classes = [*WORKFLOWS, *(entry.workflow for plugin in plugins for entry in plugin.code_workflows)]
    plugin = OrchestratorPlugin()
    plugin.values.store = values
    replayer = Replayer(workflows=classes, plugins=[plugin])
    faults = []
    for name, history in recorded:
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        if result.replay_failure is not None:
            faults.append(f"{name}: {result.replay_failure}")
    assert not faults, "histories that do not replay:\n" + "\n".join(faults)


def _read(folder: Path) -> list[tuple[str, WorkflowHistory]]:
    return [(path.name, _history(path)) for path in sorted(folder.glob("*.json"))]


def _history(path: Path) -> WorkflowHistory:
    """A recorded history under the id of its job, which the workflow reads: a job of another id would be adopted."""
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    job_id = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return WorkflowHistory(job_id or path.stem, history.events)
