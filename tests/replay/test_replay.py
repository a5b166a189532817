"""Committed histories still fit the code: a release that breaks a running job fails here first."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.projection.events import job_events
from orchestrator.projection.facts import fact_of
from orchestrator.projection.job import project
from tests.code_workflow import AgainWorkflow, CountdownWorkflow, FaultyWorkflow
from tests.flow_workflows import FLOWS
from tests.questions_workflow import FormWorkflow
from tests.replay.catalogue import TourWorkflow
from tests.replay.mutated import MutatedPlanWorkflow
from tests.replay.record import CONTINUED, EARLIER, HISTORIES, SCENARIOS
from tests.replay.sandboxed import ClockReadingPlanWorkflow, SandboxedPlanWorkflow
from workflows.plan import PlanWorkflow
from workflows.registry import WORKFLOWS

FILES = sorted(HISTORIES.glob("*.json"))
AUTHORED = (AgainWorkflow, CountdownWorkflow, FaultyWorkflow, FormWorkflow, TourWorkflow, *FLOWS)


def replayer(*workflows: type) -> Replayer:
    return Replayer(workflows=list(workflows), plugins=[OrchestratorPlugin()])


def history(path: Path) -> WorkflowHistory:
    text = path.read_text()
    started = WorkflowHistory.from_json(path.stem, text).events[0].workflow_execution_started_event_attributes
    return WorkflowHistory.from_json(started.workflow_id or path.stem, text)


def test_every_state_of_a_workflow_has_a_history() -> None:
    assert {path.stem for path in FILES} == {
        *SCENARIOS,
        *EARLIER,
        *CONTINUED,
        *(f"{name}_{run}" for name in CONTINUED for run in (2, 3)),
        "turns_continued_4",
        "called_again_2",
        "answered_2",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_the_history_replays(path: Path) -> None:
    await replayer(*WORKFLOWS, *AUTHORED).replay_workflow(history(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_the_history_replays_in_the_sandbox(path: Path) -> None:
    others = [each for each in WORKFLOWS if each is not PlanWorkflow]
    await replayer(SandboxedPlanWorkflow, *others, *AUTHORED).replay_workflow(history(path))


async def test_the_sandbox_refuses_a_look_at_the_clock() -> None:
    with pytest.raises(RuntimeError, match=r"Cannot access datetime\.datetime\.now"):
        await replayer(ClockReadingPlanWorkflow).replay_workflow(history(HISTORIES / "partial.json"))


async def test_a_changed_order_of_steps_is_caught() -> None:
    broken = HISTORIES / "completed_in_sequence.json"
    with pytest.raises(NondeterminismError):
        await replayer(MutatedPlanWorkflow).replay_workflow(history(broken))


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("completed_full_stack", JobState.COMPLETED, None),
        ("partial", JobState.COMPLETED, None),
        ("failed_step", JobState.FAILED, None),
        ("failed_code", JobState.FAILED, None),
        ("unknown_agent_failed", JobState.FAILED, None),
        ("unknown_short_agent_failed", JobState.FAILED, None),
        ("unserved", JobState.COMPLETED, None),
        ("approval_timed_out", JobState.FAILED, None),
        ("rejected", JobState.FAILED, None),
        ("cancelled", JobState.CANCELLED, None),
        ("adopted_copy", JobState.COMPLETED, None),
        ("adopted_code", JobState.COMPLETED, None),
        ("adoption_refused", JobState.FAILED, None),
        ("flow", JobState.COMPLETED, None),
        ("flow_items", JobState.COMPLETED, None),
        ("flow_children", JobState.COMPLETED, None),
        ("flow_tour", JobState.COMPLETED, None),
        ("decided", JobState.COMPLETED, None),
        ("tools_approved", JobState.COMPLETED, None),
        ("tools_cancelled", JobState.CANCELLED, None),
        ("paused", JobState.PAUSED, ReasonCode.PAUSED),
        ("waiting_for_approval", JobState.RUNNING, ReasonCode.WAITING_FOR_APPROVAL),
        ("asked_nobody", JobState.RUNNING, ReasonCode.WAITING_FOR_APPROVAL),
    ],
)
def test_the_history_gives_the_same_status_for_ever(name: str, state: JobState, reason: ReasonCode | None) -> None:
    report = history(HISTORIES / f"{name}.json")
    job = project(report.workflow_id, [fact_of(event, report.run_id) for event in report.events])
    assert (job.state, job.reason and job.reason.code) == (state, reason)
    assert (job.progress == 100) == (state is JobState.COMPLETED)


def test_the_history_of_cancelled_tool_calls_has_their_attempts() -> None:
    report = history(HISTORIES / "tools_cancelled.json")
    facts = [fact_of(event, report.run_id) for event in report.events]
    tools = project(report.workflow_id, facts).calls[0].tool_calls
    ends = [event.data for event in job_events(report.workflow_id, facts) if event.name == "agent.tool_call.cancelled"]
    assert [(each.attempts, each.error and each.error.message) for each in tools] == [
        (end["attempt"], end["error"]["message"]) for end in ends
    ]
    assert [each.attempts for each in tools] == [1, 1]
