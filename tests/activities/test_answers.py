"""Answers that do not come as they should: repaired if they can be, refused once if not, never paid for ten times."""

import json
import os
from typing import Any

import pytest
from pydantic import field_serializer
from structlog.testing import capture_logs

from orchestrator.domain.agents import Agent, AgentOutput, Deliverable
from orchestrator.domain.commands import AgentResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.usage import Usage
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from tests.activities.test_runtime import ANSWER, BOTH, KEY, NOW, Estimate, failure_of, make_agent, make_task, run_on
from tests.fakes.openai_server import Answer, Failure, OpenAIServer, Page
from tests.fakes.sink import Sink

FITTING = json.dumps({"summary": "s", "output": "o", "hours": 3})


async def answered(*script: Answer | Failure | Page, agent: Agent | None = None, reader: bool = True) -> AgentResult:
    """The result of a call that took one request."""
    async with OpenAIServer(*script) as server:
        result: AgentResult = await run_on(server, agent=agent, sink=Sink(reader=reader))
    assert len(server.received) == 1
    AgentResult.model_validate_json(result.model_dump_json())
    return result


async def returned(output: Any, model: type[AgentOutput] = AgentOutput) -> AgentResult:
    """What becomes of that which a function agent returns."""

    async def act(_: Any) -> Any:
        return output

    models = ModelSource(ModelConfig())
    agent = make_agent(function=act, output_model=model)
    try:
        result = await AgentRunner(models, lambda: NOW).run(
            agent, make_task(), attempt=1, progress=lambda _: None, sink=Sink()
        )
    finally:
        await models.aclose()
    AgentResult.model_validate_json(result.model_dump_json())
    return result


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (Answer("half \ud83d.", as_text=True), "half \ufffd."),
        (Answer("cut \ud83d\ude00.", as_text=True, pieces=7), "cut 😀."),
        (Answer({"summary": "s", "output": "half \ud83d."}), "half \ufffd."),
        (Answer({"summary": "s", "output": "cut \ud83d\ude00."}, pieces=60), "cut 😀."),
        (Answer('{"summary": "s", "output": "a \\\\ud83d backslash"}'), "a \\ud83d backslash"),
        (Answer({"summary": "s", "output": "n\0ul"}), "nul"),
        (Answer('{"summary": "s", "output": "two\nlines"}'), "two\nlines"),
    ],
)
@BOTH
async def test_text_is_made_sound_after_one_request(answer: Answer, output: str, reader: bool) -> None:
    assert (await answered(answer, reader=reader)).output == output


@pytest.mark.parametrize(
    "text",
    [
        f"{FITTING}\n\nHope this helps!",
        f"Sure, here it is:\n```json\n{FITTING}\n```\nHope this helps!",
        f"```\n{FITTING}\n```",
        f"[{FITTING}]",
        FITTING.replace('"o"', '"o\n"'),
    ],
)
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "arguments"])
async def test_json_is_found_where_it_is(text: str, as_text: bool) -> None:
    result = await answered(Answer(text, as_text=as_text), agent=make_agent(output_model=Estimate))
    assert (result.summary, result.output.strip(), result.data) == ("s", "o", {"hours": 3})


async def test_arguments_written_as_json_within_a_text_are_read() -> None:
    assert (await answered(Answer(json.dumps(FITTING)), agent=make_agent(output_model=Estimate))).data == {"hours": 3}


async def test_of_several_objects_the_one_that_fits_is_the_answer() -> None:
    text = f'The object {{"hours": 1}} would be too small, so: {FITTING}'
    assert (await answered(Answer(text, as_text=True), agent=make_agent(output_model=Estimate))).data == {"hours": 3}


async def test_json_that_is_a_part_of_prose_stays_there() -> None:
    text = 'Call it with `{"id": 1}`, or with {"summary": 3}.'
    assert (await answered(Answer(text, as_text=True))).output == text


async def test_a_text_of_braces_is_read_in_good_time() -> None:
    text = "# Braces\n" + '{"a":' * 40_000
    assert (await answered(Answer(text, as_text=True))).output == text


async def test_names_of_files_are_made_safe_and_unique() -> None:
    names = ["docs/Bericht für Q3.md", "../plan.md", "plan.md", "/plan.md", ""]
    files = [{"path": name, "content": name} for name in names]
    result = await answered(Answer({"summary": "s", "output": "o", "deliverables": files}))
    kept = [(file.path, file.content) for file in result.deliverables]
    expected = ["docs/Bericht für Q3.md", "plan.md", "plan-2.md", "plan-3.md", "unnamed"]
    assert kept == list(zip(expected, names, strict=True))


@pytest.mark.parametrize(
    "answer", [Answer("", as_text=True), Answer(" \n", as_text=True)], ids=["no text", "blank text"]
)
async def test_an_answer_with_nothing_in_it_ends_in_our_words_after_two_requests(answer: Answer) -> None:
    error, server = await failure_of(answer)
    assert (error.kind, error.retryable) == ("malformed_output", False)
    assert error.message == "The model returned an empty answer twice. Try another model."
    assert len(server.received) == 2


async def test_an_answer_that_stays_malformed_names_what_does_not_fit() -> None:
    error, server = await failure_of(Answer({"summary": 3, "output": "o"}))
    assert (error.kind, error.retryable) == ("malformed_output", False)
    assert "summary: Input should be a valid string" in error.message
    assert "maximum" not in error.message
    assert len(server.received) == 2


async def test_a_stream_that_breaks_off_in_arguments_is_no_malformed_answer() -> None:
    error, _ = await failure_of(Answer('{"summary": ', then="stop"))
    assert (error.kind, error.retryable) == ("provider_unreachable", True)


@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize("count", [2**63, -5, 2**200])
async def test_a_count_that_cannot_be_is_left_out_with_a_line_in_the_log(count: int) -> None:
    with capture_logs() as lines:
        result = await answered(Answer(ANSWER, prompt_tokens=count))
    assert result.usage.prompt_tokens == 0
    assert result.usage.cost is None
    if count > 0:  # The provider's client leaves a negative one out itself.
        assert [line["event"] for line in lines] == ["usage_left_out"]


@pytest.mark.parametrize(
    ("page", "kind", "retryable", "said"),
    [
        (Page('{"error": {"code": 502, "message": "upstream"}}'), "provider_unavailable", True, "upstream"),
        (Page('{"error": {"code": "503", "message": "busy"}}'), "provider_unavailable", True, "busy"),
        (Page('{"error": {"message": "bad"}, "status": 400}'), "provider_rejected", False, "bad"),
        (Page('{"error": {"code": 429, "message": "slow"}}'), "provider_rate_limited", True, "slow"),
        (Page('{"error": {"code": 401, "message": "who"}}'), "provider_authentication", False, "credentials"),
        (Page('{"error": {"code": "insufficient_quota", "message": "q"}}'), "quota_exhausted", False, "quota"),
        (Page('{"error": "just words"}'), "provider_unavailable", True, "just words"),
        (Page("<html><title>Sign &amp; in</title>", "text/html"), "provider_unavailable", True, "'Sign & in'"),
        (Page("", "text/plain"), "provider_unavailable", True, "base URL"),
        (Page('{"choices": []}'), "provider_rejected", False, "one document"),
        (Page('data: {"error": {"code": 400}}\n\n', "text/event-stream"), "provider_rejected", False, "rejected"),
        (Page('data: {"error": {"code": 502, "message": "in"}}\n\n', "text/plain"), "provider_unavailable", True, "in"),
        (Page('data: {"choices": [{"delta": 3}]}\n\n', "text/event-stream"), "provider_unavailable", True, "read"),
    ],
)
async def test_what_a_gateway_says_with_status_200_is_sorted_after_one_request(
    page: Page, kind: str, retryable: bool, said: str
) -> None:
    async with OpenAIServer(page) as server:
        with pytest.raises(AgentError) as failed:
            await run_on(server)
    assert (failed.value.kind, failed.value.retryable) == (kind, retryable)
    assert said in failed.value.message
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("page", "kind", "retryable", "said"),
    [
        (Page('{"error": {"code": 502, "message": "upstream"}}'), "provider_unavailable", True, "upstream"),
        (Page('{"error": {"message": "bad"}, "status": 400}'), "provider_rejected", False, "bad"),
        (Page('{"choices": null, "error": {"code": 429, "message": "s"}}'), "provider_rate_limited", True, "s"),
        (Page("<html><title>Sign &amp; in</title>", "text/html"), "provider_unavailable", True, "'Sign & in'"),
        (Page("", "text/plain"), "provider_unavailable", True, "base URL"),
        (Page('{"choices": []}'), "provider_rejected", False, "without an answer"),
        (Page('{"choices": [{"message": 3}]}'), "provider_rejected", False, "without an answer"),
        (Page('data: {"choices": []}\n\n', "text/event-stream"), "provider_unavailable", True, "with a stream"),
    ],
)
async def test_what_a_gateway_says_in_place_of_one_document_is_sorted_after_one_request(
    page: Page, kind: str, retryable: bool, said: str
) -> None:
    async with OpenAIServer(page) as server:
        with pytest.raises(AgentError) as failed:
            await run_on(server, sink=Sink(reader=False))
    assert (failed.value.kind, failed.value.retryable) == (kind, retryable)
    assert said in failed.value.message
    assert len(server.received) == 1


async def test_the_body_of_a_gateway_is_cut_and_its_secrets_are_masked() -> None:
    page = Page(json.dumps({"error": {"code": 502, "message": f"Bearer {KEY} \ud83d " + "x" * 10**6}}))
    async with OpenAIServer(page) as server:
        with pytest.raises(AgentError) as failed:
            await run_on(server)
    assert KEY not in failed.value.message
    assert len(failed.value.message) <= 300
    failed.value.message.encode()


class Data(AgentOutput):
    """An output model that takes anything."""

    data: Any = None


class Angry(AgentOutput):
    """An output model whose serializer raises."""

    data: int = 0

    @field_serializer("data")
    def _write(self, value: int) -> int:
        raise LookupError(f"x{value}" * 10**6)


class Foreign:
    """Nothing that JSON knows."""


def circle() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "output",
    [
        Data(summary="s", output="o", data=b"\xff\xfe"),
        Data(summary="s", output="o", data=circle()),
        Data(summary="s", output="o", data=Foreign()),
        Data(summary="s", output="o", data=deep(500)),
        Data(summary="s", output="o", data=deep(150)),
        Data(summary="s", output="o", data=2**100_000),
        Angry(summary="s", output="o"),
        AgentOutput.model_construct(summary=3, output=None, deliverables=[]),
        AgentOutput.model_construct(output="o"),
        {"summary": "s", "output": "o"},
        None,
        type("\x1b" + "x" * 10**6, (), {})(),
    ],
    ids=[
        "bytes",
        "circle",
        "foreign",
        "deep",
        "hard to read",
        "huge",
        "angry",
        "types",
        "missing",
        "dict",
        "none",
        "odd",
    ],
)
async def test_what_cannot_be_carried_is_malformed_and_not_repeated(output: Any) -> None:
    with pytest.raises(AgentError) as failed:
        await returned(output, Data)
    assert (failed.value.kind, failed.value.retryable) == ("malformed_output", False)
    assert "product_manager" in failed.value.message
    assert len(failed.value.message) < 3000


async def test_what_a_function_says_is_made_sound() -> None:
    undecodable = os.fsdecode(b"caf\xe9.txt")
    output = Data(
        summary="s" * 9000,
        output=f"{undecodable}\0",
        data={undecodable: [float("nan"), float("inf"), -float("inf"), 1.5], "set": {1}},
        deliverables=[Deliverable(path=undecodable, media_type="text/\nplain", content="\ud83d")],
    )
    result = await returned(output, Data)
    assert result.output == "caf\ufffd.txt"
    assert result.data == {"data": {"caf\ufffd.txt": [None, None, None, 1.5], "set": [1]}}
    assert len(result.summary) <= 2000
    assert result.deliverables == [Deliverable(path="caf\ufffd.txt", media_type="text/ plain", content="\ufffd")]


async def test_an_answer_may_be_as_deep_as_every_reader_takes() -> None:
    assert (await returned(Data(summary="s", output="o", data=deep(90)), Data)).data == {"data": deep(90)}


def test_usage_is_believed_as_far_as_it_can_be() -> None:
    odd = Usage(prompt_tokens=-1, completion_tokens=5, cost=1.0, provider_cost=float("inf"))
    assert odd.believable() == Usage(completion_tokens=5)
    right = Usage(prompt_tokens=10, completion_tokens=5, cost=1.0)
    assert right.believable() is right
    assert Usage(prompt_tokens=1, cost=float("nan")).believable() == Usage(prompt_tokens=1)
