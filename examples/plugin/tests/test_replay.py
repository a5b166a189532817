"""Replays the recorded histories of waiting jobs with today's code."""

from pathlib import Path

import pytest
from orchestrator.engine.plugin import OrchestratorPlugin
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from acme_agents.embargo import EmbargoWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_there_are_histories() -> None:
    assert HISTORIES


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_the_history_replays(path: Path) -> None:
    replayer = Replayer(workflows=[EmbargoWorkflow], plugins=[OrchestratorPlugin()])
    await replayer.replay_workflow(WorkflowHistory.from_json("wf_job_recorded", path.read_text()))
