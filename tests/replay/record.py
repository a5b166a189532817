"""Records the histories that the replay tests hold the workflows to: `python -m tests.replay.record NAME…`.

A committed history stands for jobs that run somewhere with the code of its day. Record a new one for a new state;
never record an old one again to make a test pass: that job would break, in production.
"""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from temporalio.worker import Worker

from orchestrator.composition.process import Parts
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.conversations import Mode, Swarm
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import CallStatus, JobState, ReasonCode
from orchestrator.domain.limits import Tier
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.engine.worker import build_framework_worker
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.services.chat.conversations import ChatMessage
from orchestrator.services.jobs.start import StartRequest
from orchestrator.testing import TESTER, Engine, calls, eventually, running_engine, tool
from tests.catalogue import TEST_PLUGIN
from tests.fakes.webhook_receiver import Answer, receiving
from tests.flow_workflows import FLOW_PLUGIN
from tests.replay.catalogue import HISTORY_PLUGIN

WEBHOOKS: dict[str, Any] = {"webhook_allow_private": True, "webhook_retry_schedule": "0,0.1,0.2"}
HISTORIES = Path(__file__).parent / "histories"
PLUGINS = [BUILT_IN, TEST_PLUGIN, FLOW_PLUGIN, HISTORY_PLUGIN]


async def _ended(engine: Engine, target: str, config: JobConfig | None = None, **input: object) -> str:
    return (await engine.run(target, input, config=config)).id


async def _paused(engine: Engine) -> str:
    started = await engine.start("t_slow", {"seconds": 0.2})
    await engine.services.controller.pause(TESTER, started.job_id)
    await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.COMPLETED)
    return started.job_id


async def _resumed(engine: Engine) -> str:
    job_id = await _paused(engine)
    await engine.services.controller.resume(TESTER, job_id)
    await engine.ended(job_id)
    return job_id


async def _answered(engine: Engine) -> str:
    """A form and an approval that people answered, over two runs."""
    started = await engine.start("t_form", {"runs": 2, "approval": True})
    handle = engine.parts.backend.client.get_workflow_handle(started.job_id)
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    first = (await handle.describe()).run_id
    await handle.signal("next")
    await eventually(handle.describe, lambda run: run.run_id != first)
    answer = engine.services.questions.answer
    await answer(TESTER, started.job_id, "address", {"street": "Long Street 5"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    await answer(TESTER, started.job_id, "ship", {"approved": True}, "go")
    await engine.ended(started.job_id)
    return started.job_id


async def _waiting(engine: Engine) -> str:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    return started.job_id


async def _approved(engine: Engine) -> str:
    job_id = await _waiting(engine)
    await engine.services.controller.approve(TESTER, job_id, "b")
    await engine.ended(job_id)
    return job_id


async def _rejected(engine: Engine) -> str:
    job_id = await _waiting(engine)
    await engine.services.controller.reject(TESTER, job_id, "b", "no")
    await engine.ended(job_id)
    return job_id


async def _retried(engine: Engine) -> str:
    """The job that finishes a rejected one."""
    rejected = await _rejected(engine)
    started, _ = await engine.services.retrier.retry(TESTER, rejected)
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.approve(TESTER, started.job_id, "b")
    await engine.ended(started.job_id)
    return started.job_id


async def _retried_code(engine: Engine) -> str:
    """Code that takes over the three answers which it asks for again, and fails where it failed before."""
    failed = await _ended(engine, "t_again", fails=True)
    started, _ = await engine.services.retrier.retry(TESTER, failed)
    await engine.ended(started.job_id)
    return started.job_id


async def _cancelled(engine: Engine) -> str:
    started = await engine.start("t_wide", {})
    await engine.eventually(started.job_id, lambda job: job.calls[1].status is CallStatus.RUNNING)
    await engine.services.controller.cancel(TESTER, started.job_id, "enough", patience=30)
    return started.job_id


async def _retrying(engine: Engine) -> str:
    started = await engine.start("t_patient", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.RETRYING)
    return started.job_id


async def _unserved(engine: Engine) -> str:
    """A call whose worker lacks its agent until the call's own time is over, and one that has it."""

    def elsewhere(parts: Parts) -> Worker:
        run_agent = parts.workers.agent_activities(parts.workers.native_runtime()).run_agent
        return build_framework_worker(parts.backend.client, task_queue="test-elsewhere", run_agent=run_agent)

    started = await engine.start("t_elsewhere", {})
    async with elsewhere(replace(engine.parts, catalogue=build_catalogue([BUILT_IN]))):
        await eventually(
            lambda: engine.services.follower.past(TESTER, started.job_id, None),
            lambda events: [event.name for event in events].count("agent.scheduled") > 1,
        )
    async with elsewhere(engine.parts):
        await engine.ended(started.job_id)
    return started.job_id


async def _countdown(engine: Engine) -> str:
    started = await engine.start("t_countdown", {})
    await engine.eventually(started.job_id, lambda job: job.state is JobState.RUNNING)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).signal("go")
    await engine.ended(started.job_id)
    return started.job_id


async def _started_past_the_api(engine: Engine, target: str, input: object) -> str:
    """A workflow that an operator starts, once it has ended."""
    job_id = f"operators-{target}"
    queue = engine.parts.settings.task_queue
    handle = await engine.parts.backend.client.start_workflow(target, input, id=job_id, task_queue=queue)
    await handle.signal("go")
    await engine.ended(job_id)
    return job_id


async def _copied(engine: Engine) -> str:
    original = await engine.run("t_three", {})
    (start, *_) = (await engine.history(original.id)).events
    payloads = start.workflow_execution_started_event_attributes.input.payloads
    (copy,) = await engine.parts.backend.client.data_converter.decode(payloads, [dict])
    return await _started_past_the_api(engine, "t_three", copy)


async def _delivered(engine: Engine, *answers: Answer) -> str:
    """The delivery of a job's end to a receiver that answers so."""
    async with receiving(*answers) as receiver:
        webhooks = engine.services.webhooks
        done = await webhooks.register(TESTER, url=receiver.url, events=["job.completed"])
        job = await engine.run("t_echo", {})
        page = await eventually(
            lambda: webhooks.deliveries_of_job(job.id, limit=1, offset=0),
            lambda page: bool(page.rows) and page.rows[0][0].state is not DeliveryState.PENDING,
        )
        await webhooks.delete(TESTER, done.webhook.id)
    delivery_id = str(page.rows[0][0].id)
    await engine.parts.backend.client.get_workflow_handle(delivery_id).result()
    return delivery_id


async def _turn(engine: Engine, session: str, text: str, *, idle: float = 1800, use_memory: bool = False) -> str:
    """Says something in a session; its workflow's id."""
    conversations = engine.services.conversations
    said = ChatMessage(text=text, session_id=session, mode=Mode.LITE, swarm=Swarm.CODING_TEAM, use_memory=use_memory)
    begun = await conversations.begin(TESTER, said)
    begun = replace(begun, conversation=begun.conversation.model_copy(update={"idle": idle}))
    await conversations.answer(TESTER, begun)
    return begun.conversation.conversation_id


async def _conversation(engine: Engine) -> str:
    await _turn(engine, "open", "Hello")
    conversation = await _turn(engine, "open", "And again", use_memory=True)
    await engine.services.conversations.reset(TESTER, "open")
    return conversation


async def _conversation_ended(engine: Engine) -> str:
    conversation = await _turn(engine, "ended", "Goodbye", idle=0.2)
    await engine.parts.backend.client.get_workflow_handle(conversation).result()
    return conversation


async def _conversation_refused(engine: Engine) -> str:
    """The session of a message that finds its owner's only slot taken."""
    free = replace(TESTER, id="free", tier=Tier.FREE)
    conversations = engine.services.conversations
    said = ChatMessage(text="Hello", session_id="refused", mode=Mode.LITE, swarm=Swarm.CODING_TEAM)
    begun = await conversations.begin(free, said)
    await engine.services.starter.start(free, StartRequest(kind=JobKind.WORKFLOW, target="t_approval", input={}))
    try:
        await conversations.answer(free, begun)
    except LimitExceeded:
        return begun.conversation.conversation_id
    raise AssertionError("the message was not refused")


async def _flow(engine: Engine) -> str:
    """Workflow code that asks a person, is paused meanwhile, and asks for a yes."""
    started = await engine.start("f_people", {})
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    await engine.services.controller.pause(TESTER, started.job_id)
    await engine.answer(started.job_id, "address", {"street": "Elm 1"})
    await engine.services.controller.resume(TESTER, started.job_id)
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    await engine.approve(started.job_id, "ship")
    await engine.ended(started.job_id)
    return started.job_id


async def _decided(engine: Engine) -> str:
    """A plan with a condition, items, rounds, a form, a child, a failure with a handler, and a delay."""
    started = await engine.start("r_deciding", {})
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    await engine.answer(started.job_id, "form", {"city": "Ulm"})
    await engine.ended(started.job_id)
    return started.job_id


async def _tools_approved(engine: Engine) -> str:
    """Two calls of tools at once, then one that a person changes, and one that a person refuses."""
    look, pay = tool("look_up", number=7), tool("pay", amount=70)
    engine.script("r_desk", [calls(look, tool("look_up", number=8)), calls(pay), calls(pay), {"output": "Paid."}])
    started = await engine.start("r_tools", {})
    for turn, values in ((2, {"approved": True, "arguments": {"amount": 50}}), (3, {"approved": False})):
        question = f"desk.r_desk.t{turn}.1"
        await engine.eventually(
            started.job_id, lambda job, id=question: any(each.id == id for each in job.open_questions)
        )
        await engine.answer(started.job_id, question, values, "so be it")
    await engine.ended(started.job_id)
    return started.job_id


async def _tools_cancelled(engine: Engine) -> str:
    """Two tool calls that are cancelled while they wait for their second attempt."""
    engine.script("r_failing", lambda _: calls(tool("fail", number=1), tool("fail", number=2)))
    started = await engine.start("r_failures", {})
    await engine.eventually(
        started.job_id, lambda job: [each.attempts for each in job.calls[0].tool_calls if each.error] == [1, 1]
    )
    await engine.cancel(started.job_id, "enough")
    await engine.ended(started.job_id)
    return started.job_id


async def _toured(engine: Engine) -> str:
    started = await engine.start("r_tour", {})
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    await engine.answer(started.job_id, "address", {"city": "Ulm"})
    await engine.ended(started.job_id)
    return started.job_id


async def _turns_continued(engine: Engine) -> str:
    """A loop of turns that passes through new runs, between two turns."""
    turns = [calls(tool("look_up", number=number)) for number in range(6)]
    engine.script("r_desk", [*turns, {"output": "All looked up."}])
    return await _ended(engine, "r_tools")


SCENARIOS: dict[str, Callable[[Engine], Awaitable[str]]] = {
    "completed_in_sequence": lambda engine: _ended(engine, "t_three"),
    "completed_in_order": lambda engine: _ended(engine, "t_wide", JobConfig(parallel_execution=False), seconds=0.01),
    "completed_after_retries": lambda engine: _ended(engine, "t_flaky"),
    "completed_short_steps": lambda engine: _ended(engine, "t_short", failures=1),
    "completed_single_agent": lambda engine: _ended(engine, "t_echo"),
    "completed_full_stack": lambda engine: _ended(
        engine, "full_stack_development", project_name="Shop", description="A shop", requirements=["cart"]
    ),
    "partial": lambda engine: _ended(engine, "t_broken", JobConfig(stop_on_error=False)),
    "failed_step": lambda engine: _ended(engine, "t_broken"),
    "failed_code": lambda engine: _ended(engine, "t_faulty"),
    "approval_timed_out": lambda engine: _ended(engine, "t_approval_soon"),
    "paused": _paused,
    "resumed": _resumed,
    "waiting_for_approval": _waiting,
    "approved": _approved,
    "rejected": _rejected,
    "answered": _answered,
    "retried": _retried,
    "retried_code": _retried_code,
    "cancelled": _cancelled,
    "retrying": _retrying,
    "unserved": _unserved,
    "code_authored": _countdown,
    "called_again": lambda engine: _ended(engine, "t_again", short=True, runs=2),
    "flow": _flow,
    "flow_items": lambda engine: _ended(engine, "f_map", numbers=[1, 2, 3, 4, 5], failing=[2], enough=3),
    "flow_children": lambda engine: _ended(engine, "f_parent", child="t_three", **{"with": {"topic": "tea"}}),
    "decided": _decided,
    "tools_approved": _tools_approved,
    "tools_cancelled": _tools_cancelled,
    "flow_tour": _toured,
    "nested_children": lambda engine: _ended(engine, "t_nested_children"),
    "adopted_copy": _copied,
    "adopted_code": lambda engine: _started_past_the_api(engine, "t_countdown", {"seconds": 30}),
    "adoption_refused": lambda engine: _started_past_the_api(engine, "t_strict", {}),
    "conversation": _conversation,
    "conversation_ended": _conversation_ended,
    "conversation_refused": _conversation_refused,
    "webhook_delivered": lambda engine: _delivered(engine, Answer(status=500), Answer(status=200)),
    "webhook_failed": lambda engine: _delivered(engine, *[Answer(status=500)] * 3),
    "webhook_gone": lambda engine: _delivered(engine, Answer(status=410)),
}
# Of a server that asks for a new run after 25 events.
CONTINUED: dict[str, Callable[[Engine], Awaitable[str]]] = {
    "continued_as_new": lambda engine: _ended(engine, "t_long"),
    "turns_continued": _turns_continued,
}
# Recorded with releases that did otherwise: they gave every call of one step and agent the same identity, they ignored
# signals in the second encoding of the Temporal UI, they failed calls of agents that their worker lacked, they
# shortened the keys of children within rounds and items to one part, and they asked people who cannot exist. No
# scenario can make them again.
EARLIER = (
    "asked_nobody",
    "called_again_unnumbered",
    "copied_before_adoption",
    "copied_with_prefix_before_adoption",
    "json_protobuf_ignored",
    "nested_children_shortened",
    "unknown_agent_failed",
    "unknown_short_agent_failed",
)


async def record(wanted: list[str]) -> None:
    """Write the histories named, each run of a continued job to a file of its own."""
    HISTORIES.mkdir(exist_ok=True)
    binary = await locate(os.environ)
    for scenarios, settings in ((SCENARIOS, {}), (CONTINUED, {"limit.historyCount.suggestContinueAsNew": 25})):
        with tempfile.TemporaryDirectory() as folder:  # One each: an index belongs to one Temporal server.
            async with (
                DevServer(binary, Path(folder), port=0, in_memory=True, settings=settings) as server,
                running_engine(server.address, Path(folder), PLUGINS, **WEBHOOKS) as engine,
            ):
                for name in [name for name in wanted if name in scenarios]:
                    await _write(engine, name, await scenarios[name](engine))


async def _write(engine: Engine, name: str, job_id: str) -> None:
    run_id: str | None = None
    number = 1
    while True:
        history = await engine.parts.backend.client.get_workflow_handle(job_id, run_id=run_id).fetch_history()
        path = HISTORIES / (f"{name}.json" if number == 1 else f"{name}_{number}.json")
        path.write_text(_anonymous(history.to_json()) + "\n")
        previous = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not previous:
            return
        run_id, number = previous, number + 1


def _anonymous(history: str) -> str:
    """The history without the names of the machine that it was recorded on; replay does not look at them."""
    history = re.sub(r'"identity": "[^"]*"', '"identity": "recorder"', history)
    return re.sub(r"/[^\s\"]*/(?=(lib/python|workflows/|orchestrator/|activities/|tests/))", "", history)


if __name__ == "__main__":
    possible = [*SCENARIOS, *CONTINUED]
    names = sys.argv[1:] or [name for name in possible if not (HISTORIES / f"{name}.json").exists()]
    if unknown := set(names) - set(possible):
        sys.exit(f"no scenario makes {', '.join(sorted(unknown))}; there are {', '.join(possible)}")
    asyncio.run(record(names))
    sys.stdout.flush()
    os._exit(0)
