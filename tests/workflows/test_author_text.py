"""What authors write into errors is cut and made sound on every path; the job fails as its own type."""

from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from orchestrator.domain.agents import AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.jobs import Job, JobState
from orchestrator.domain.plans import Approval, RetryPolicy
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import TESTER, Engine, assert_replays
from tests.catalogue import _agent, step, workflow
from tests.loud_workflow import LoudWorkflow, raise_loudly

MAX_HISTORY = 150_000
TWICE = RetryPolicy(initial_interval=0.05, backoff_coefficient=1.0, maximum_attempts=2)


async def loud(call: FunctionCall) -> AgentOutput:
    """Raises as the input asks."""
    raise_loudly(call.input["how"])


LOUD_PLUGIN = Plugin(
    name="loud",
    agents=(_agent(loud),),
    workflows=(
        workflow("t_loud_plan", step("a", "t_loud", retry=TWICE)),
        workflow("t_loud_local", step("a", "t_loud", retry=TWICE, short=True)),
        workflow("t_asks", step("a", "t_loud", approval=Approval(message="Go on?"))),
    ),
    code_workflows=(CodeWorkflow(workflow("t_loud_code", step("go", "t_loud", retry=TWICE), code=True), LoudWorkflow),),
)


@pytest.fixture
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, LOUD_PLUGIN]


async def test_code_that_returns_nothing_fails_its_job(engine: Engine) -> None:
    job = await checked(engine, await engine.run("t_loud_code", {"how": "nothing"}))
    assert job.error is not None
    assert (job.error.type, job.result) == ("no_result", None)
    assert "returned nothing" in job.error.message
    await assert_replays([await engine.history(job.id)], [BUILT_IN, LOUD_PLUGIN])


def handle_of(engine: Engine, job_id: str) -> WorkflowHandle[Any, Any]:
    return engine.parts.backend.client.get_workflow_handle(job_id)


async def checked(engine: Engine, job: Job) -> Job:
    """A failed job whose history, events and row are small and can be read everywhere."""
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert len(job.error.message) <= 2000
    job.model_dump_json()
    for event in await engine.services.reader.events(job.id):
        assert len(event.model_dump_json()) < 10_000
    described = await handle_of(engine, job.id).describe()
    assert described.raw_info.history_size_bytes < MAX_HISTORY
    return job


HOWS = [
    ("foreign", "Loud", "… (4998040 characters more)", 2),
    ("application", "Loud", "… (4998040 characters more)", 1),
    ("details", "Loud", "short", 1),
    ("no data", "Loud", "short", 1),
    ("own", "loud", "… (4998040 characters more)", 1),
    ("silent", "Silent", "Silent", 2),
    ("unsound", "Loud", "half \ufffd, nul, [31mred", 2),
    ("type", "Loud" * 24 + "Lou…", "short", 1),
    ("circle", "Loud", "… (4998040 characters more)", 2),
]


@pytest.mark.parametrize("target", ["t_loud_plan", "t_loud_local"])
@pytest.mark.parametrize("expected", HOWS, ids=[how[0] for how in HOWS])
async def test_an_agents_error_fails_its_job_as_its_own_type(
    engine: Engine, target: str, expected: tuple[str, str, str, int]
) -> None:
    how, kind, said, attempts = expected
    job = await checked(engine, await engine.run(target, {"how": how}))
    assert job.error is not None
    assert (job.error.type, job.error.step) == (kind, "a")
    assert said in job.error.message
    rows = await engine.parts.backend.attempts.for_job(job.id)
    assert [row.attempt.error and row.attempt.error.type for row in rows] == [kind] * attempts


@pytest.mark.parametrize(("how", "kind", "said"), [how[:3] for how in HOWS], ids=[how[0] for how in HOWS])
async def test_workflow_code_fails_its_job(engine: Engine, how: str, kind: str, said: str) -> None:
    job = await checked(engine, await engine.run("t_loud_code", {"how": how}))
    assert job.error is not None
    # An exception that is none of Temporal's or ours is the code's own mistake, named in its message.
    foreign = {"Loud", "Silent"} & {kind} and how not in ("application", "details", "no data")
    assert job.error.type == ("workflow_error" if foreign else kind)
    assert said in job.error.message


async def test_workflow_code_that_raises_from_a_failed_call_keeps_a_short_history(engine: Engine) -> None:
    job = await checked(engine, await engine.run("t_loud_code", {"how": "foreign", "agent": True}))
    assert job.error is not None
    assert job.error.type == "workflow_error"


@pytest.mark.parametrize(("how", "kind"), [("foreign", "workflow_error"), ("application", "Loud"), ("own", "loud")])
async def test_a_handler_of_a_signal_that_raises_fails_its_job(engine: Engine, how: str, kind: str) -> None:
    started = await engine.start("t_loud_code", {"waits": True})
    await handle_of(engine, started.job_id).signal("shout", how)
    job = await checked(engine, await engine.ended(started.job_id))
    assert job.error is not None
    assert (job.error.type, "characters more" in job.error.message) == (kind, True)


async def test_a_handler_of_an_update_that_raises_fails_the_update_alone(engine: Engine) -> None:
    started = await engine.start("t_loud_code", {"waits": True})
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await handle_of(engine, started.job_id).execute_update("ask", "foreign")
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "workflow_error"
    assert len(failed.value.cause.message) <= 2000
    assert (await engine.job(started.job_id)).state is JobState.RUNNING
    await engine.services.controller.cancel(TESTER, started.job_id, "")


async def test_a_cancellation_that_code_raises_is_cut(engine: Engine) -> None:
    job = await engine.run("t_loud_code", {"how": "cancelled"})
    assert job.state in (JobState.CANCELLED, JobState.FAILED)
    described = await handle_of(engine, job.id).describe()
    assert described.raw_info.history_size_bytes < MAX_HISTORY


async def test_notes_and_reasons_of_megabytes_are_cut_or_ignored(engine: Engine) -> None:
    started = await engine.start("t_asks", {"how": "foreign"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["a"])
    handle = handle_of(engine, started.job_id)
    await handle.signal("reject", {"step": "a", "note": "n" * 1_500_000})
    await handle.signal("reject", {"step": "a", "note": "n" * 30_000})
    job = await engine.ended(started.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.type == "rejected"
    assert job.error.message.endswith("… (28040 characters more)")
    for event in await engine.services.reader.events(job.id):
        assert len(event.model_dump_json()) < 10_000


async def test_a_cancel_reason_of_a_megabyte_is_shown_cut(engine: Engine) -> None:
    started = await engine.start("t_asks", {"how": "foreign"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["a"])
    await engine.services.controller.cancel(TESTER, started.job_id, "r" * 1_000_000)
    job = await engine.ended(started.job_id)
    assert job.state is JobState.CANCELLED
    assert len(job.model_dump_json()) < 20_000


async def test_a_terminate_reason_of_a_megabyte_is_shown_cut(engine: Engine) -> None:
    started = await engine.start("t_asks", {"how": "foreign"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["a"])
    await handle_of(engine, started.job_id).terminate("r" * 1_000_000)
    job = await engine.ended(started.job_id)
    assert job.state is JobState.CANCELLED
    assert len(job.model_dump_json()) < 20_000
