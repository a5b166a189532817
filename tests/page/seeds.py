"""Many jobs for the page: real jobs, copied in the index to other days, costs and ends; and a few that run now."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import AgentError
from orchestrator.domain.events import JobEvent
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job, JobError, JobState
from orchestrator.domain.plans import Approval, Plan, RetryPolicy, Step, WorkflowDefinition
from orchestrator.domain.usage import Usage
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import TESTER, Engine, eventually
from tests.catalogue import AnyInput

ERROR = JobError(
    type="provider_unavailable",
    message="503 from the provider: the model is overloaded",
    step="write",
    agent="report_writer",
)


async def collect(call: FunctionCall) -> AgentOutput:
    await asyncio.sleep(0.05)
    return AgentOutput(summary="collected 214 records", output="# Records\n\n214 records from 3 sources.")


async def write(call: FunctionCall) -> AgentOutput:
    """Runs for a while on demand, and fails once on demand."""
    if call.input.get("flaky") and call.attempt < 3:
        raise AgentError("503 from the provider: the model is overloaded", kind="provider_unavailable", retryable=True)
    await asyncio.sleep(float(call.input.get("seconds", 0.05)))
    return AgentOutput(summary="wrote the report", output="# Report\n\nSales rose by 4 % in the week.")


def _agent(id: str, name: str, function: Any) -> Agent:
    return Agent(
        id=id,
        name=name,
        squad="data",
        description=f"{name} of the nightly report",
        capabilities=("reports",),
        input_model=AnyInput,
        function=function,
        source="demo",
    )


def _step(id: str, agent: str, *needs: str, **more: Any) -> Step:
    return Step(id=id, name=id.replace("_", " ").capitalize(), squad="data", agents=(agent,), needs=needs, **more)


DEMO = Plugin(
    name="demo",
    agents=(
        _agent("record_collector", "Record collector", collect),
        _agent("report_writer", "Report writer", write),
        _agent("fact_checker", "Fact checker", collect),
    ),
    workflows=(
        WorkflowDefinition(
            id="nightly_report",
            name="Nightly report",
            description="Collects the records of a day, writes the report and publishes it after a yes.",
            plan=Plan(
                steps=(
                    _step("collect_sales", "record_collector"),
                    _step("collect_costs", "record_collector"),
                    _step(
                        "write",
                        "report_writer",
                        "collect_sales",
                        "collect_costs",
                        retry=RetryPolicy(initial_interval=1.0, maximum_attempts=8),
                    ),
                    _step("check_facts", "fact_checker", "write"),
                    _step(
                        "publish",
                        "report_writer",
                        "check_facts",
                        approval=Approval(message="Publish to all customers?"),
                    ),
                )
            ),
            source="demo",
        ),
        WorkflowDefinition(
            id="video_transcripts",
            name="Video transcripts",
            description="Transcribes videos on machines with an accelerator.",
            plan=Plan(steps=(_step("transcribe", "report_writer", task_queue="accelerators"),)),
            source="demo",
        ),
    ),
)


async def seed(engine: Engine, number: int, *, choices: random.Random | None = None) -> dict[str, str]:
    """Fill the index with that many ended jobs, and start a few. Returns the ids of those that tasks look for."""
    dice = choices or random.Random(7)
    patterns = [await engine.run("market_research", {"topic": "Cargo bikes"}), await _nightly(engine)]
    now = datetime.now(UTC)
    for place in range(number):
        pattern = dice.choice(patterns)
        age = timedelta(minutes=20 + place * 8.5 + dice.random() * 5)
        end = dice.choices([JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED], [93, 2, 5])[0]
        await copied(engine, pattern, f"{place:04x}{dice.getrandbits(64):016x}", now - age, end, dice=dice)
    cheap = await copied(engine, patterns[1], "f017c2a9e4d2", now - timedelta(hours=47), JobState.COMPLETED)
    dear = await copied(
        engine, patterns[1], "f1b83e05c7aa", now - timedelta(hours=23), JobState.COMPLETED, dear_step="write"
    )
    started = {
        "waiting": await engine.start("nightly_report", {"day": "2026-11-25"}, labels={"run": "nightly"}),
        "stuck": await engine.start("video_transcripts", {"video": "keynote"}, labels={"team": "media"}),
    }
    ids = {name: start.job_id for name, start in started.items()}
    await engine.eventually(ids["waiting"], lambda job: bool(job.waiting_steps))
    await engine.eventually(ids["stuck"], lambda job: job.reason is not None and job.reason.code == "no_worker")
    for job_id in ids.values():
        await eventually(lambda job_id=job_id: _noted(engine, job_id), bool)
    return {**ids, "cheap": cheap, "dear": dear}


async def _noted(engine: Engine, job_id: str) -> bool:
    """Whether the list knows why a job waits. A read of the job writes the reason, as the reconciler does."""
    await engine.job(job_id)
    await engine.services.reader.settle()
    return any(row.id == job_id for row in (await engine.services.reader.list(TESTER, JobFilter(attention=True))).rows)


async def _nightly(engine: Engine) -> Job:
    job_id = (await engine.start("nightly_report", {"day": "2026-11-24"})).job_id
    await engine.eventually(job_id, lambda job: bool(job.waiting_steps))
    await engine.approve(job_id)
    return await engine.ended(job_id)


async def copied(
    engine: Engine,
    pattern: Job,
    tail: str,
    at: datetime,
    state: JobState,
    *,
    dice: random.Random | None = None,
    dear_step: str = "",
    with_answers: bool = True,
) -> str:
    """A copy of an ended job in the index: another id, begin and end, with the times of real model calls.

    A copy that did not complete can be retried only `with_answers`.
    """
    jobs = engine.parts.backend.jobs
    record = await jobs.get(pattern.id)
    assert record is not None
    new_id = f"wf_job_{tail}"
    owner = dice.choice(["user:ada", "user:grace", "key_growth", TESTER.id]) if dice else TESTER.id
    stretch = (60 + 240 * dice.random()) if dice else 150.0

    def moved(moment: datetime | None) -> datetime | None:
        return None if moment is None else at + stretch * (moment - pattern.created_at)

    calls = [_moved(call, moved, dear=call.step == dear_step, dice=dice) for call in pattern.calls]
    if state is JobState.FAILED:
        calls[-1] = _failed(calls[-1])
    job = pattern.model_copy(
        update={
            "id": new_id,
            "owner": owner,
            "state": state,
            "calls": calls,
            "usage": Usage.total(call.usage for call in calls),
            "error": ERROR if state is JobState.FAILED else None,
            "result": pattern.result if state is JobState.COMPLETED else None,
            "labels": {"run": "nightly"} if pattern.definition == "nightly_report" else {"team": "growth"},
            "created_at": at,
            "started_at": moved(pattern.started_at),
            "closed_at": moved(pattern.closed_at),
            "began_at": at,
        }
    )
    events = [
        JobEvent.model_validate(
            {**event, "job_id": new_id, "timestamp": moved(datetime.fromisoformat(event["timestamp"]))}
        )
        for event in await jobs.events(pattern.id) or ()
    ]
    start = record.job.model_copy(update={"job_id": new_id, "owner": owner, "labels": job.labels, "tokens": None})
    assert await jobs.accept(start, request_hash="seed", at=at) is None
    await _write(engine, job, events)
    if with_answers and state is not JobState.COMPLETED:
        await _keep_answers(engine, pattern, new_id)
    return new_id


async def _keep_answers(engine: Engine, pattern: Job, job_id: str) -> None:
    answers = await engine.parts.backend.partials.answers(pattern)
    results = [result.model_dump(mode="json") for result in answers.results]
    kept = {"results": results, "asks": dict(answers.asks)}
    await engine.parts.backend.artifacts.put(job_id, "answers", {"result": kept, "stored": []})


async def _write(engine: Engine, job: Job, events: Sequence[JobEvent]) -> None:
    backend = engine.parts.backend
    await backend.attempts.repair(job, [(call, attempt) for call in job.calls for attempt in call.attempts])
    await backend.jobs.close(
        job.id,
        state=job.state,
        snapshot=job.model_dump(mode="json"),
        events=[event.model_dump(mode="json") for event in events],
        result=job.result,
        error=job.error,
        run_id=job.run_id,
        at=job.closed_at or job.created_at,
    )


def _moved(call: AgentCall, moved: Any, *, dear: bool, dice: random.Random | None) -> AgentCall:
    factor = 6 if dear else (0.7 + 0.6 * dice.random() if dice else 1)
    tokens = (call.usage.prompt_tokens or 820, call.usage.completion_tokens or 1460)
    prompt, completion = (round(number * factor) for number in tokens)
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, cost=(prompt + completion) * 0.012 / 1000)
    attempts = [
        attempt.model_copy(
            update={
                "started_at": moved(attempt.started_at),
                "completed_at": moved(attempt.completed_at),
                "usage": usage if attempt.status is AttemptStatus.COMPLETED else None,
            }
        )
        for attempt in call.attempts
    ]
    times = {name: moved(getattr(call, name)) for name in ("scheduled_at", "started_at", "completed_at")}
    return call.model_copy(update={"attempts": attempts, "usage": usage, "model": "openai:gpt-5-mini", **times})


def _failed(call: AgentCall) -> AgentCall:
    attempt = call.attempts[0] if call.attempts else Attempt(number=1, status=AttemptStatus.FAILED)
    failed = attempt.model_copy(update={"status": AttemptStatus.FAILED, "error": ERROR, "usage": None})
    return call.model_copy(
        update={
            "status": CallStatus.FAILED,
            "error": ERROR,
            "attempts": [failed],
            "usage": Usage(),
            "completed_at": None,
        }
    )
