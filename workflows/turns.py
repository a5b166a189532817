"""The loop of turns of an agent with tools: requests and tool calls are activities of their own (decision 0035)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception

from workflows.attempts import counted
from workflows.notes import note
from workflows.questions import questions_of_run
from workflows.spending import Spending
from workflows.tasks import stop

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.call_ids import CallId
    from orchestrator.domain.commands import AgentResult, AgentTask
    from orchestrator.domain.names import HEADER_TURNS
    from orchestrator.domain.notes import ToolChanged
    from orchestrator.domain.questions import PersonAnswer, PersonQuestion, tool_question
    from orchestrator.domain.tally import CUT_OFF, Tally
    from orchestrator.domain.text import cut, headline
    from orchestrator.domain.turns import (
        DETAIL_FALLBACK,
        FAILED_LEAD,
        MAX_DEPTH,
        MAX_PARALLEL,
        MCP_TOOL_CHANGED,
        MODEL_BYTES,
        TOOL_FAILED,
        AgentTurn,
        ChangedTool,
        ToolAnswer,
        ToolRequest,
        ToolResult,
        ToolTask,
        TurnState,
        TurnTask,
        tool_type,
    )
    from orchestrator.domain.usage import Usage

_OUTCOME_UNKNOWN: Final = (
    "It is unknown whether this call had its effect, because its worker died or its time ran out. "
    "Find out before you repeat it."
)


class Make(Protocol):
    """Makes one request as an activity."""

    async def __call__(self, task: AgentTask, /) -> AgentResult:
        """The answer, or the tool calls that the model asks for."""


class CallAgent(Protocol):
    """Calls another agent for a tool call, under the key that the call's id gives it."""

    async def __call__(self, use: ToolRequest, id: CallId, above: Spending, /) -> AgentResult:
        """The answer of that agent. What it spends counts into `above`, too."""


@dataclass(slots=True)
class Loops:
    """The loops of one run. A loop that waits between two turns is parked: while the job is paused, or before the job
    continues as a new run (`is_draining`)."""

    is_paused: Callable[[], bool] = field(default=lambda: False)
    is_draining: Callable[[], bool] = field(default=lambda: False)
    open_calls: int = 0
    asking: int = 0
    parked: dict[str, TurnState] = field(default_factory=dict)
    carried: list[TurnState] = field(default_factory=list)

    def may_go_on(self) -> bool:
        """Whether the next turn may begin. While a tool call waits for a person, no run can end: other loops go on."""
        return not self.is_paused() and (not self.is_draining() or self.asking > 0)

    def all_parked(self) -> bool:
        """Whether every open call waits between two turns, so that another run can continue it."""
        return bool(self.parked) and self.open_calls == len(self.parked)


def loops() -> Loops:
    """The loops of this run, with those that the run before could not finish."""
    # Kept at the run's event loop, because the sandbox has its own copy of this module.
    run = vars(asyncio.get_running_loop())
    if HEADER_TURNS not in run:
        payload = workflow.info().headers.get(HEADER_TURNS)
        convert = workflow.payload_converter().from_payload
        run[HEADER_TURNS] = Loops(carried=[] if payload is None else convert(payload, list[TurnState]))
    registry: Loops = run[HEADER_TURNS]
    return registry


def header() -> list[TurnState]:
    """What the run that continues this one needs."""
    registry = loops()
    return [*registry.parked.values(), *registry.carried]


def carried_state(step: str, agent: str, key: str) -> TurnState | None:
    """The state of a call that an earlier run of the job began, if this is the first call of that name in this run."""
    registry = loops()
    for state in registry.carried:
        id = CallId.parse(state.call)
        if id is not None and (id.step, id.agent, id.key) == (step, agent, key):
            registry.carried.remove(state)
            return state
    return None


async def answer(
    task: AgentTask, state: TurnState | None, make: Make, call_agent: CallAgent, above: Spending | None = None
) -> AgentResult:
    """Make requests and tool calls until the agent answers. An agent without tools answers at once.

    `above` is the spending of the agent that called this one as a tool.
    Raises the `ActivityError` of a request that failed with every model.
    """
    registry = loops()
    registry.open_calls += 1
    try:
        return await _Loop(task, make, call_agent, registry, Spending(above)).run(state)
    finally:
        registry.open_calls -= 1


class _Loop:
    def __init__(self, task: AgentTask, make: Make, call_agent: CallAgent, registry: Loops, spending: Spending) -> None:
        self._task = task
        self._make = make
        self._call_agent = call_agent
        self._registry = registry
        self._id = task.call_id._replace(path="")
        self._usage = Usage()
        self._spending = spending
        self._attempts = 0
        self._fallback = 0
        self._model: str | None = None

    async def run(self, state: TurnState | None) -> AgentResult:
        if state is None:
            result = await self._request(self._task)
        else:
            self._usage, self._spending.usd = state.usage, state.spent
            self._attempts, self._fallback, self._model = state.attempts, state.fallback, state.model
            result = await self._request(await self._next_task(state.next))
        while result.turn is not None:
            self._usage = self._usage.plus(result.usage)
            self._spending.limit = result.turn.max_cost
            answers = await self._answers(result.turn)
            result = await self._request(await self._next_task(self._next_turn(result, result.turn, answers)))
        if not self._usage.total_tokens and self._usage.cost is None:
            return result
        return result.model_copy(update={"usage": self._usage.plus(result.usage)})

    def _next_turn(self, result: AgentResult, turn: AgentTurn, answers: list[ToolAnswer]) -> TurnTask:
        last = "cost" if self._spending.is_over() else "turns" if turn.number >= turn.max_turns else ""
        sizes = sum(len(answer.text) or MODEL_BYTES // 4 for answer in answers)
        return TurnTask(
            number=turn.number + 1,
            answers=answers,
            last=last,
            tokens=turn.tokens + sizes // 4,
            invalid=turn.invalid,
            conversation=turn.conversation,
        )

    async def _next_task(self, turn: TurnTask) -> AgentTask:
        """The task of a turn, once the run may go on. The messages so far are stored: input and context stay out."""
        id = str(self._id)
        self._registry.parked[id] = TurnState(
            call=id,
            next=turn,
            usage=self._usage,
            spent=self._spending.usd,
            attempts=self._attempts,
            fallback=self._fallback,
            model=self._model,
        )
        await workflow.wait_condition(self._registry.may_go_on)
        del self._registry.parked[id]
        # A parked loop ends with its run: only a loop that goes on is removed, so that the next run gets the others.
        step = self._task.step.model_copy(update={"instruction": "", "short": False})
        return self._task.model_copy(update={"step": step, "turn": turn, "input": {}, "context": []})

    async def _request(self, task: AgentTask) -> AgentResult:
        """Make one request; after its last attempt, with the next model that the error names."""
        while True:
            path = f"t{task.turn.number if task.turn else 1}" if task.turn or self._fallback else ""
            if self._fallback:
                path += f"m{self._fallback + 1}"
            config = task.config.model_copy(update={"model": self._model}) if self._model else task.config
            changes = {"path": path, "earlier": self._attempts, "fallback": self._fallback, "config": config}
            try:
                result = await self._make(task.model_copy(update=changes))
            except ActivityError as error:
                details = _details_of(error)
                model = next((each[DETAIL_FALLBACK] for each in details if DETAIL_FALLBACK in each), None)
                tally = next((tally for each in details if (tally := Tally.of(each))), None)
                self._spending.add(tally.usd if tally else None)
                if model is None:
                    raise
                if task.turn and not task.turn.last and self._spending.is_over():
                    task = task.model_copy(update={"turn": task.turn.model_copy(update={"last": "cost"})})
                self._attempts += tally.attempts if tally else 1
                self._fallback, self._model = self._fallback + 1, model
            else:
                for change in result.changed_tools:
                    self._note(change)
                self._spending.add((result.usage.cost or 0.0) + result.failed_cost)
                self._attempts = result.attempt or self._attempts + 1
                return result

    def _note(self, change: ChangedTool) -> None:
        id, parts = self._id, tuple(change.parts)
        note(ToolChanged(step=id.step, key=id.key, agent=id.agent, server=change.server, tool=change.tool, parts=parts))

    async def _answers(self, turn: AgentTurn) -> list[ToolAnswer]:
        """Make the tool calls of a turn, in parallel up to a sequential one, which runs alone."""
        slots = asyncio.Semaphore(MAX_PARALLEL)
        answers: list[ToolAnswer] = []

        async def one(use: ToolRequest) -> ToolAnswer:
            async with slots:
                return await self._answer(turn, use)

        batch: list[ToolRequest] = []
        for use in (use for use in turn.calls if use.fault is None):
            if use.sequential:
                answers += await _all([one(each) for each in batch])
                answers.append(await one(use))
                batch = []
            else:
                batch.append(use)
        return answers + await _all([one(each) for each in batch])

    async def _answer(self, turn: AgentTurn, use: ToolRequest) -> ToolAnswer:
        id = self._id._replace(path=f"t{turn.number}.{use.number}")
        try:
            if use.kind == "question":
                return await self._question(use, id)
            note = ""
            if use.ask_before:
                decision = await self._decision(use, id)
                if not decision.approved:
                    return _refused(use, decision)
                if decision.arguments is not None and decision.arguments != use.arguments:
                    use = use.model_copy(update={"arguments": decision.arguments})
                    note = f"A person changed the arguments to {json.dumps(decision.arguments, sort_keys=True)}."
            if use.kind == "agent":
                return await self._sub_agent(use, id)
            answer = await self._tool(turn, use, id)
            return answer.model_copy(update={"note": note}) if note else answer
        except ActivityError as error:
            if is_cancelled_exception(error) or use.on_error == "fail" or _is_changed(error):
                raise
            return _reported(use, error)

    async def _decision(self, use: ToolRequest, id: CallId) -> PersonAnswer:
        """Ask a person whether the call may be made. No answer in time is a no."""
        return await self._ask(
            tool_question(
                str(id),
                self._id.step,
                self._id.agent,
                f"{self._id.agent} wants to call {use.tool}.",
                arguments=use.arguments,
                schema=use.parameters or {"type": "object"},
                timeout=use.ask_timeout,
                by=use.by,
            )
        )

    async def _ask(self, question: PersonQuestion) -> PersonAnswer:
        self._registry.asking += 1
        try:
            return await questions_of_run().ask(question)
        finally:
            self._registry.asking -= 1

    async def _question(self, use: ToolRequest, id: CallId) -> ToolAnswer:
        """Ask a person what the model wants to know. No answer in time is a result, too."""
        answer = await self._ask(
            PersonQuestion(
                id=str(id),
                step=self._id.step,
                agent=self._id.agent,
                message=cut(str(use.arguments.get("question", ""))),
                form=use.parameters or {"type": "object"},
                timeout=use.ask_timeout,
                by=use.by,
                on_timeout="skip",
            )
        )
        if answer.how != "answered":
            return ToolAnswer(number=use.number, status="failed", text="Nobody answered in time.")
        return ToolAnswer(number=use.number, text=json.dumps(answer.values, sort_keys=True))

    async def _sub_agent(self, use: ToolRequest, id: CallId) -> ToolAnswer:
        if self._spending.depth >= MAX_DEPTH - 1:
            text = f"Agents may call agents {MAX_DEPTH} levels deep: do this yourself."
            return ToolAnswer(number=use.number, status="failed", text=text)
        result = await self._call_agent(use, id, self._spending)
        text = result.output.encode(errors="replace")[:MODEL_BYTES].decode(errors="ignore")
        return ToolAnswer(number=use.number, text=text)

    async def _tool(self, turn: AgentTurn, use: ToolRequest, id: CallId) -> ToolAnswer:
        task, step = self._task, self._task.step
        # The activity counts its attempts by itself, because Temporal also counts workers that died.
        attempts = 1 if use.at_most_once else 0
        activity: workflow.ActivityHandle[ToolResult] = workflow.start_activity(
            tool_type(task.agent, use.tool),
            ToolTask(
                job_id=task.job_id,
                owner=task.owner,
                id=str(id),
                agent=task.agent,
                tool=use.tool,
                turn=turn.number,
                number=use.number,
                arguments=None if use.stored else use.arguments,
                retry=use.retry,
                at_most_once=use.at_most_once,
            ),
            task_queue=step.task_queue,
            activity_id=str(id),
            summary=headline(use.tool),
            result_type=ToolResult,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=use.retry.initial_interval),
                backoff_coefficient=use.retry.backoff_coefficient,
                maximum_interval=timedelta(seconds=use.retry.longest_interval),
                maximum_attempts=attempts,
            ),
            start_to_close_timeout=timedelta(seconds=use.timeout),
            schedule_to_close_timeout=timedelta(seconds=max(step.timeouts.schedule_to_close, use.timeout)),
            heartbeat_timeout=timedelta(seconds=step.timeouts.heartbeat),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        result = await (counted(activity) if turn.counts_attempts else activity)
        return ToolAnswer(number=use.number, stored=str(id), digest=result.digest)


async def _all(calls: list[Awaitable[ToolAnswer]]) -> list[ToolAnswer]:
    """Every answer, in order. If one call raises, the others are cancelled, and their ends awaited."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except (asyncio.CancelledError, Exception):
        # Not `finally`: a workflow that leaves the worker's cache must not await.
        await stop(tasks)
        raise


def _refused(use: ToolRequest, decision: PersonAnswer) -> ToolAnswer:
    """What the model hears of a refusal."""
    if decision.how != "answered":
        text = "Nobody agreed to this call in time, so it was not made."
    else:
        note = f" and says: {decision.note}" if decision.note else ""
        text = f"A person refused this call{note}. It was not made: do not try it again unchanged."
    return ToolAnswer(number=use.number, status="refused", text=cut(text))


def _is_changed(error: ActivityError) -> bool:
    """Whether a pinned MCP tool is not what it was. The model has no say in that: the agent call fails."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError):
        cause = cause.cause
    return isinstance(cause, ApplicationError) and cause.type == MCP_TOOL_CHANGED


def _reported(use: ToolRequest, error: ActivityError) -> ToolAnswer:
    """What the model hears of a call that failed for good."""
    cause: BaseException = error
    while isinstance(cause, ActivityError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        text = cause.message if cause.type == TOOL_FAILED else f"{cause.type or 'error'}: {cause.message}"
        if not (use.at_most_once and cause.type in CUT_OFF):
            return ToolAnswer(number=use.number, status="failed", text=cut(f"{FAILED_LEAD}{text}"))
    if use.at_most_once:
        return ToolAnswer(number=use.number, status="unknown", text=_OUTCOME_UNKNOWN)
    text = f"timed out after {use.timeout:g} s" if isinstance(cause, TimeoutError) else str(cause)
    return ToolAnswer(number=use.number, status="failed", text=cut(f"{FAILED_LEAD}{text}"))


def _details_of(error: ActivityError) -> list[dict[str, Any]]:
    """The details of the error: they name the next model, so that no replay needs the catalogue."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError):
        cause = cause.cause
    return [each for each in cause.details if isinstance(each, dict)] if isinstance(cause, ApplicationError) else []
