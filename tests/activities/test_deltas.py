"""The text of a running call: what of a streamed answer a reader gets, in which pieces, and what a retry says."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.deltas import CallText
from orchestrator.bus.memory import MemoryBus
from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.deltas import Delta, DeltaKind
from orchestrator.domain.errors import AgentError
from orchestrator.domain.ports import TextSink
from orchestrator.runtime.answer_text import readable
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from orchestrator.testing import eventually
from tests.activities.test_agents import Bench, answering, make_result
from tests.activities.test_runtime import make_agent, make_task
from tests.fakes.openai_server import Answer, OpenAIServer
from tests.fakes.sink import Sink
from tests.ledger import ledger

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
TEXT = 'A "quoted" line,\na back\\slash, ünïcödé and 😀.\n' * 20
ANSWER = {"summary": "Done.", "output": TEXT, "deliverables": [{"path": "a.md", "content": "hidden"}]}


async def ask(*script: Answer) -> tuple[AgentResult, Sink]:
    sink = Sink()
    async with OpenAIServer(*script) as server:
        models = ModelSource(ModelConfig(llm_base_url=server.url, llm_api_key="key"))
        runner = AgentRunner(models, lambda: NOW)
        result = await runner.run(make_agent(), make_task(), attempt=1, progress=lambda _: None, sink=sink)
        await models.aclose()
    return result, sink


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ANSWER),
        json.dumps(ANSWER, ensure_ascii=False),
        json.dumps({"output": TEXT, "summary": "Done."}, indent=2),
    ],
)
@pytest.mark.parametrize("fence", [False, True])
def test_what_is_readable_only_grows_and_ends_as_the_output(body: str, fence: bool):
    raw = f"\n```json\n{body}\n```" if fence else body
    seen = ""
    for end in range(len(body) + 9 if fence else len(body) + 1):
        text = readable(raw[:end], structured=not fence)
        if text:  # a cut in the middle of an escape may tell nothing for a moment
            assert text.startswith(seen)
            seen = text
    assert seen == TEXT
    assert readable(raw, structured=not fence) == TEXT


def test_prose_is_readable_as_it_is():
    assert readable("  ", structured=False) == ""
    assert readable("``", structured=False) == ""
    assert readable("``python", structured=False) == "``python"
    assert readable("\n# Title\n\ntext", structured=False) == "\n# Title\n\ntext"


@pytest.mark.parametrize(
    "raw", ["[1]", "nonsense", '{"output": 3}', '{"output": {"a": 1}}', '{"summary": "x"}', '{"a": 1} x']
)
def test_an_answer_without_an_output_reports_nothing(raw: str):
    assert readable(raw, structured=True) == ""


@pytest.mark.parametrize("as_text", [False, True])
async def test_the_output_of_a_structured_answer_is_reported_and_nothing_else(as_text: bool):
    result, sink = await ask(Answer(ANSWER, as_text=as_text, pieces=50))
    assert sink.whole == result.output == TEXT
    assert None not in sink.sent


async def test_prose_is_reported_as_it_is():
    prose = "# Plan\n\nFirst this, then that.\n" * 10
    result, sink = await ask(Answer(prose, as_text=True, pieces=30))
    assert sink.whole == result.output == prose


async def test_a_thousand_tokens_are_some_tens_of_pieces():
    text = "word " * 1000
    _, sink = await ask(Answer({"summary": "s", "output": text}, pieces=1000))
    assert sink.whole == text
    assert 2 <= len(sink.pieces) <= 100


async def test_an_answer_that_does_not_fit_is_reset_before_the_next_one_is_reported():
    _, sink = await ask(Answer({"output": "first try"}), Answer({"summary": "s", "output": "second try"}))
    assert sink.sent.count(None) == 1
    place = sink.sent.index(None)
    assert "".join(str(piece) for piece in sink.sent[:place]) == "first try"
    assert sink.whole == "second try"


async def test_a_broken_stream_reported_nothing_that_did_not_arrive():
    sink = Sink()
    async with OpenAIServer(Answer(ANSWER, pieces=8, then="break")) as server:
        models = ModelSource(ModelConfig(llm_base_url=server.url, llm_api_key="key"))
        with pytest.raises(AgentError):
            await AgentRunner(models, lambda: NOW).run(
                make_agent(), make_task(), attempt=1, progress=lambda _: None, sink=sink
            )
        await models.aclose()
    assert TEXT.startswith(sink.whole)


async def test_text_is_reported_while_the_model_pauses():
    sink = Sink()
    async with OpenAIServer(Answer(ANSWER, pieces=8, then="hang")) as server:
        models = ModelSource(ModelConfig(llm_base_url=server.url, llm_api_key="key"))
        running = asyncio.create_task(
            AgentRunner(models, lambda: NOW).run(
                make_agent(), make_task(), attempt=1, progress=lambda _: None, sink=sink
            )
        )
        await eventually(lambda: asyncio.sleep(0, sink.whole), lambda whole: whole == TEXT)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await models.aclose()


async def test_the_offline_drafter_streams_its_draft():
    sink = Sink()
    models = ModelSource(ModelConfig())
    result = await AgentRunner(models, lambda: NOW).run(
        make_agent(), make_task(), attempt=1, progress=lambda _: None, sink=sink
    )
    await models.aclose()
    assert sink.whole == result.output
    assert len(sink.pieces) > 1


class Heard:
    """A bus that keeps everything."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def publish(self, delta: Delta) -> None:
        self.deltas.append(delta)

    subscribe = MemoryBus().subscribe


class Speaking:
    """An `AgentRuntime` that says one word twice."""

    async def run(self, agent: Agent, task: AgentTask, *, attempt: int, progress: Any, sink: TextSink) -> AgentResult:
        sink.text("one ")
        sink.reset()
        sink.text("two")
        return make_result()


def speaking(attempt: int, **more: Any) -> tuple[Bench, Heard]:
    heard = Heard()
    return Bench(answering(), runtime=Speaking(), bus=heard, attempt=attempt, **more), heard


@ledger("D-062")
async def test_a_first_attempt_counts_its_pieces_from_zero():
    bench, heard = speaking(attempt=1)
    await bench.run()
    assert [(delta.index, delta.kind, delta.text) for delta in heard.deltas] == [
        (0, DeltaKind.TEXT, "one "),
        (1, DeltaKind.RESET, ""),
        (2, DeltaKind.TEXT, "two"),
    ]
    assert {(delta.job_id, delta.step, delta.agent, delta.attempt) for delta in heard.deltas} == {
        ("job_1", "write", "writer", 1)
    }


async def test_a_retry_begins_with_a_reset():
    bench, heard = speaking(attempt=2)
    await bench.run()
    assert [(delta.attempt, delta.index, delta.kind) for delta in heard.deltas[:2]] == [
        (2, 0, DeltaKind.RESET),
        (2, 1, DeltaKind.TEXT),
    ]


async def test_a_function_agent_says_nothing_on_its_own():
    async def function(_: Any) -> AgentOutput:
        raise AssertionError("the runtime is the test's")

    heard = Heard()
    bench = Bench(answering(), bus=heard, attempt=2, function=function)
    await bench.run()
    assert heard.deltas == []


async def test_a_call_knows_of_the_readers_of_its_job_alone():
    bus = MemoryBus()
    reading = asyncio.ensure_future(anext(bus.subscribe("job_1")))
    await eventually(lambda: bus.has_readers("job_1"), bool)
    tasks = [make_task(job_id=job_id) for job_id in ("job_1", "job_2")]
    assert [await CallText(bus, task, "writer", 1).is_read() for task in tasks] == [True, False]
    reading.cancel()
