"""Runs agent calls on a framework: an adapter in place of the product's own runtime."""

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
from orchestrator.domain.ports import AgentRuntime, TextSink
from orchestrator.domain.steps import TIME_SHARE
from orchestrator.domain.text import error_message, error_name
from orchestrator.domain.usage import Usage, published_cost
from orchestrator.frameworks import FrameworkAdapter, persona
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.masking import scrub
from orchestrator.runtime.prompts import tokens_of
from orchestrator.runtime.results import agent_result, without_implausible_counts

Progress = Callable[[int], None]

_SUMMARY_LIMIT: Final = 300
# Metadata of a model's answer that also holds for a result made of such answers.
_INHERITED_NOTES: Final = ("offline", "tokens_estimated", "truncated")


class FrameworkRuntime:
    """The `AgentRuntime` port over an adapter. `native` calls models for the adapter."""

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
        """Make one attempt of a call. Text is not streamed to `sink`, as several models may write at once.

        Raises `AgentError` with the usage of all model calls.
        """
        outer = framework_task(self._adapter.name, agent, task, attempt)
        call = _Call(self._native, agent, task, outer, progress)
        try:
            result = await self._run(outer, call)
        except AgentError as error:
            error.usage = call.spent if error.usage is None else call.spent.plus(error.usage)
            raise
        return self._result(agent, task, result, call)

    async def _run(self, outer: FrameworkTask, call: "_Call") -> FrameworkResult:
        try:
            async with asyncio.timeout(outer.seconds) as limit:
                return await self._bulkhead.call(outer.framework, self._adapter.run, outer, call, finish=self._checked)
        except AgentError:
            raise
        except Exception as error:  # the edge to the adapter's code, whose framework can raise anything
            if isinstance(error, TimeoutError) and limit.expired():
                raise AgentError(
                    f"{outer.framework} did not finish within the step's time.",
                    kind="framework_timeout",
                    retryable=True,
                ) from None
            message = scrub(f"{outer.framework} failed: {error_name(error)}: {error_message(error)}")
            raise AgentError(message, kind="framework_failed", retryable=True) from error

    def _checked(self, result: object) -> FrameworkResult:
        if not isinstance(result, FrameworkResult):
            raise AgentError(
                f"The adapter of {self._adapter.name} returned {type(result).__name__} instead of a FrameworkResult.",
                kind="malformed_output",
                retryable=False,
            )
        return result

    def _result(self, agent: Agent, task: AgentTask, result: FrameworkResult, call: "_Call") -> AgentResult:
        """The result as the activity returns it, with the metadata of D-026 and the framework's name."""
        result_usage = (
            Usage() if result.usage is None else _priced(agent, without_implausible_counts(result.usage, agent.id))
        )
        return agent_result(
            agent,
            task,
            result,
            usage=call.spent if result.usage is None else call.spent.plus(result_usage),
            model=result.model or call.model or f"framework/{self._adapter.name}",
            metadata={**call.notes, "timestamp": stamp(self._clock()), EXECUTED_BY: self._adapter.name},
            summary=_beginning(result.output),
        )


class _Call:
    """The `FrameworkCall` of one attempt: sums up received characters and usage of all its questions.

    The adapter runs in a separate event loop; models are called in the loop that owns their connections.
    """

    def __init__(
        self, native: AgentRuntime, agent: Agent, task: AgentTask, outer: FrameworkTask, progress: Progress
    ) -> None:
        self._native = native
        self._agent = agent
        self._task = task
        self._outer = outer
        self.progress = progress
        self.spent = Usage()
        self.model: str | None = None
        self.notes: dict[str, Any] = {}
        self._received: dict[int, int] = {}
        self._reserved = 0
        self._loop = asyncio.get_running_loop()

    async def ask(self, question: Question) -> Answer:
        """One model call through the product's own runtime."""
        answer = self._ask(question)
        if asyncio.get_running_loop() is self._loop:
            return await answer
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, self._loop))

    async def _ask(self, question: Question) -> Answer:
        number = len(self._received)
        self._received[number] = 0

        def progress(chars: int) -> None:
            self._received[number] = chars
            self.progress(sum(self._received.values()))

        agent = _agent_of(self._agent, self._outer, question)
        task = self._within_allowance(agent, self._question(question))
        self._reserved += task.allowance or 0
        try:
            result = await self._native.run(agent, task, attempt=self._outer.attempt, progress=progress, sink=_NoSink())
        except AgentError as error:
            if error.usage is not None:
                self.spent, error.usage = self.spent.plus(error.usage), None
            raise
        finally:
            self._reserved -= task.allowance or 0
        self.spent = self.spent.plus(result.usage)
        self.model = result.model
        self.notes |= {key: result.metadata[key] for key in _INHERITED_NOTES if key in result.metadata}
        return Answer(summary=result.summary, output=result.output, model=result.model)

    def _question(self, question: Question) -> AgentTask:
        step = self._task.step.model_copy(update={"name": question.title, "instruction": question.instruction})
        return self._task.model_copy(update={"step": step, "input": self._outer.input, "context": question.context})

    def _within_allowance(self, agent: Agent, task: AgentTask) -> AgentTask:
        """The task with its share of the call's tokens. Concurrent questions share the allowance of the call."""
        if task.allowance is None:
            return task
        available = task.allowance - self.spent.total_tokens - self._reserved
        estimate = tokens_of(agent, task, longest_answer(agent, task.config.max_tokens, framework=False))
        return task.model_copy(update={"allowance": max(0, min(available, estimate))})


class _AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


class _NoSink:
    """A `TextSink` that drops all text."""

    async def is_read(self) -> bool:
        """Nobody reads it."""
        return False

    def text(self, piece: str) -> None:
        """Drop the text."""

    def reset(self) -> None:
        """Nothing to reset."""


def framework_task(framework: str, agent: Agent, task: AgentTask, attempt: int) -> FrameworkTask:
    """The task for the adapter.

    An agent of a user is in the input, as `{agent, description, configuration, input}`. For other agents the input is
    only the input.
    """
    fields = task.input
    user_agent = isinstance(fields.get("agent"), str) and isinstance(fields.get("configuration"), dict)
    return FrameworkTask(
        framework=framework,
        job_id=task.job_id,
        step=task.step.id,
        attempt=attempt,
        effect_id=task.call_id.effect_id(task.job_id),
        agent=fields["agent"] if user_agent else agent.name,
        description=str(fields.get("description") or "") if user_agent else agent.description,
        configuration=fields["configuration"] if user_agent else {},
        input=(fields.get("input") or {}) if user_agent else fields,
        context=task.context,
        model=task.config.model,
        temperature=task.config.temperature,
        max_tokens=task.config.max_tokens,
        seconds=task.step.timeouts.start_to_close * TIME_SHARE,
    )


def _agent_of(agent: Agent, outer: FrameworkTask, question: Question) -> Agent:
    """The agent with the instructions of a question; its price and its model settings stay."""
    identity = {"name": outer.agent, "description": outer.description or agent.description, "function": None}
    # The input of a question is a part of the agent's input, which was checked when the job started.
    prompt = {"instructions": question.instructions or persona(outer), "input_model": _AnyInput}
    return agent.model_copy(update={**identity, **prompt})


def _priced(agent: Agent, usage: Usage) -> Usage:
    """The framework's own usage with the agent's published price (D-030)."""
    if usage.cost is not None or not usage.total_tokens:
        return usage
    return usage.model_copy(update={"cost": published_cost(usage.total_tokens, agent.pricing.per_1k_tokens)})


def _beginning(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip() and line[0] not in "#>"), text).strip()
    return line if len(line) <= _SUMMARY_LIMIT else line[: _SUMMARY_LIMIT - 1] + "…"
