"""A history that gets long is noted, and one that is full fails its job with what to do, before Temporal ends it."""

import pytest
from temporalio.worker import Replayer

from orchestrator.domain.jobs import JobState
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.testing import TESTER, Engine
from tests.code_workflow import AgainWorkflow
from workflows import history


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "NOTED_EVENTS", 30)
    monkeypatch.setattr(history, "FULL_EVENTS", 60)


async def _replays(engine: Engine, job_id: str) -> None:
    replayer = Replayer(workflows=[AgainWorkflow], plugins=[OrchestratorPlugin()])
    await replayer.replay_workflow(await engine.history(job_id))


@pytest.mark.usefixtures("short_limits")
async def test_a_long_history_is_an_event_once(engine: Engine) -> None:
    job = await engine.run("t_again", {"times": 7})
    assert job.state is JobState.COMPLETED, job.error
    events = await engine.services.follower.past(TESTER, job.id, None)
    [grown] = [event for event in events if event.name == "job.history_long"]
    assert 30 <= grown.data["events"] < 60
    assert grown.data["bytes"] > 1000
    assert f"{grown.data['events']} of at most 51,200 events" in grown.message
    await _replays(engine, job.id)


@pytest.mark.usefixtures("short_limits")
async def test_a_full_history_fails_the_next_call_and_says_what_to_do(engine: Engine) -> None:
    job = await engine.run("t_again", {"times": 40})
    assert job.error is not None
    assert (job.state, job.error.type) == (JobState.FAILED, "history_full")
    assert "Put longer work into children" in job.error.message
    assert 7 < len(job.calls) < 15
    row = await engine.parts.backend.jobs.get(job.id)
    assert row is not None
    assert row.error is not None
    assert row.error.type == "history_full", "the end of the job is recorded"
    await _replays(engine, job.id)


async def test_a_job_of_an_earlier_release_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await engine.run("t_again", {"times": 8})
    assert job.state is JobState.COMPLETED, job.error
    monkeypatch.setattr(history, "NOTED_EVENTS", 20)
    monkeypatch.setattr(history, "FULL_EVENTS", 40)
    await _replays(engine, job.id)
