"""A step and agent called again is another call: in steps, tokens, attempts, effects, over runs, and in copies."""

import gc
import warnings
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.worker import Replayer

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.jobs import AttemptStatus, CallStatus, Job, JobState
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.storage.token_use import TokenRepository
from orchestrator.testing import TESTER, Engine, running_engine
from tests.catalogue import CALLS
from tests.code_workflow import AgainWorkflow
from tests.fakes.openai_server import Answer, OpenAIServer

DRAFT = {"summary": "Drafted.", "output": "A draft."}


def identities(job: Job) -> list[tuple[str, int, CallStatus]]:
    return [(call.step, call.number, call.status) for call in job.calls]


def effects(job: Job) -> dict[str, int]:
    return {effect: count for effect, count in CALLS.items() if effect.startswith(f"{job.id}/")}


async def test_three_calls_in_turn_are_three_calls_in_steps_tokens_and_limits(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with (
        OpenAIServer(Answer(DRAFT, prompt_tokens=100, completion_tokens=50)) as model,
        running_engine(
            temporal_address, tmp_path, orchestrator_plugins, llm_base_url=model.url, llm_api_key=SecretStr("key")
        ) as engine,
    ):
        job = await engine.run("t_again", {"agent": "technical_writer"}, config=JobConfig(model="served"))
        drafts = [call for call in job.calls if call.agent == "technical_writer"]
        assert [(call.number, call.status, call.usage.total_tokens) for call in drafts] == [
            (1, CallStatus.COMPLETED, 150),
            (2, CallStatus.COMPLETED, 150),
            (3, CallStatus.COMPLETED, 150),
        ]
        assert job.usage.total_tokens == 450
        assert job.usage.cost == pytest.approx(3 * (drafts[0].usage.cost or 0))
        assert (await TokenRepository(engine.parts.backend.database).use(TESTER.id, job.created_at)).used == 450


@pytest.mark.parametrize("gather", [False, True])
async def test_calls_of_one_pair_have_effects_attempts_and_files_of_their_own(engine: Engine, gather: bool) -> None:
    job = await engine.run("t_again", {"gather": gather})
    assert job.state is JobState.COMPLETED
    drafts = [call for call in identities(job) if call[0] == "draft"]
    assert drafts == [("draft", number, CallStatus.COMPLETED) for number in (1, 2, 3)]
    tail = f"{job.id}/draft/t_drafter"
    assert effects(job) == {tail: 1, f"{tail}#2": 1, f"{tail}#3": 1}
    rows = await engine.parts.backend.attempts.for_job(job.id)
    assert [(row.step, row.call, row.attempt.number, row.attempt.status) for row in rows] == [
        ("draft", number, 1, AttemptStatus.COMPLETED) for number in (1, 2, 3)
    ]
    assert job.result is not None
    assert {file["path"]: file["content"] for file in job.result["deliverables"] if "reports" not in file["path"]} == {
        "draft.md": tail,
        "draft/t_drafter-2/draft.md": f"{tail}#2",
        "draft/t_drafter-3/draft.md": f"{tail}#3",
    }
    reports = [file["path"] for file in job.result["deliverables"] if "reports" in file["path"]]
    assert reports == [f"reports/draft/t_drafter{suffix}.md" for suffix in ("", "-2", "-3")]


async def test_events_name_the_call_and_progress_never_falls(engine: Engine) -> None:
    job = await engine.run("t_again", {"short": True})
    events = await engine.services.reader.events(job.id)
    completed = [event.data for event in events if event.name == "agent.completed"]
    assert [(data["step"], data.get("call")) for data in completed] == [
        ("draft", None),
        ("draft", 2),
        ("draft", 3),
        ("note", None),
        ("note", 2),
    ]
    progress = [event.progress for event in events]
    assert progress == sorted(progress)
    assert progress.index(100) == len(progress) - 1


async def test_a_later_run_of_the_job_counts_on(engine: Engine) -> None:
    job = await engine.run("t_again", {"times": 2, "short": True, "runs": 3})
    assert identities(job) == [
        *(("draft", number, CallStatus.COMPLETED) for number in range(1, 7)),
        *(("note", number, CallStatus.COMPLETED) for number in range(1, 7)),
    ]
    assert (len(effects(job)), set(effects(job).values())) == (12, {1})


async def test_the_numbers_are_the_same_when_the_code_is_replayed(engine: Engine) -> None:
    job = await engine.run("t_again", {"gather": True, "short": True, "runs": 2})
    replayer = Replayer(workflows=[AgainWorkflow], plugins=[OrchestratorPlugin()])
    await replayer.replay_workflow(await engine.history(job.id))


async def test_a_copy_of_a_job_writes_nothing_into_the_job(engine: Engine) -> None:
    job = await engine.run("t_again", {})
    before = await engine.parts.backend.attempts.for_job(job.id)
    history = await engine.history(job.id)
    started = history.events[0].workflow_execution_started_event_attributes
    client = engine.parts.backend.client
    given = client.data_converter.payload_converter.from_payloads(started.input.payloads)[0]
    copy = await client.start_workflow(
        "t_again", given, id=f"{job.id}_copy", task_queue=started.task_queue.name, static_summary="a copy"
    )
    await copy.result()
    assert await engine.parts.backend.attempts.for_job(job.id) == before
    assert len(await engine.parts.backend.attempts.for_job(copy.id)) == 3


async def test_lists_show_progress_over_the_calls_that_are_made(engine: Engine) -> None:
    job = await engine.run("t_again", {"times": 5, "fails": True})
    row = await engine.parts.backend.jobs.get(job.id)
    assert row is not None
    assert (job.state, row.progress, job.progress) == (JobState.FAILED, 83, 83)


async def test_large_answers_of_one_pair_are_stored_each_for_itself(engine: Engine) -> None:
    job = await engine.run("t_again", {"agent": "t_big", "times": 2, "kilobytes": 300})
    output = await engine.services.outputs.get(TESTER, job.id)
    reports = {file["path"]: len(file["content"]) for file in output["deliverables"] if "reports" in file["path"]}
    assert reports == {"reports/draft/t_big.md": 300 * 1024, "reports/draft/t_big-2.md": 300 * 1024}


async def test_the_error_of_a_call_that_nobody_catches_names_its_step_and_agent(engine: Engine) -> None:
    job = await engine.run("t_again", {"agent": "t_broken"})
    row = await engine.parts.backend.jobs.get(job.id)
    assert row is not None
    for error in (job.error, row.error):
        assert error is not None
        assert (error.type, error.step, error.agent) == ("provider_rejected", "draft", "t_broken")


async def test_a_call_that_fails_leaves_no_other_call_unawaited(engine: Engine) -> None:
    job = await engine.run("t_again", {"agent": "t_broken"})
    replayer = Replayer(workflows=[AgainWorkflow], plugins=[OrchestratorPlugin()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await replayer.replay_workflow(await engine.history(job.id))
        gc.collect()
    assert [str(each.message) for each in caught if "never awaited" in str(each.message)] == []
