"""The interpreter on a real Temporal server: order, parallelism, failure, retries, short steps, context."""

from orchestrator.domain.commands import JobConfig
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobState, ReasonCode
from orchestrator.testing import TESTER, Engine
from tests.catalogue import CALLS, WASTED
from tests.ledger import ledger


async def test_steps_run_in_the_order_of_their_needs_and_receive_what_came_before(engine: Engine) -> None:
    job = await engine.run("t_three", {"topic": "tea"})
    assert (job.state, job.progress) == (JobState.COMPLETED, 100)
    assert [call.status for call in job.calls] == [CallStatus.COMPLETED] * 3
    starts = [call.scheduled_at for call in job.calls]
    assert starts == sorted(starts)  # type: ignore[type-var]
    assert job.result is not None
    reports = {item["step"]: item["content"] for item in job.result["deliverables"]}
    assert "after nothing" in reports["a"]
    assert "a=full" in reports["b"]
    assert "a=summary, b=full" in reports["c"]


@ledger("D-043")
async def test_agents_of_a_step_run_in_parallel_by_default(engine: Engine) -> None:
    started = await engine.start("t_wide", {"seconds": 30})
    job = await engine.eventually(started.job_id, lambda job: job.calls[1].status is CallStatus.RUNNING)
    assert job.calls[0].status is not CallStatus.PENDING
    ordered = await engine.start("t_wide", {"seconds": 0.01}, config=JobConfig(parallel_execution=False))
    job = await engine.ended(ordered.job_id)
    first, second = job.calls[0], job.calls[1]
    assert first.completed_at is not None
    assert second.scheduled_at is not None
    assert first.completed_at <= second.scheduled_at
    await engine.services.controller.cancel(TESTER, started.job_id, "done with it")


async def test_retries_stay_visible_and_are_counted(engine: Engine) -> None:
    job = await engine.run("t_flaky", {"failures": 2})
    assert job.state is JobState.COMPLETED
    assert [(one.number, one.status) for one in job.calls[0].attempts] == [
        (1, AttemptStatus.FAILED),
        (2, AttemptStatus.FAILED),
        (3, AttemptStatus.COMPLETED),
    ]
    assert all(one.started_at is not None for one in job.calls[0].attempts)


async def test_attempts_that_failed_are_part_of_what_the_job_costs(engine: Engine) -> None:
    job = await engine.run("t_flaky", {"failures": 2})
    assert job.usage.prompt_tokens == 2 * WASTED.prompt_tokens
    assert (await engine.job(job.id)).usage == job.usage


async def test_a_waiting_retry_names_attempt_and_next_time(engine: Engine) -> None:
    started = await engine.start("t_patient", {})
    job = await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.RETRYING)
    assert job.reason is not None
    assert job.reason.attempt == 2
    assert job.reason.next_attempt_at is not None
    assert job.reason.last_error is not None
    assert job.reason.last_error.type == "provider_rate_limited"
    assert (await engine.services.controller.cancel(TESTER, started.job_id, "")).done


async def test_attempts_end_at_the_policys_limit(engine: Engine) -> None:
    job = await engine.run("t_flaky", {"failures": 99})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.step) == ("provider_unavailable", "a")
    assert len(job.calls[0].attempts) == 4


@ledger("D-043")
async def test_a_failed_step_stops_the_job(engine: Engine) -> None:
    job = await engine.run("t_broken", {})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("provider_rejected", "refused for good")
    by_step = {call.step: call.status for call in job.calls}
    assert by_step["b"] is CallStatus.SKIPPED


@ledger("D-043")
async def test_a_failed_step_lets_later_ones_run_when_the_plan_says_so(engine: Engine) -> None:
    job = await engine.run("t_broken", {}, config=JobConfig(stop_on_error=False))
    assert job.state is JobState.COMPLETED
    assert job.result is not None
    assert job.result["status"] == "partial"
    assert [error["step"] for error in job.result["metadata"]["failed"]] == ["a"]
    assert {call.step: call.status for call in job.calls if call.agent == "t_echo"} == dict.fromkeys(
        "abc", CallStatus.COMPLETED
    )


async def test_short_steps_run_as_local_activities_and_look_the_same(engine: Engine) -> None:
    job = await engine.run("t_short", {"failures": 1})
    assert job.state is JobState.COMPLETED
    assert [call.status for call in job.calls] == [CallStatus.COMPLETED] * 2
    assert job.calls[1].attempts[-1].number == 2
    facts, _ = await engine.parts.backend.gateway.read(job.id)
    assert not [fact for fact in facts if type(fact).__name__ == "AgentScheduled"]


async def test_single_agents_run_through_the_same_interpreter(engine: Engine) -> None:
    job = await engine.run("t_echo", {"topic": "tea"})
    assert job.id.startswith("job_")
    assert [(call.step, call.agent) for call in job.calls] == [("execute", "t_echo")]
    assert job.result is not None
    assert "tea" in job.result["output"]


async def test_each_call_runs_once_and_an_effect_id_names_it(engine: Engine) -> None:
    job = await engine.run("t_three", {})
    assert [CALLS[f"{job.id}/{call.step}/{call.agent}"] for call in job.calls] == [1, 1, 1]


async def test_a_large_result_lies_beside_the_job_and_comes_back_whole(engine: Engine) -> None:
    job = await engine.run("t_big", {"kilobytes": 400})
    assert job.state is JobState.COMPLETED
    facts, _ = await engine.parts.backend.gateway.read(job.id)
    assert len(repr(facts)) < 50_000
    output = await engine.services.outputs.of_job(job)
    files = {item["path"]: item for item in output["deliverables"]}
    assert len(files["a.txt"]["content"]) == 400 * 1024
    assert len(files["reports/a/t_big.md"]["content"]) == 400 * 1024


async def test_the_step_after_a_large_result_is_given_all_of_it(engine: Engine) -> None:
    job = await engine.run("t_weigh", {"kilobytes": 300})
    assert job.result is not None
    (report,) = [item for item in job.result["deliverables"] if item["agent"] == "t_weigh"]
    assert report["content"] == str(300 * 1024)
