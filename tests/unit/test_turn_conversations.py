"""Conversations in memory are those of the turn that asks for them; every other one comes from the store."""

from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, ToolCallPart

from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.ids import JobKind
from orchestrator.domain.plans import Step
from orchestrator.domain.turns import AgentTurn, ToolAnswer, TurnTask, result_digest
from orchestrator.runtime.recent import Recent
from orchestrator.runtime.turn_conversations import EarlierTurns, TurnConversations, conversation_name
from orchestrator.runtime.turn_messages import first_request, plain
from orchestrator.runtime.turn_records import StoredResult, TurnRecord, TurnRecords

TASK = AgentTask(
    job_id="job_1",
    definition="desk",
    kind=JobKind.AGENT,
    step=Step(id="ask", name="Ask", squad="desk", agents=("desk",)),
    agent="desk",
    input={},
)


class Store:
    """A store that counts how many bodies it returns."""

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {}
        self.read = 0

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        self.bodies[f"{job_id}/{name}"] = body
        return name

    async def get(self, artifact_id: str) -> dict[str, Any]:
        raise NotImplementedError

    async def named(self, job_id: str, names: Any) -> dict[str, dict[str, Any]]:
        found = {name: self.bodies[f"{job_id}/{name}"] for name in names if f"{job_id}/{name}" in self.bodies}
        self.read += len(found)
        return found


def record_of(number: int, text: str, *, ends: bool = False) -> TurnRecord:
    turn = None if ends else AgentTurn(number=number, max_turns=9, conversation=conversation_name())
    result = AgentResult(step="ask", agent="desk", summary="", output="", model="m", turn=turn)
    response = ModelResponse(parts=[ToolCallPart("look_up", {"name": text}, f"call_{number}")])
    return TurnRecord(digest="", messages=plain([first_request(text), response]), result=result)


def after(record: TurnRecord) -> TurnTask:
    turn = record.result.turn
    assert turn is not None
    return TurnTask(number=turn.number + 1, conversation=turn.conversation)


def texts_of(conversation: EarlierTurns) -> list[Any]:
    return [call.args["name"] for message in conversation.messages[1::2] for call in message.tool_calls]


async def two_turns(conversations: TurnConversations, *texts: str) -> TurnTask:
    """Make two turns, and return the task of the third."""
    turn, conversation = TurnTask(number=1), EarlierTurns()
    for number, text in enumerate(texts, 1):
        record = record_of(number, text)
        await conversations.keep(TASK, turn, conversation, record)
        turn = after(record)
        conversation = await conversations.before(TASK, turn)
    return turn


async def test_the_process_that_made_the_last_turn_reads_nothing_and_another_one_reads_the_same():
    store = Store()
    conversations = TurnConversations(TurnRecords(store))
    third = await two_turns(conversations, "one", "two")
    in_memory = await conversations.before(TASK, third)
    assert (store.read, texts_of(in_memory)) == (0, ["one", "two"])

    of_another_process = await TurnConversations(TurnRecords(store)).before(TASK, third)
    assert of_another_process == in_memory
    assert store.read == 2


async def test_a_turn_that_was_made_again_elsewhere_is_not_taken_from_memory():
    store = Store()
    here, elsewhere = TurnConversations(TurnRecords(store)), TurnConversations(TurnRecords(store))
    await two_turns(here, "one", "two")
    third = await two_turns(elsewhere, "one", "another two")
    assert texts_of(await here.before(TASK, third)) == ["one", "another two"]


async def test_turns_of_an_older_release_have_no_name_and_are_read_from_the_store():
    store = Store()
    conversations = TurnConversations(TurnRecords(store))
    await two_turns(conversations, "one", "two")
    assert texts_of(await conversations.before(TASK, TurnTask(number=3))) == ["one", "two"]


async def test_an_answered_conversation_leaves_memory():
    store = Store()
    conversations = TurnConversations(TurnRecords(store))
    third = await two_turns(conversations, "one", "two")
    so_far = await conversations.before(TASK, third)
    await conversations.keep(TASK, third, so_far, record_of(3, "done", ends=True))
    assert store.read == 0
    assert await conversations.before(TASK, third) == so_far
    assert store.read == 2


async def test_a_deleted_turn_is_a_lost_conversation():
    store = Store()
    third = await two_turns(TurnConversations(TurnRecords(store)), "one", "two")
    store.bodies.clear()
    with pytest.raises(AgentError, match="missing in the store") as caught:
        await TurnConversations(TurnRecords(store)).before(TASK, third)
    assert (caught.value.kind, caught.value.retryable) == ("conversation_lost", False)


async def test_results_in_memory_are_used_only_for_the_answer_whose_digest_they_have():
    store = Store()
    records = TurnRecords(store)
    here = StoredResult(run_id="r1", text="here")
    await records.keep_result("job_1", "a.desk.t1.1", here)
    same = ToolAnswer(number=1, stored="a.desk.t1.1", digest=result_digest("here"))
    assert await records.results_of("job_1", [same, ToolAnswer(number=2, text="no")]) == {"a.desk.t1.1": here}
    assert store.read == 0

    elsewhere = StoredResult(run_id="r2", text="elsewhere")
    await TurnRecords(store).keep_result("job_1", "a.desk.t1.1", elsewhere)
    other = ToolAnswer(number=1, stored="a.desk.t1.1", digest=result_digest("elsewhere"))
    assert await records.results_of("job_1", [other]) == {"a.desk.t1.1": elsewhere}


def test_the_value_that_was_not_used_for_longest_gives_way():
    recent = Recent[str, str](10)
    recent.add("a", "A", 4)
    recent.add("b", "B", 4)
    assert recent.get("a") == "A"
    recent.add("c", "C", 4)
    assert [recent.get(key) for key in "abc"] == ["A", None, "C"]
    recent.add("a", "larger than all may be", 11)
    assert [recent.get(key) for key in "abc"] == [None, None, "C"]
    recent.add("b", "B", 6)
    assert [recent.get(key) for key in "bc"] == ["B", "C"]
