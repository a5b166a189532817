"""The loop of turns of an agent with tools: requests and tool calls are activities of their own (decision 0035)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.call_ids import CallId
    from orchestrator.domain.commands import AgentResult, AgentTask, JobInput
    from orchestrator.domain.text import cut, headline
    from orchestrator.domain.turns import (
        DETAIL_FALLBACK,
        MAX_DEPTH,
        MAX_PARALLEL,
        MODEL_BYTES,
        TOOL_FAILED,
        AgentTurn,
        ToolAnswer,
        ToolRequest,
        ToolResult,
        ToolTask,
        TurnState,
        TurnTask,
        tool_type,
    )
    from orchestrator.domain.usage import Usage

Make = Callable[[AgentTask], Awaitable[AgentResult]]
"""Makes one request as an activity."""
CallAgent = Callable[[AgentTask, ToolRequest, CallId], Awaitable[AgentResult]]
"""Calls another agent for a tool call, under the key that the call's id gives it."""

_REGISTRY: Final = "orchestrator-turns"
_OUTCOME_UNKNOWN: Final = (
    "It is unknown whether this call had its effect, because its worker died or its time ran out. "
    "Find out before you repeat it."
)


@dataclass(slots=True)
class Loops:
    """The loops of one run. `may_go_on` is asked between turns; a loop that waits there is parked."""

    may_go_on: Callable[[], bool] = lambda: True
    open_calls: int = 0
    parked: dict[str, TurnState] = field(default_factory=dict)
    carried: list[TurnState] | None = None

    def all_parked(self) -> bool:
        """Whether every open call waits between two turns, so that another run can continue it."""
        return bool(self.parked) and self.open_calls == len(self.parked)


def loops() -> Loops:
    """The loops of the current run. Kept at the run's event loop: the sandbox has its own copy of this module."""
    run = vars(asyncio.get_running_loop())
    registry: Loops = run.setdefault(_REGISTRY, Loops())
    return registry


def carried_state(job: JobInput, step: str, agent: str, key: str) -> TurnState | None:
    """The state of a call that an earlier run of the job began, if this is the first call of that name in this run."""
    registry = loops()
    if registry.carried is None:
        registry.carried = list(job.carried.turns) if job.carried else []
    for state in registry.carried:
        id = CallId.parse(state.call)
        if id is not None and (id.step, id.agent, id.key) == (step, agent, key):
            registry.carried.remove(state)
            return state
    return None


async def answer(task: AgentTask, state: TurnState | None, make: Make, call_agent: CallAgent) -> AgentResult:
    """Make requests and tool calls until the agent answers. An agent without tools answers at once.

    Raises the `ActivityError` of a request that failed with every model.
    """
    registry = loops()
    registry.open_calls += 1
    try:
        return await _Loop(task, make, call_agent, registry).run(state)
    finally:
        registry.open_calls -= 1


class _Loop:
    def __init__(self, task: AgentTask, make: Make, call_agent: CallAgent, registry: Loops) -> None:
        self._task = task
        self._make = make
        self._call_agent = call_agent
        self._registry = registry
        self._id = task.call_id._replace(path="")
        self._usage = Usage()
        self._spent = 0.0
        self._fallback = 0
        self._model: str | None = None

    async def run(self, state: TurnState | None) -> AgentResult:
        if state is None:
            result = await self._request(self._task)
        else:
            self._usage, self._spent = state.usage, state.spent
            self._fallback, self._model = state.fallback, state.model
            result = await self._request(await self._next_task(state.next))
        while result.turn is not None:
            self._count(result.usage)
            answers = await self._answers(result.turn)
            result = await self._request(await self._next_task(self._next_turn(result, result.turn, answers)))
        if not self._usage.total_tokens and self._usage.cost is None:
            return result
        return result.model_copy(update={"usage": self._usage.plus(result.usage)})

    def _count(self, usage: Usage) -> None:
        self._usage = self._usage.plus(usage)
        self._spent += usage.cost or 0.0

    def _next_turn(self, result: AgentResult, turn: AgentTurn, answers: list[ToolAnswer]) -> TurnTask:
        is_dear = turn.max_cost is not None and self._spent >= turn.max_cost
        last = "cost" if is_dear else "turns" if turn.number >= turn.max_turns else ""
        sizes = sum(len(answer.text) or MODEL_BYTES // 4 for answer in answers)
        return TurnTask(
            number=turn.number + 1,
            answers=answers,
            last=last,
            attempts=result.attempt or turn.number,
            tokens=turn.tokens + sizes // 4,
            invalid=turn.invalid,
        )

    async def _next_task(self, turn: TurnTask) -> AgentTask:
        """The task of a turn, once the run may go on. The messages so far are stored: input and context stay out."""
        id = str(self._id)
        self._registry.parked[id] = TurnState(
            call=id, next=turn, usage=self._usage, spent=self._spent, fallback=self._fallback, model=self._model
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
            request_task = task.model_copy(update={"path": path, "fallback": self._fallback, "config": config})
            try:
                return await self._make(request_task)
            except ActivityError as error:
                model = _fallback_of(error)
                if model is None:
                    raise
                self._fallback, self._model = self._fallback + 1, model

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
            if use.kind == "agent":
                return await self._sub_agent(use, id)
            return await self._tool(turn, use, id)
        except ActivityError as error:
            if is_cancelled_exception(error) or use.on_error == "fail":
                raise
            return _reported(use, error)

    async def _sub_agent(self, use: ToolRequest, id: CallId) -> ToolAnswer:
        if id.key.count(".t") >= MAX_DEPTH - 1:
            text = f"Agents may call agents {MAX_DEPTH} levels deep: do this yourself."
            return ToolAnswer(number=use.number, status="failed", text=text)
        result = await self._call_agent(self._task, use, id)
        self._spent += result.usage.cost or 0.0
        text = result.output.encode(errors="replace")[:MODEL_BYTES].decode(errors="ignore")
        return ToolAnswer(number=use.number, text=text)

    async def _tool(self, turn: AgentTurn, use: ToolRequest, id: CallId) -> ToolAnswer:
        task, step = self._task, self._task.step
        # The activity counts its attempts by itself, because Temporal also counts workers that died.
        attempts = 1 if use.at_most_once else 0
        result: ToolResult = await workflow.execute_activity(
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
                maximum_interval=timedelta(seconds=use.retry.maximum_interval),
                maximum_attempts=attempts,
            ),
            start_to_close_timeout=timedelta(seconds=use.timeout),
            schedule_to_close_timeout=timedelta(seconds=max(step.timeouts.schedule_to_close, use.timeout)),
            heartbeat_timeout=timedelta(seconds=step.timeouts.heartbeat),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return ToolAnswer(number=use.number, stored=str(id), digest=result.digest)


async def _all(calls: list[Awaitable[ToolAnswer]]) -> list[ToolAnswer]:
    """Every answer, in order. If one call raises, the others are cancelled, and their ends awaited."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _reported(use: ToolRequest, error: ActivityError) -> ToolAnswer:
    """What the model hears of a call that failed for good."""
    cause: BaseException = error
    while isinstance(cause, ActivityError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        text = cause.message if cause.type == TOOL_FAILED else f"{cause.type or 'error'}: {cause.message}"
        if not use.at_most_once or cause.non_retryable:
            return ToolAnswer(number=use.number, status="failed", text=cut(f"The tool failed. {text}"))
    if use.at_most_once:
        return ToolAnswer(number=use.number, status="unknown", text=_OUTCOME_UNKNOWN)
    text = f"timed out after {use.timeout:g} s" if isinstance(cause, TimeoutError) else str(cause)
    return ToolAnswer(number=use.number, status="failed", text=cut(f"The tool failed. {text}"))


def _fallback_of(error: ActivityError) -> str | None:
    """The model that the details of the error name: recorded, so that no replay needs the catalogue."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError):
        cause = cause.cause
    if not isinstance(cause, ApplicationError):
        return None
    details: list[Any] = list(cause.details)
    return next((each[DETAIL_FALLBACK] for each in details if isinstance(each, dict) and DETAIL_FALLBACK in each), None)
