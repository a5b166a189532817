"""Runs one turn of an agent with tools: exactly one model request (decision 0035)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic_ai import ModelSettings
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.usage import RunUsage

from orchestrator.domain.agents import Agent, AgentOutput, Deliverable
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError, Unavailable
from orchestrator.domain.file_names import names_a_file
from orchestrator.domain.moments import stamp
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.domain.steps import TIME_SHARE
from orchestrator.domain.tools import AgentTool, Files
from orchestrator.domain.turns import ARGUMENT_BYTES, ARGUMENTS_BYTES, AgentTurn, ToolRequest, TurnTask
from orchestrator.domain.usage import Usage
from orchestrator.runtime.answer_text import AnswerText
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.errors import STREAM_STOPPED, TIMED_OUT, TRUNCATED, agent_error
from orchestrator.runtime.lengths import Length
from orchestrator.runtime.mcp_tools import McpTools
from orchestrator.runtime.models import ModelSource
from orchestrator.runtime.output_models import InvalidAnswer, read, read_text
from orchestrator.runtime.prompts import user_prompt
from orchestrator.runtime.requests import answer_tool, response_of
from orchestrator.runtime.responses import is_whole, says_nothing
from orchestrator.runtime.results import agent_result
from orchestrator.runtime.toolbox import Offer, beginning, offers
from orchestrator.runtime.turn_conversations import EarlierTurns, TurnConversations, conversation_name
from orchestrator.runtime.turn_messages import (
    ANSWER_TOOL,
    FRAMING,
    arguments_of,
    calls_of,
    first_request,
    messages_of,
    next_request,
    plain,
    text_of,
)
from orchestrator.runtime.turn_records import ListedTools, TurnRecord, TurnRecords, digest_of, turn_id
from orchestrator.runtime.usage import provider_cost_of, usage_of

# So many turns in a row may have nothing but faults. The next one fails the call.
_MAX_INVALID: Final = 2
_MIN_SHOWN: Final = 60  # Characters of the arguments of a call that people see at least.
_FIRST: Final = TurnTask(number=1)


@dataclass(slots=True)
class _Turn:
    """One turn while it runs. `conversation` is what was said before its request."""

    agent: Agent
    task: AgentTask
    turn: TurnTask
    digest: str
    conversation: EarlierTurns
    request: ModelRequest
    box: list[Offer]
    cut: bool
    is_repeated: bool

    @property
    def is_last(self) -> bool:
        return bool(self.turn.last)


class TurnRunner:
    """Makes turns: reads the conversation, asks the model once, stores what it said."""

    def __init__(
        self,
        models: ModelSource,
        records: TurnRecords,
        mcp_tools: McpTools,
        catalogue: Catalogue,
        *,
        clock: Callable[[], datetime],
        bulkhead: Bulkhead,
    ) -> None:
        self._models = models
        self._records = records
        self._conversations = TurnConversations(records)
        self._mcp_tools = mcp_tools
        self._catalogue = catalogue
        self._clock = clock
        self._bulkhead = bulkhead

    async def run(self, agent: Agent, task: AgentTask, *, attempt: int, answer_text: AnswerText) -> AgentResult:
        """Run one attempt of one turn. A repeated attempt first looks for the response that an earlier one stored.

        The result has `turn` if the model asks for tools, or must correct itself. Raises `AgentError`.
        """
        turn = task.turn or _FIRST
        prompt = user_prompt(task)
        conversation = await self._conversations.before(task, turn)
        digest = digest_of(prompt, conversation.last, turn.answers)
        is_repeated = attempt > task.earlier + 1
        if is_repeated:
            stored = await self._records.turn(task.job_id, turn_id(task, turn.number))
            if stored is not None and stored.digest == digest:
                return stored.result
        request, cut = first_request(prompt), False
        if conversation.last is not None:
            results = await self._records.results_of(task.job_id, turn.answers)
            request, cut = next_request(conversation.last, turn.answers, results, turn.last)
        cut = cut or any(record.cut for record in conversation.records)
        listed = await self._mcp_tools.listed(agent, task)
        box = self._box(agent, listed, cut=cut)
        current_turn = _Turn(agent, task, turn, digest, conversation, request, box, cut, is_repeated)
        record = await self._ask(current_turn, answer_text, prompt)
        if listed.changed and turn.number == 1:
            record.result = record.result.model_copy(update={"changed_tools": listed.changed})
        try:
            await self._conversations.keep(task, turn, conversation, record)
        except Unavailable as error:  # The model has answered: its answer is billed.
            usage = record.result.usage
            raise AgentError(error.message, kind=error.code, retryable=True, usage=usage) from error
        return record.result

    def _box(self, agent: Agent, listed: ListedTools, *, cut: bool) -> list[Offer]:
        """The agent's tools."""
        targets = [tool.agent for tool in agent.tools if isinstance(tool, AgentTool)]
        agents = {target: self._catalogue.agent(target) for target in targets}
        return offers(agent, listed.servers, agents=agents, cut=cut)

    async def _ask(self, turn: _Turn, answer_text: AnswerText, prompt: str) -> TurnRecord:
        """Make the one request of a turn."""
        agent, task = turn.agent, turn.task
        model = self._models.model_for(agent, task)
        length = Length.of(agent, task, prompt if task.turn is None else "x" * 4 * turn.turn.tokens)
        limit = task.step.timeouts.start_to_close * TIME_SHARE
        response: ModelResponse | None = None
        try:
            async with asyncio.timeout(limit):
                response = await self._respond(turn, model, length, answer_text, limit)
        except TimeoutError:
            raise AgentError(TIMED_OUT, kind="provider_timeout", retryable=True) from None
        except AgentError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the model layer: a gateway's response can break it anywhere
            # `from None`: the provider's error contains the request and the whole body.
            raise agent_error(error, secrets=self._models.secrets) from None
        usage = self._usage(agent, model, response)
        if model.model_name != OFFLINE_MODEL:
            _check(response, length, usage)
        try:
            return await self._record(turn, model, response, usage)
        except AgentError as error:
            error.usage = error.usage or usage
            raise
        except Exception as error:
            # The model has answered: what it said is paid, and another attempt would pay again.
            raise agent_error(error, answered=True, secrets=self._models.secrets, usage=usage) from error

    async def _respond(
        self, turn: _Turn, model: Model, length: Length, answer_text: AnswerText, seconds: float
    ) -> ModelResponse:
        agent = turn.agent
        request = replace(turn.request, instructions=f"{agent.instructions or agent.description}\n\n{FRAMING}")
        settings = ModelSettings(temperature=_temperature(agent, turn.task), max_tokens=length.tokens)
        if turn.is_last and model.profile.get("supports_forced_tool_choice", True):
            settings["tool_choice"] = [ANSWER_TOOL]
        parameters = ModelRequestParameters(
            function_tools=[] if turn.is_last else [offer.definition() for offer in turn.box],
            output_mode="tool",
            output_tools=[answer_tool(agent.output_model)],
            allow_text_output=True,
        )
        return await response_of(
            model,
            [*turn.conversation.messages, request],
            settings=settings,
            parameters=parameters,
            answer_text=answer_text,
            seconds=seconds,
            stream=turn.is_repeated or self._models.streams,
        )

    def _usage(self, agent: Agent, model: Model, response: ModelResponse) -> Usage:
        run_usage = RunUsage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)
        cost = 0.0 if model.model_name == OFFLINE_MODEL else provider_cost_of([response])
        return usage_of(agent, run_usage, cost)

    async def _record(self, turn: _Turn, model: Model, response: ModelResponse, usage: Usage) -> TurnRecord:
        """Read the response: an answer, tool calls, or faults that the model can correct."""
        agent = turn.agent
        calls = calls_of(response)
        answers = [call for call in calls if call.tool_name == ANSWER_TOOL]
        uses: list[ToolRequest] = []
        faults: dict[int, str] = {}
        correction = ""
        output: AgentOutput | None = None
        if answers or not calls:
            read_answer = await self._answer(agent, answers[0] if answers else None, text_of(response))
            if isinstance(read_answer, InvalidAnswer):
                correction = read_answer.correction
            else:
                output = read_answer
        if output is None:
            uses, faults = await self._uses(turn, calls)
        answered_by = response.model_name or model.model_name
        messages = plain([turn.request, response])
        if output is not None:
            result = await self._final(turn, output, response, usage, answered_by)
        else:
            result = self._unfinished(turn, uses, correction, usage, answered_by)
        return TurnRecord(
            digest=turn.digest, messages=messages, faults=faults, correction=correction, cut=turn.cut, result=result
        )

    async def _answer(self, agent: Agent, call: ToolCallPart | None, text: str) -> AgentOutput | InvalidAnswer:
        if call is None:
            reading = partial(read_text, agent.output_model, text)
            return await self._bulkhead.watch(agent.id, reading, model=agent.output_model)
        arguments = arguments_of(call)
        if arguments is None:
            return InvalidAnswer("The arguments are not a JSON object.", "answer: not a JSON object")
        reading = partial(read, agent.output_model, arguments)
        return await self._bulkhead.watch(agent.id, reading, model=agent.output_model)

    async def _uses(self, turn: _Turn, calls: Sequence[ToolCallPart]) -> tuple[list[ToolRequest], dict[int, str]]:
        """The tool calls for the workflow, their arguments checked before anything is scheduled."""
        box = {offer.name: offer for offer in turn.box}
        uses: list[ToolRequest] = []
        faults: dict[int, str] = {}
        room = min(ARGUMENT_BYTES, ARGUMENTS_BYTES // max(1, len(calls)))
        for number, call in enumerate(calls, 1):
            if call.tool_name == ANSWER_TOOL:
                continue
            offer, arguments = box.get(call.tool_name), arguments_of(call)
            fault: str | None
            asks = False
            if offer is None or turn.is_last:
                fault = f"There is no tool {call.tool_name[:64]!r}. Your tools: {', '.join(box)}, {ANSWER_TOOL}."
            elif arguments is None:
                fault = "The arguments are not a JSON object."
            else:
                fault = await self._bulkhead.watch(
                    turn.agent.id, partial(offer.fault, arguments), model=offer.arguments
                )
                if not fault and offer.use.ask_before:
                    asks = await self._bulkhead.watch(turn.agent.id, partial(offer.asks, arguments), model=None)
            if fault:
                faults[number] = fault
            uses.append(_use(offer, call, number, arguments or {}, fault, asks=asks, room=room))
        return uses, faults

    def _unfinished(
        self, turn: _Turn, uses: list[ToolRequest], correction: str, usage: Usage, model: str
    ) -> AgentResult:
        invalid = 0 if any(use.fault is None for use in uses) else turn.turn.invalid + 1
        if invalid > _MAX_INVALID:
            fault = correction or next((use.fault for use in uses if use.fault), "")
            message = f"The model's answer does not fit, even after {_MAX_INVALID} requests to correct it: {fault}"
            raise AgentError(message[:500], kind="malformed_output", retryable=False, usage=usage)
        return AgentResult(
            step=turn.task.step.id,
            agent=turn.agent.id,
            call=turn.task.call,
            key=turn.task.key,
            summary="",
            output="",
            usage=usage,
            model=model,
            turn=AgentTurn(
                number=turn.turn.number,
                calls=uses,
                max_turns=turn.agent.max_turns,
                max_cost=turn.agent.max_cost,
                tokens=usage.total_tokens,
                invalid=invalid,
                conversation=conversation_name(),
                counts_attempts=True,
            ),
        )

    async def _final(
        self, turn: _Turn, output: AgentOutput, response: ModelResponse, usage: Usage, model: str
    ) -> AgentResult:
        notes: dict[str, Any] = {"timestamp": stamp(self._clock()), "turns": turn.turn.number}
        if turn.is_last or response.finish_reason == "length":
            notes["truncated"] = True
        if model == OFFLINE_MODEL:
            notes["offline"] = True
        result = await self._bulkhead.watch(
            turn.agent.id,
            partial(agent_result, turn.agent, turn.task, output, usage=usage, model=model, metadata=notes),
            model=turn.agent.output_model,
        )
        if not any(isinstance(toolset, Files) for toolset in turn.agent.toolsets):
            return result
        return result.model_copy(update={"deliverables": _with_files(turn, result.deliverables)})


def _use(
    offer: Offer | None,
    call: ToolCallPart,
    number: int,
    arguments: dict[str, Any],
    fault: str | None,
    *,
    asks: bool,
    room: int,
) -> ToolRequest:
    """The call for the workflow, with arguments of at most `room` bytes. One that a person is asked for runs alone."""
    template = offer.use if offer else ToolRequest(number=number, tool=call.tool_name[:64])
    is_long = len(str(call.args).encode(errors="replace")) > room
    # Workflow code needs the others itself.
    long = is_long and template.kind == "function" and not asks
    return template.model_copy(
        update={
            "number": number,
            "arguments": {} if long or fault else arguments,
            "stored": long and not fault,
            "shown": beginning(arguments)[: max(_MIN_SHOWN, room)],
            "fault": fault[:500] if fault else None,
            "ask_before": asks,
            "sequential": template.sequential or asks,
            "parameters": template.parameters if asks or template.kind == "question" else None,
        }
    )


def _with_files(turn: _Turn, deliverables: list[Deliverable]) -> list[Deliverable]:
    """The deliverables of the answer, after the files that the agent wrote; the last version of each counts."""
    files: dict[str, Deliverable] = {}
    answered = {answer.number for answer in turn.turn.answers if answer.status == "completed"}
    records = turn.conversation.records
    for place, record in enumerate(records):
        is_newest = place == len(records) - 1
        for number, call in enumerate(calls_of(messages_of(record)[-1]), 1):
            is_made = number in answered if is_newest else number not in record.faults
            arguments = arguments_of(call)
            if call.tool_name == "write_file" and is_made and arguments:
                file = Deliverable.model_validate(arguments)
                if names_a_file(str(arguments.get("path", ""))):
                    files[file.path] = file
    for file in deliverables:
        files[file.path] = file
    return list(files.values())


def _check(response: ModelResponse, length: Length, usage: Usage) -> None:
    """Raise `AgentError` for a response that is no whole one."""
    if response.finish_reason == "content_filter":
        message = "The provider's content filter cut the answer off."
        raise AgentError(message, kind="content_filtered", retryable=False, usage=usage)
    if not is_whole(response):
        raise AgentError(STREAM_STOPPED, kind="provider_unreachable", retryable=True, usage=usage)
    if response.finish_reason == "length":
        if length.cut:
            raise length.exceeded(usage)
        if response.tool_calls:
            raise AgentError(TRUNCATED, kind="output_truncated", retryable=False, usage=usage)
    if says_nothing(response):
        raise AgentError(
            "The model returned an empty answer. Try another model.",
            kind="malformed_output",
            retryable=False,
            usage=usage,
        )


def _temperature(agent: Agent, task: AgentTask) -> float:
    requested = task.config.temperature
    return agent.settings.default_temperature if requested is None else requested
