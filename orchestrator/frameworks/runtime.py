"""Runs agent calls on a framework: one adapter in the place of the product's own runtime."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import longest_answer
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.frameworks import EXECUTED_BY, Answer, FrameworkResult, FrameworkTask, Question
from orchestrator.domain.moments import stamp
from orchestrator.domain.names import effect_id
from orchestrator.domain.ports import AgentRuntime, TextSink
from orchestrator.domain.text import error_message, error_name
from orchestrator.domain.usage import Usage, published_cost
from orchestrator.frameworks import FrameworkAdapter, persona
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.errors import scrub
from orchestrator.runtime.prompts import tokens_of
from orchestrator.runtime.results import agent_result, believable

Progress = Callable[[int], None]

# The call ends itself a little before Temporal would, so that the error is ours.
_TIME_SHARE: Final = 0.95
_SUMMARY_LIMIT: Final = 300
# What the product's runtime says of a model's answer that holds for a result made of such answers.
_HANDED_ON: Final = ("offline", "tokens_estimated", "truncated")


class FrameworkRuntime:
    """The `AgentRuntime` port over an adapter. `native` answers what the adapter asks of a model."""

    def __init__(
        self,
        adapter: FrameworkAdapter,
        native: AgentRuntime,
        clock: Callable[[], datetime],
        bulkhead: Bulkhead | None = None,
    ) -> None:
        self._adapter = adapter
        self._native = native
        self._clock = clock
        self._bulkhead = bulkhead or Bulkhead()

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Progress, sink: TextSink
    ) -> AgentResult:
        """One call, tried once. The adapter's text does not go to `sink`: it may come from several models at once.

        Raises `AgentError` with what the models that the adapter asked have billed.
        """
        told = framework_task(self._adapter.name, agent, task, attempt)
        call = _Call(self._native, agent, task, told, progress)
        try:
            result = await self._run(told, call)
        except AgentError as error:
            error.usage = call.spent if error.usage is None else call.spent.plus(error.usage)
            raise
        return self._result(agent, task, result, call)

    async def _run(self, told: FrameworkTask, call: "_Call") -> FrameworkResult:
        try:
            async with asyncio.timeout(told.seconds) as limit:
                return await self._bulkhead.call(told.framework, self._adapter.run, told, call, finish=self._checked)
        except AgentError:
            raise
        except Exception as error:  # the edge of an adapter's code: whatever its framework raises
            if isinstance(error, TimeoutError) and limit.expired():
                raise AgentError(
                    f"{told.framework} did not finish within the step's time.", kind="framework_timeout", retryable=True
                ) from None
            message = scrub(f"{told.framework} failed: {error_name(error)}: {error_message(error)}")
            raise AgentError(message, kind="framework_failed", retryable=True) from error

    def _checked(self, result: object) -> FrameworkResult:
        if not isinstance(result, FrameworkResult):
            raise AgentError(
                f"The adapter of {self._adapter.name} gave {type(result).__name__} instead of a FrameworkResult.",
                kind="malformed_output",
                retryable=False,
            )
        return result

    def _result(self, agent: Agent, task: AgentTask, result: FrameworkResult, call: "_Call") -> AgentResult:
        """The result in the form that crosses Temporal, with the metadata of D-026 and who made it."""
        own = Usage() if result.usage is None else _priced(agent, believable(result.usage, agent.id))
        return agent_result(
            agent,
            task,
            result,
            usage=call.spent if result.usage is None else call.spent.plus(own),
            model=result.model or call.model or f"framework/{self._adapter.name}",
            metadata={**call.notes, "timestamp": stamp(self._clock()), EXECUTED_BY: self._adapter.name},
            summary=_beginning(result.output),
        )


class _Call:
    """The `FrameworkCall` of one attempt: what was received and spent over all of its questions.

    The adapter runs in an event loop of its own; models are asked in the loop that their connections belong to.
    """

    def __init__(
        self, native: AgentRuntime, agent: Agent, task: AgentTask, told: FrameworkTask, progress: Progress
    ) -> None:
        self._native = native
        self._agent = agent
        self._task = task
        self._told = told
        self.progress = progress
        self.spent = Usage()
        self.model: str | None = None
        self.notes: dict[str, Any] = {}
        self._received: dict[int, int] = {}
        self._held = 0
        self._loop = asyncio.get_running_loop()

    async def ask(self, question: Question) -> Answer:
        """One call of a model by the product's own runtime."""
        asking = self._ask(question)
        if asyncio.get_running_loop() is self._loop:
            return await asking
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, self._loop))

    async def _ask(self, question: Question) -> Answer:
        number = len(self._received)
        self._received[number] = 0

        def progress(chars: int) -> None:
            self._received[number] = chars
            self.progress(sum(self._received.values()))

        agent = _asked(self._agent, self._told, question)
        task = self._within_allowance(agent, self._question(question))
        self._held += task.allowance or 0
        try:
            result = await self._native.run(agent, task, attempt=self._told.attempt, progress=progress, sink=_Unheard())
        except AgentError as error:
            if error.usage is not None:
                self.spent, error.usage = self.spent.plus(error.usage), None
            raise
        finally:
            self._held -= task.allowance or 0
        self.spent = self.spent.plus(result.usage)
        self.model = result.model
        self.notes |= {key: result.metadata[key] for key in _HANDED_ON if key in result.metadata}
        return Answer(summary=result.summary, output=result.output, model=result.model)

    def _question(self, question: Question) -> AgentTask:
        step = self._task.step.model_copy(update={"name": question.title, "instruction": question.instruction})
        return self._task.model_copy(update={"step": step, "input": self._told.input, "context": question.context})

    def _within_allowance(self, agent: Agent, task: AgentTask) -> AgentTask:
        """The task with what it may use of the call's tokens, which questions asked at the same time share."""
        if task.allowance is None:
            return task
        left = task.allowance - self.spent.total_tokens - self._held
        wish = tokens_of(agent, task, longest_answer(agent, task.config.max_tokens, framework=False))
        return task.model_copy(update={"allowance": max(0, min(left, wish))})


class _AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Unheard:
    """A `TextSink` that nobody reads."""

    def text(self, piece: str) -> None:
        """Dropped."""

    def reset(self) -> None:
        """Nothing was kept."""


def framework_task(framework: str, agent: Agent, task: AgentTask, attempt: int) -> FrameworkTask:
    """What the adapter is told.

    A user's own agent comes in the input, as `{agent, description, configuration, input}`. Of any other agent the input
    is its own.
    """
    given = task.input
    own = isinstance(given.get("agent"), str) and isinstance(given.get("configuration"), dict)
    return FrameworkTask(
        framework=framework,
        job_id=task.job_id,
        step=task.step.id,
        attempt=attempt,
        effect_id=effect_id(task.job_id, task.step.id, task.agent, task.call),
        agent=given["agent"] if own else agent.name,
        description=str(given.get("description") or "") if own else agent.description,
        configuration=given["configuration"] if own else {},
        input=(given.get("input") or {}) if own else given,
        context=task.context,
        model=task.config.model,
        temperature=task.config.temperature,
        max_tokens=task.config.max_tokens,
        seconds=task.step.timeouts.start_to_close * _TIME_SHARE,
    )


def _asked(agent: Agent, told: FrameworkTask, question: Question) -> Agent:
    """The agent as the question wants it; its price and its model's settings stay."""
    who = {"name": told.agent, "description": told.description or agent.description, "function": None}
    # The input of a question is a part of the agent's own, which was checked when the job began.
    asked = {"instructions": question.instructions or persona(told), "input_model": _AnyInput}
    return agent.model_copy(update={**who, **asked})


def _priced(agent: Agent, own: Usage) -> Usage:
    """The framework's own usage with the agent's published price (D-030)."""
    if own.cost is not None or not own.total_tokens:
        return own
    return own.model_copy(update={"cost": published_cost(own.total_tokens, agent.pricing.per_1k_tokens)})


def _beginning(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip() and line[0] not in "#>"), text).strip()
    return line if len(line) <= _SUMMARY_LIMIT else line[: _SUMMARY_LIMIT - 1] + "…"
