"""Sessions over a real Temporal: in order, once each, remembered, whatever is restarted (A11)."""

import asyncio
import json
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.composition.backend import now
from orchestrator.domain import names
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.conversations import Mode, Swarm, TurnAcceptance, TurnResult, conversation_id
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import (
    DeadlineExceeded,
    LimitExceeded,
    PayloadTooLarge,
    StepFailed,
    Unavailable,
    WrongState,
)
from orchestrator.domain.jobs import CallStatus, JobState
from orchestrator.domain.limits import Tier
from orchestrator.engine.conversations import ConversationGateway
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.plugins import BUILT_IN
from orchestrator.services.chat.conversations import AcceptedMessage, ChatMessage, Turn
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.fakes.openai_server import Answer, Failure, OpenAIServer
from tests.fakes.webhook_receiver import Answer as Taken
from tests.fakes.webhook_receiver import receiving
from tests.ledger import ledger

# Of the test that runs: all tests share one Temporal server, and each has workers of its own.
SESSION = {"id": "s"}


@pytest.fixture(autouse=True)
def session() -> str:
    SESSION["id"] = uuid.uuid4().hex
    return SESSION["id"]


HANGS = Answer({"summary": "s", "output": "never"}, then="hang")
FREE = Principal(id="free", scopes=frozenset({Scope.WORKFLOWS_RUN, Scope.JOBS_CANCEL}), tier=Tier.FREE)


def reply(output: str, **fields: Any) -> Answer:
    return Answer({"summary": output, "output": output, **fields})


def message(text: str = "Explain quantum computing", session: str | None = None, **more: Any) -> ChatMessage:
    given = {"mode": Mode.LITE, "swarm": Swarm.RESEARCH_TEAM, **more}
    return ChatMessage(text=text, session_id=session or SESSION["id"], **given)


async def say(engine: Engine, said: ChatMessage, principal: Principal = TESTER) -> Turn:
    conversations = engine.services.conversations
    return await conversations.answer(principal, await conversations.begin(principal, said))


def conversation() -> str:
    return conversation_id(TESTER.id, SESSION["id"])


async def closed(engine: Engine) -> WorkflowExecutionStatus | None:
    description = await engine.parts.backend.client.get_workflow_handle(conversation()).describe()
    return None if description.status is WorkflowExecutionStatus.RUNNING else description.status


@asynccontextmanager
async def modelled(
    address: str, folder: Path, *script: Answer | Failure, **settings: Any
) -> AsyncIterator[tuple[Engine, OpenAIServer]]:
    """An engine whose agents ask a model that answers by this script."""
    async with OpenAIServer(*script) as model:
        given = {"llm_base_url": model.url, "llm_api_key": SecretStr("key"), **settings}
        async with running_engine(address, folder, [BUILT_IN], **given) as engine:
            yield engine, model


@ledger("A-013", "A-014")
@pytest.mark.parametrize(
    ("swarm", "mode", "script", "answer", "score", "calls"),
    [
        (Swarm.CODING_TEAM, Mode.LITE, [reply("lead")], "lead", None, 1),
        (
            Swarm.CODING_TEAM,
            Mode.BALANCED,
            [reply("draft"), reply("reviewed", score=0.85, verdict="accept")],
            "reviewed",
            0.85,
            2,
        ),
        (Swarm.CREATIVE_TEAM, Mode.BALANCED, [reply("draft"), reply("reviewed", score=None)], "reviewed", None, 2),
        (
            Swarm.RESEARCH_TEAM,
            Mode.QUALITY,
            [reply("a"), reply("b"), reply("c"), reply("critique", score=0.4, verdict="revise"), reply("merged")],
            "merged",
            0.4,
            5,
        ),
        (
            Swarm.CODING_DEBATE,
            Mode.BALANCED,
            [reply("for"), reply("against"), reply("judged", score=0.7, verdict="accept")],
            "judged",
            0.7,
            3,
        ),
    ],
)
async def test_an_answer_and_its_score_are_the_models_own(  # noqa: PLR0917
    temporal_address: str,
    tmp_path: Path,
    swarm: Swarm,
    mode: Mode,
    script: list[Answer],
    answer: str,
    score: float | None,
    calls: int,
) -> None:
    async with modelled(temporal_address, tmp_path, *script) as (engine, model):
        turn = await say(engine, message(swarm=swarm, mode=mode))
    assert (turn.answer, turn.score, len(model.received)) == (answer, score, calls)
    assert bool(turn.notes) == (score is None or swarm is not Swarm.CODING_DEBATE)
    assert turn.job.usage.total_tokens == calls * (450 + 3092)
    assert turn.job.result is not None
    assert turn.job.result["output"] == answer
    assert "Explain quantum computing" in json.dumps(model.received[0].body)


@ledger("A-015", "A-037")
async def test_memory_is_shown_only_where_it_is_asked_for(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, reply("It is 42.")) as (engine, model):
        await say(engine, message("What is the answer?"))
        await say(engine, message("And without memory?"))
        await say(engine, message("And with it?", use_memory=True))
        await say(engine, message("Another session?", session=uuid.uuid4().hex, use_memory=True))
        history = await engine.services.conversations.history(TESTER, SESSION["id"])
    prompts = [json.dumps(request.body["messages"]) for request in model.received]
    assert ["What is the answer?" in prompt for prompt in prompts] == [True, False, True, False]
    assert ["It is 42." in prompt for prompt in prompts] == [False, False, True, False]
    assert [turn.message for turn in history.turns] == [
        "What is the answer?",
        "And without memory?",
        "And with it?",
    ]


async def test_concurrent_messages_of_one_session_are_answered_in_order(engine: Engine) -> None:
    conversations = engine.services.conversations
    begun = [await conversations.begin(TESTER, message(f"number {n}")) for n in range(4)]
    asked = []
    for one in begun:
        asked.append(asyncio.create_task(conversations.answer(TESTER, one)))
        await eventually(lambda: _accepted(engine), lambda seen: seen >= len(asked))
    turns = await asyncio.gather(*asked)
    history = await conversations.history(TESTER, SESSION["id"])
    assert [turn.message for turn in history.turns] == [f"number {n}" for n in range(4)]
    spans = [(turn.job.created_at, turn.job.closed_at) for turn in turns]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


async def _accepted(engine: Engine) -> int:
    try:
        history = await engine.history(conversation())
    except Exception:  # noqa: BLE001 - not there yet
        return 0
    return sum(event.HasField("workflow_execution_update_accepted_event_attributes") for event in history.events)


@ledger("A-037")
async def test_a_repeated_request_is_the_same_turn(engine: Engine) -> None:
    said = message(request_id="r-1")
    first, again = await asyncio.gather(say(engine, said), say(engine, said))
    later = await say(engine, said)
    assert first.job.id == again.job.id == later.job.id
    other = await say(engine, message("something else", request_id="r-1"))
    assert other.job.id != first.job.id
    page = await engine.services.reader.list(TESTER, JobFilter(subject=conversation()))
    assert page.total == 2


async def test_a_repeated_request_of_an_ended_session_is_the_same_turn(temporal_address: str, tmp_path: Path) -> None:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN], conversation_idle=0.3) as engine:
        first = await say(engine, message(request_id="r-1"))
        await eventually(lambda: closed(engine), lambda status: status is WorkflowExecutionStatus.COMPLETED)
        again = await say(engine, message(request_id="r-1"))
        assert again.job.id == first.job.id
        assert again.answer == first.answer
        assert len((await engine.services.conversations.history(TESTER, SESSION["id"])).turns) == 1


async def test_a_request_repeated_after_temporal_forgot_the_job_is_the_same_turn(
    temporal_address: str, tmp_path: Path
) -> None:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN], conversation_idle=0.3) as engine:
        first = await say(engine, message(request_id="r-1"))
        await eventually(lambda: closed(engine), lambda status: status is WorkflowExecutionStatus.COMPLETED)
        client = engine.parts.backend.client
        execution = WorkflowExecution(workflow_id=first.job.id, run_id=first.job.run_id)
        request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
        await client.workflow_service.delete_workflow_execution(request)
        await eventually(lambda: _gone(engine, first.job.id), lambda gone: gone)
        again = await say(engine, message(request_id="r-1"))
        assert await _gone(engine, first.job.id)
    assert (again.job.id, again.answer) == (first.job.id, first.answer)


async def _gone(engine: Engine, job_id: str) -> bool:
    try:
        await engine.history(job_id)
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND
    return False


@ledger("A-036", "C-52")
async def test_an_idle_session_ends_reports_it_and_is_taken_up_again(temporal_address: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"conversation_idle": 0.3, "webhook_allow_private": True}
    async with (
        receiving(Taken(status=200)) as receiver,
        modelled(temporal_address, tmp_path, reply("Hello."), **settings) as (engine, model),
    ):
        events = ["chat.completed", "session.ended"]
        await engine.services.webhooks.register(TESTER, url=receiver.url, events=events, secret="webhook-secret")
        turn = await say(engine, message("My name is Ada."))
        await eventually(lambda: closed(engine), lambda status: status is WorkflowExecutionStatus.COMPLETED)
        await eventually(lambda: _deliveries(receiver.requests), lambda entries: len(entries) >= 2)
        entries = {one["event"]: one for one in await _deliveries(receiver.requests)}
        await say(engine, message("What is my name?", use_memory=True))
    assert entries["chat.completed"]["job_id"] == turn.job.id
    assert entries["chat.completed"]["data"]["session_id"] == SESSION["id"]
    assert entries["chat.completed"]["data"]["output"]["output"] == "Hello."
    assert (entries["session.ended"]["job_id"], entries["session.ended"]["data"]) == (
        None,
        {"session_id": SESSION["id"], "turns": 1},
    )
    assert "Ada" in json.dumps(model.received[-1].body)


async def _deliveries(requests: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in requests]


async def test_a_long_session_goes_on_in_a_new_run_with_its_memory(tmp_path: Path) -> None:
    short = {"limit.historyCount.suggestContinueAsNew": 30}
    binary = await locate(os.environ)
    async with (
        DevServer(binary, tmp_path, port=0, in_memory=True, settings=short) as server,
        running_engine(server.address, tmp_path, [BUILT_IN]) as engine,
    ):
        handle = engine.parts.backend.client.get_workflow_handle(conversation())
        turns = [await say(engine, message("number 0", request_id="r-0"))]
        first_run = (await handle.describe()).run_id
        turns += [await say(engine, message(f"number {n}", use_memory=True)) for n in range(1, 6)]
        assert (await handle.describe()).run_id != first_run
        again = await say(engine, message("number 0", request_id="r-0"))
        assert again.job.id == turns[0].job.id
        history = await engine.services.conversations.history(TESTER, SESSION["id"])
    assert [turn.message for turn in history.turns] == [f"number {n}" for n in range(6)]
    assert len(turns[5].job.input["history"]) == 5


async def test_a_turn_outlives_its_worker_and_is_answered_once(temporal_address: str, tmp_path: Path) -> None:
    async with (
        OpenAIServer(HANGS, reply("At last.")) as model,
        running_engine(temporal_address, tmp_path, [BUILT_IN], worker=False, llm_base_url=model.url) as engine,
    ):
        conversations = engine.services.conversations
        begun = await conversations.begin(TESTER, message(request_id="r-1"))
        async with engine.parts.workers.for_jobs():
            asking = asyncio.create_task(conversations.answer(TESTER, begun))
            await _calling(engine, begun)
            asking.cancel()  # the API process that waited is gone, too
        async with engine.parts.workers.for_jobs():
            turn = await say(engine, message(request_id="r-1"))
        history = await conversations.history(TESTER, SESSION["id"])
    assert (turn.job.id, turn.answer) == (begun.job_id, "At last.")
    assert [len(call.attempts) for call in turn.job.calls] == [2]
    assert len(history.turns) == 1


async def _calling(engine: Engine, begun: AcceptedMessage) -> None:
    """Until the model is asked."""

    async def look() -> CallStatus:
        try:
            return (await engine.job(begun.job_id)).calls[0].status
        except Exception:  # noqa: BLE001 - not there yet
            return CallStatus.PENDING

    await eventually(look, lambda status: status is CallStatus.RUNNING)


@ledger("A-034")
async def test_a_turn_that_takes_too_long_goes_on_and_can_be_cancelled(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, HANGS, sync_timeout=0.5) as (engine, _):
        conversations = engine.services.conversations
        begun = await conversations.begin(TESTER, message(request_id="r-1"))
        with pytest.raises(DeadlineExceeded) as late:
            await conversations.answer(TESTER, begun)
        assert late.value.details["job_id"] == begun.job_id
        assert not (await engine.job(begun.job_id)).state.terminal
        await engine.services.controller.cancel(TESTER, begun.job_id, "enough", patience=30)

        async def again() -> type[Exception] | None:
            with pytest.raises((WrongState, DeadlineExceeded)) as refused:
                await say(engine, message(request_id="r-1"))
            return refused.type

        await eventually(again, lambda refusal: refusal is WrongState)
        assert (await conversations.history(TESTER, SESSION["id"])).turns == []


async def test_a_failed_turn_says_why_and_the_session_goes_on(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, Failure(400), reply("Fine.")) as (engine, _):
        with pytest.raises(StepFailed) as failed:
            await say(engine, message())
        assert (await engine.job(failed.value.details["job_id"])).state is JobState.FAILED
        assert (await say(engine, message())).answer == "Fine."


@ledger("A-024")
async def test_the_streamed_text_is_the_answer(engine: Engine) -> None:
    conversations = engine.services.conversations
    said = message("Write a Python function", mode=Mode.BALANCED, swarm=Swarm.CODING_TEAM)
    pieces = [piece async for piece in conversations.stream(TESTER, await conversations.begin(TESTER, said))]
    *deltas, turn = pieces
    assert isinstance(turn, Turn)
    assert deltas
    assert {delta.step for delta in deltas if isinstance(delta, Delta)} == {"review"}
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == turn.answer


async def test_a_silent_index_holds_no_turn(engine: Engine) -> None:
    said = message()
    await say(engine, said)
    with sqlite3.connect(engine.parts.settings.data_dir / "index.sqlite3") as index:
        index.execute("ALTER TABLE artifacts RENAME TO artifacts_away")
        index.commit()
        turn = await say(engine, message("And again", said.session_id))
        assert turn.job.state is JobState.COMPLETED
        index.execute("ALTER TABLE artifacts_away RENAME TO artifacts")
        index.commit()


async def test_a_session_can_be_made_to_forget(engine: Engine) -> None:
    conversations = engine.services.conversations
    await say(engine, message())
    await conversations.reset(TESTER, SESSION["id"])
    turn = await say(engine, message("And now?", use_memory=True))
    assert "history" not in turn.job.input
    assert [one.message for one in (await conversations.history(TESTER, SESSION["id"])).turns] == ["And now?"]


@ledger("C-28")
async def test_a_tiers_limits_hold_for_messages(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, HANGS) as (engine, _):
        conversations = engine.services.conversations
        begun = await conversations.begin(FREE, message())
        asking = asyncio.create_task(conversations.answer(FREE, begun))
        await _calling(engine, begun)
        with pytest.raises(LimitExceeded) as refused:
            await conversations.begin(FREE, message("more"))
        assert refused.value.details["limit"] == "concurrent_jobs"
        await engine.services.controller.cancel(TESTER, begun.job_id, "enough", patience=30)
        with pytest.raises(WrongState):
            await asking


@ledger("D-068", "C-28")
async def test_messages_that_come_at_once_take_exactly_the_tiers_slots(temporal_address: str, tmp_path: Path) -> None:
    pro = replace(FREE, id="pro", tier=Tier.PRO)
    async with modelled(temporal_address, tmp_path, HANGS) as (engine, _):
        conversations = engine.services.conversations
        # All are looked at before one of them is a job.
        begun = [await conversations.begin(pro, message(session=uuid.uuid4().hex)) for _ in range(12)]
        asking = [asyncio.create_task(conversations.answer(pro, one)) for one in begun]

        async def refused() -> list[BaseException | None]:
            return [task.exception() for task in asking if task.done()]

        faults = await eventually(refused, lambda faults: len(faults) == 7)
        assert {type(fault) for fault in faults} == {LimitExceeded}
        details = faults[0].details
        assert (details["limit"], details["allowed"], details["used"]) == ("concurrent_jobs", 5, 5)
        running = [(one.job_id, task) for one, task in zip(begun, asking, strict=True) if not task.done()]
        assert sorted(job_id for job_id, _ in running) == sorted(details["job_ids"])
        for job_id, task in running:
            await engine.services.controller.cancel(pro, job_id, "enough", patience=30)
            with pytest.raises(WrongState):
                await task


@ledger("C-28")
async def test_a_refused_message_is_answered_when_it_comes_again(temporal_address: str, tmp_path: Path) -> None:
    again = message(request_id="r-1")
    async with modelled(temporal_address, tmp_path, HANGS, reply("At last.")) as (engine, _):
        conversations = engine.services.conversations
        first = await conversations.begin(FREE, message(session=uuid.uuid4().hex))
        second = await conversations.begin(FREE, again)
        asking = asyncio.create_task(conversations.answer(FREE, first))
        await _calling(engine, first)
        with pytest.raises(LimitExceeded):
            await conversations.answer(FREE, second)
        await engine.services.controller.cancel(FREE, first.job_id, "enough", patience=30)
        with pytest.raises(WrongState):
            await asking
        turns = [await say(engine, again, FREE) for _ in range(2)]
    assert [(turn.job.id, turn.answer) for turn in turns] == [(second.job_id, "At last.")] * 2


async def test_a_repeated_request_needs_no_slot_of_its_own(temporal_address: str, tmp_path: Path) -> None:
    said = message(request_id="r-1")
    async with modelled(temporal_address, tmp_path, HANGS) as (engine, _):
        begun = await engine.services.conversations.begin(FREE, said)
        asking = asyncio.create_task(engine.services.conversations.answer(FREE, begun))
        await _calling(engine, begun)
        again = await engine.services.conversations.begin(FREE, said)
        repeated = asyncio.create_task(engine.services.conversations.answer(FREE, again))
        await engine.services.controller.cancel(FREE, begun.job_id, "enough", patience=30)
        for task in (asking, repeated):
            with pytest.raises(WrongState) as ended:
                await task
            assert ended.value.details["job_id"] == begun.job_id


async def test_a_session_without_a_turn_sends_nothing(temporal_address: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"conversation_idle": 0.3, "webhook_allow_private": True}
    async with running_engine(temporal_address, tmp_path, [BUILT_IN], **settings) as engine:
        webhooks = engine.services.webhooks
        done = await webhooks.register(TESTER, url="http://127.0.0.1:9/", events=["session.ended"])
        await engine.services.conversations.reset(TESTER, SESSION["id"])
        await eventually(lambda: closed(engine), lambda status: status is WorkflowExecutionStatus.COMPLETED)
        page = await webhooks.deliveries(TESTER, done.webhook.id, state=None, limit=10, offset=0)
    assert page.total == 0


async def test_too_many_waiting_messages_are_refused(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, HANGS) as (engine, _):
        conversations = engine.services.conversations
        begun = [await conversations.begin(TESTER, message(f"number {n}")) for n in range(9)]
        asking = [asyncio.create_task(conversations.answer(TESTER, one)) for one in begun]
        done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert [type(task.exception()) for task in done] == [LimitExceeded]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_without_a_worker_a_message_is_refused_soon(temporal_address: str, tmp_path: Path) -> None:
    async with running_engine(temporal_address, tmp_path, [BUILT_IN], worker=False) as engine:
        impatient = ConversationGateway(
            engine.parts.backend.client, engine.parts.settings.task_queue, accept_seconds=0.5
        )
        begun = await engine.services.conversations.begin(TESTER, message())
        with pytest.raises(Unavailable) as refused:
            await impatient.ask(
                begun.conversation, names.UPDATE_TURN, begun.request, TurnResult, update_id="u", seconds=30
            )
        assert not isinstance(refused.value, DeadlineExceeded)


async def test_a_job_that_the_reconciler_started_first_is_the_turns(engine: Engine) -> None:
    begun = await engine.services.conversations.begin(TESTER, message())
    acceptance = TurnAcceptance(job=begun.request.job, request_hash="x")
    await engine.parts.backend.jobs.accept(acceptance.job, request_hash="x", at=now())
    report = await engine.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    assert report.started == 1
    turn = await engine.services.conversations.answer(TESTER, begun)
    assert turn.job.id == begun.job_id
    assert turn.answer


async def test_an_operator_who_ends_a_session_ends_no_turn(temporal_address: str, tmp_path: Path) -> None:
    async with modelled(temporal_address, tmp_path, replace(reply("Done."), pieces=40)) as (engine, _):
        begun = await engine.services.conversations.begin(TESTER, message())
        asking = asyncio.create_task(engine.services.conversations.answer(TESTER, begun))
        handle = engine.parts.backend.client.get_workflow_handle(conversation())
        await eventually(lambda: _accepted(engine), lambda seen: seen == 1)
        await handle.cancel()
        assert (await asking).answer == "Done."
        await eventually(lambda: closed(engine), lambda status: status is WorkflowExecutionStatus.CANCELED)


async def test_a_large_context_is_refused(engine: Engine) -> None:
    with pytest.raises(PayloadTooLarge):
        await engine.services.conversations.begin(TESTER, message(user_context={"x": "y" * 70_000}))
