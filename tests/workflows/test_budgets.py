"""The tokens of a month hold what is started together, before every call, for every kind of job."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowExecutionStatus

from orchestrator.domain.access import ORDINARY, Principal
from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import JobConfig, ReconcileRequest
from orchestrator.domain.conversations import Mode, Swarm
from orchestrator.domain.errors import LimitExceeded, StepFailed
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.limits import Tier, TierLimits
from orchestrator.services.access.quotas import QuotaUsage
from orchestrator.services.chat.conversations import ChatMessage
from orchestrator.services.jobs.start import Started, StartRequest
from orchestrator.storage import database
from orchestrator.testing import Engine, eventually, running_engine
from tests.fakes.openai_server import Answer, OpenAIServer
from tests.ledger import ledger
from tests.storage.postgres import PostgresServer, running_postgres

CALL = Answer({"summary": "Drafted.", "output": "A draft."}, prompt_tokens=100, completion_tokens=400)
SHOP = {"project_name": "shop", "description": "A shop for books, with a cart and a search"}
AT_ONCE = ReconcileRequest(grace=-1.0)
AMPLE = 10_000_000  # More than a few calls ask for together.
GREEDY = JobConfig(model="served", max_tokens=1_000_000)


@asynccontextmanager
async def limited_to(
    tokens: int, address: str, folder: Path, plugins: list[Plugin], *answers: Answer, **settings: Any
) -> AsyncIterator[tuple[Engine, OpenAIServer]]:
    async with (
        OpenAIServer(*(answers or (CALL,))) as model,
        running_engine(
            address,
            folder,
            plugins,
            llm_base_url=model.url,
            llm_api_key=SecretStr("key"),
            tiers={Tier.PRO: TierLimits(concurrent_jobs=40, monthly_tokens=tokens)},
            **settings,
        ) as engine,
    ):
        yield engine, model


def somebody() -> Principal:
    return Principal(id=uuid4().hex, scopes=ORDINARY, tier=Tier.PRO)


async def start(
    engine: Engine, caller: Principal, target: str, input: dict[str, Any], config: JobConfig = GREEDY
) -> Started:
    request = StartRequest(kind=JobKind.WORKFLOW, target=target, input=input, config=config)
    return await engine.services.starter.start(caller, request)


async def usage(engine: Engine, caller: Principal) -> QuotaUsage:
    return await engine.services.quotas.usage(caller)


@ledger("D-065", "D-068", "C-28")
async def test_thirty_starts_at_once_never_use_more_than_the_month_has(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    caller = somebody()
    async with limited_to(4000, temporal_address, tmp_path, orchestrator_plugins) as (engine, model):
        starts = [start(engine, caller, "full_stack_development", SHOP) for _ in range(30)]
        answers = await asyncio.gather(*starts, return_exceptions=True)
        started = [answer for answer in answers if isinstance(answer, Started)]
        refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
        assert (len(started), len(refused)) == (1, 29)
        assert {fault.details["limit"] for fault in refused} == {"monthly_tokens"}
        job = await engine.ended(started[0].job_id)
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.type == "budget_exceeded"
        assert "tokens of this month" in job.error.message
        earlier = [attempt.error for call in job.calls for attempt in call.attempts[:-1]]
        assert "budget_exceeded" not in {error.type for error in earlier if error}  # What the budget refuses is final.
        now = await usage(engine, caller)
        assert 0 < now.tokens <= 4000
        assert (now.jobs, now.reserved_tokens) == (0, 0)
        asked = [request.body["max_tokens"] for request in model.received]
        assert asked
        assert max(asked) < 4000


async def test_calls_that_no_plan_counts_share_what_is_left(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    caller = somebody()
    fan_out = {"agent": "technical_writer", "times": 6, "gather": True}
    async with limited_to(3000, temporal_address, tmp_path, orchestrator_plugins) as (engine, model):
        both = [await start(engine, caller, "t_again", fan_out) for _ in range(2)]
        jobs = [await engine.ended(one.job_id) for one in both]
        assert {job.error.type for job in jobs if job.error} == {"budget_exceeded"}
        done = [call for job in jobs for call in job.calls if call.status is CallStatus.COMPLETED]
        now = await usage(engine, caller)
        # Those that waited got what those before them gave back.
        assert 3 <= len(done) == len(model.received) <= 6
        assert now.tokens == 500 * len(done) <= 3000
        assert now.reserved_tokens == 0


async def test_a_child_pays_from_the_month_of_its_parent(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    caller = somebody()
    child = f"child-{uuid4().hex}"
    async with limited_to(5000, temporal_address, tmp_path, orchestrator_plugins) as (engine, _):
        parent = await start(
            engine,
            caller,
            "t_parent",
            {"child": "t_again", "with": {"agent": "technical_writer", "times": 12, "gather": True}, "id": child},
        )
        await engine.ended(parent.job_id)
        row = await engine.parts.backend.jobs.get(child)
        assert row is not None
        assert row.job.tokens == TokenBudget(monthly=5000, root=parent.job_id)
        job = await engine.ended(child)
        assert job.error is not None
        assert job.error.type == "budget_exceeded"
        spent = await usage(engine, caller)
        assert 0 < spent.tokens <= 5000
        assert len([call for call in job.calls if call.status is CallStatus.COMPLETED]) * 500 == spent.tokens


@asynccontextmanager
async def no_end_is_written(engine: Engine) -> AsyncIterator[None]:
    """The index forgets meanwhile how calls end."""
    lost = "CREATE TRIGGER lost BEFORE UPDATE ON attempts WHEN NEW.completed_at IS NOT NULL BEGIN SELECT RAISE(IGNORE);"
    database = engine.parts.backend.database
    await database.autocommit(lambda connection: connection.exec_driver_sql(f"{lost} END").close())
    yield
    await database.autocommit(lambda connection: connection.exec_driver_sql("DROP TRIGGER lost").close())


@pytest.mark.parametrize("ended", ["completed", "terminated"])
async def test_calls_whose_ends_the_index_lost_are_billed_once_their_job_has_ended(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], ended: str
) -> None:
    caller = somebody()
    once = {"agent": "technical_writer", "times": 2}
    answers = () if ended == "completed" else (CALL, replace(CALL, then="hang"))
    async with limited_to(AMPLE, temporal_address, tmp_path, orchestrator_plugins, *answers) as (engine, model):
        async with no_end_is_written(engine):
            job_id = (await start(engine, caller, "t_again", once)).job_id
            await eventually(lambda: asyncio.sleep(0, len(model.received)), lambda count: count == 2)
            if ended == "terminated":
                await engine.parts.backend.client.get_workflow_handle(job_id).terminate(reason="enough")
            await eventually(
                lambda: engine.parts.backend.client.get_workflow_handle(job_id).describe(),
                lambda report: report.status is not WorkflowExecutionStatus.RUNNING,
            )
        assert (await usage(engine, caller)).tokens == 0
        for _ in range(2):
            await engine.parts.workers.reconciler.reconcile(AT_ONCE)
            now = await usage(engine, caller)
            assert now.tokens == (1000 if ended == "completed" else 500)
            assert now.reserved_tokens == 0


async def test_a_call_whose_end_the_index_lost_holds_up_no_other_call_of_its_job_for_long(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    caller = somebody()
    async with limited_to(3000, temporal_address, tmp_path, orchestrator_plugins) as (engine, _):
        async with no_end_is_written(engine):
            started = await start(engine, caller, "t_again", {"agent": "technical_writer", "times": 2})
            # The first call got all that was left, and has it still.
            await engine.eventually(started.job_id, lambda job: bool(job.calls) and job.calls[-1].number == 2)
            assert (await usage(engine, caller)).tokens == 0
        await engine.parts.workers.reconciler.reconcile(AT_ONCE)
        assert (await usage(engine, caller)).tokens == 500
        assert (await engine.ended(started.job_id)).state is JobState.COMPLETED
        assert (await usage(engine, caller)).tokens == 1000


async def test_a_chat_turn_is_held_to_the_month(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    caller = somebody()
    session = uuid4().hex
    async with limited_to(1500, temporal_address, tmp_path, orchestrator_plugins) as (engine, _):
        chat = engine.services.conversations

        async def talk() -> None:
            for _ in range(5):
                message = ChatMessage(text="Hello", session_id=session, mode=Mode.LITE, swarm=Swarm.CODING_TEAM)
                await chat.answer(caller, await chat.begin(caller, message))

        with pytest.raises((LimitExceeded, StepFailed)) as ended:
            await talk()
        assert "tokens of this month" in ended.value.message
        now = await engine.parts.services.quotas.usage(caller)
        assert 0 < now.tokens <= 1500
        assert now.reserved_tokens == 0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


async def test_sixty_calls_at_once_on_postgresql_hold_the_month_and_neither_the_slots_nor_the_index(
    postgres: PostgresServer,
    temporal_address: str,
    tmp_path: Path,
    orchestrator_plugins: list[Plugin],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "DEADLINE", 1.0)
    caller, other, url = somebody(), somebody(), postgres.new_database()
    fan_out = {"agent": "technical_writer", "times": 60, "gather": True}
    modest = JobConfig(model="served", max_tokens=3000)
    async with limited_to(15_000, temporal_address, tmp_path, orchestrator_plugins, database_url=url) as (engine, _):
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as process:
            job_id = (await start(engine, caller, "t_again", fan_out, modest)).job_id
            # Another process counts for long what the owner has.
            process.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (caller.id,))

            def waits(job: Job) -> bool:
                return sum(call.status is CallStatus.RETRYING for call in job.calls) > 10

            await engine.eventually(job_id, waits)
            # The owner's other calls wait outside the fifty slots, and of the five connections they have one.
            beside = await start(engine, other, "t_again", {**fan_out, "times": 2}, modest)
            assert (await engine.ended(beside.job_id)).state is JobState.COMPLETED
        job = await engine.ended(job_id)
        done = [call for call in job.calls if call.status is CallStatus.COMPLETED]
        now = await usage(engine, caller)
        assert now.reserved_tokens == 0
        assert now.tokens <= 15_000
        assert 5 <= len(done) <= 30
    postgres.drop_database(url)
