"""`Flow`: everything that workflow code does, in one object (decision 0037). What it does shows in the job's status."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar, overload

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from workflows.children import run_child
from workflows.flow_controls import FlowControls
from workflows.flow_tasks import outcome
from workflows.flow_values import (
    CallFailed,
    Context,
    Input,
    as_context,
    checked_question,
    details_of,
    error_of,
    item_input,
    mistake,
    plain,
    question_id,
    seconds,
    snake_case,
)
from workflows.notes import note
from workflows.questions import questions_of_run
from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import Agent, AgentOutput, Out_co
    from orchestrator.domain.call_ids import optional_key
    from orchestrator.domain.call_results import ItemResults, Result
    from orchestrator.domain.commands import AgentResult, JobConfig, JobInput, JobResult
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.notes import CallsExpected, ItemsListed
    from orchestrator.domain.plans import Step
    from orchestrator.domain.questions import (
        INVALID_QUESTION,
        Ask,
        Form,
        PersonAnswer,
        PersonQuestion,
        approval_question,
    )
    from orchestrator.domain.results import assemble

__all__ = ["CallFailed", "Context", "Flow", "Input"]

Item = TypeVar("Item")
First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")
_WEEK: Final = timedelta(days=7)


class Flow:
    """The calls, children, waits and result of one job. Make it first in `run`: it receives the job's controls.

    Each call has an identity: its step (by default the agent's id), its key and its agent. A second call of one
    identity raises `ApplicationError` of type `duplicate_call`.
    """

    def __init__(self, job: JobInput) -> None:
        self._job = job
        self._questions = questions_of_run()
        self._controls = FlowControls(self._questions)
        self._results: list[AgentResult] = []
        self._failures: dict[str, JobError] = {}
        self._calls: dict[tuple[str, str, str], int] = {}  # In the order in which the code makes them.
        self._expected = 0

    @overload
    async def call(
        self,
        agent: Agent[Out_co],
        *,
        input: Input | None = None,
        key: str | int = "",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> Result[Out_co]: ...
    @overload
    async def call(
        self,
        agent: str,
        *,
        input: Input | None = None,
        key: str | int = "",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> Result[AgentOutput]: ...
    async def call(
        self,
        agent: Agent[Any] | str,
        *,
        input: Input | None = None,
        key: str | int = "",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> Result[Any]:
        """Call one agent and wait for its answer. Without an `input`, the agent gets the job's.

        `key` distinguishes the calls of one step: an item, a round. `context` holds earlier answers for the agent.
        A step of that id in the definition's plan sets retries and timeouts; a `Step` can do so, too.
        Raises `CallFailed` after all attempts.
        """
        agent_id, model = (agent.id, agent.output_model) if isinstance(agent, Agent) else (agent, AgentOutput)
        step_of_call, item = self._step(agent, step), optional_key(key)
        self._claim(step_of_call.id, item, agent_id)
        answer = await self._made(
            step_of_call.id,
            agent_id,
            lambda: call_agent(
                self._job,
                step_of_call,
                agent_id,
                [as_context(each) for each in context],
                input=None if input is None else plain(input),
                config=config,
                key=item,
            ),
        )
        return Result.of(answer, model)

    async def run_workflow(
        self,
        workflow_id: str,
        input: Input | None = None,
        *,
        key: str | int = "",
        config: JobConfig | None = None,
        step: str | None = None,
    ) -> Result[AgentOutput]:
        """Run another workflow of the catalogue as a child job, and wait for its result.

        The child has its own row, steps and cost; the job counts the cost, too. Without an `input`, it gets the job's.
        Raises `CallFailed` if the input is invalid, or the child ends without a result.
        """
        step_id, item = step or workflow_id, optional_key(key)
        self._claim(step_id, item, workflow_id)
        child_input = self._job.input if input is None else plain(input)
        answer = await self._made(
            step_id,
            workflow_id,
            lambda: run_child(self._job, workflow_id, child_input, step=step_id, key=item, config=config),
        )
        return Result.of(answer, AgentOutput)

    @overload
    async def map(
        self,
        agent: Agent[Out_co],
        items: Iterable[Item],
        *,
        key: Callable[[Item], str | int] | None = None,
        input: Callable[[Item], Input] | None = None,
        max_parallel: int = 10,
        enough: int | None = None,
        on_error: Literal["fail", "continue"] = "fail",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> ItemResults[Out_co]: ...
    @overload
    async def map(
        self,
        agent: str,
        items: Iterable[Item],
        *,
        key: Callable[[Item], str | int] | None = None,
        input: Callable[[Item], Input] | None = None,
        max_parallel: int = 10,
        enough: int | None = None,
        on_error: Literal["fail", "continue"] = "fail",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> ItemResults[AgentOutput]: ...
    async def map(
        self,
        agent: Agent[Any] | str,
        items: Iterable[Item],
        *,
        key: Callable[[Item], str | int] | None = None,
        input: Callable[[Item], Input] | None = None,
        max_parallel: int = 10,
        enough: int | None = None,
        on_error: Literal["fail", "continue"] = "fail",
        context: Iterable[Context] = (),
        config: JobConfig | None = None,
        step: Step | str | None = None,
    ) -> ItemResults[Any]:
        """Call one agent for each item, at most `max_parallel` at a time, and return the results in the items' order.

        `key` names an item; without it, its position does. `input` makes the input of an item; without it, the item
        itself is the input, or `{"item": item}` if it is neither a mapping nor a model. With `enough`, so many results
        suffice: the other calls are cancelled. With `on_error="continue"` failures are in `failed`; else, or if too few
        calls can succeed, the first failure is raised, after all other calls have ended.
        """
        entries = list(items)
        keys = [optional_key(key(item) if key else at) for at, item in enumerate(entries, start=1)]
        if doubles := sorted({each for each in keys if keys.count(each) > 1}):
            raise mistake(f"two items have the key {doubles[0]!r}: give each item a key of its own", "duplicate_key")
        make_input, entries_before, room = input or item_input, list(context), asyncio.Semaphore(max(1, max_parallel))
        own_step = self._step(agent, step)
        agent_id = agent.id if isinstance(agent, Agent) else agent
        note(ItemsListed(step=own_step.id, keys=tuple(keys), agent=agent_id, enough=enough))

        async def one(item: Item, item_key: str) -> Result[Any]:
            async with room:
                return await self.call(
                    agent, input=make_input(item), key=item_key, context=entries_before, config=config, step=own_step
                )

        calls = {key: asyncio.create_task(one(item, key)) for item, key in zip(entries, keys, strict=True)}
        failed = await outcome(calls, enough=enough, tolerant=on_error == "continue")
        ended = [call for call in calls.values() if not call.cancelled() and call.exception() is None]
        return ItemResults(tuple(call.result() for call in ended), failed)

    @overload
    async def gather(self, first: Awaitable[First], /) -> tuple[First]: ...
    @overload
    async def gather(self, first: Awaitable[First], second: Awaitable[Second], /) -> tuple[First, Second]: ...
    @overload
    async def gather(
        self, first: Awaitable[First], second: Awaitable[Second], third: Awaitable[Third], /
    ) -> tuple[First, Second, Third]: ...
    @overload
    async def gather(self, *calls: Awaitable[First]) -> tuple[First, ...]: ...
    async def gather(self, *calls: Awaitable[Any]) -> tuple[Any, ...]:
        """Wait for several calls at once. If one fails, the others are cancelled, and its error is raised."""
        tasks = {str(at): asyncio.ensure_future(call) for at, call in enumerate(calls)}
        await outcome(tasks)
        return tuple(task.result() for task in tasks.values())

    def rounds(self, most: int) -> Iterator[int]:
        """The numbers 1 to `most`, for a loop: give each call of a round its number as `key`."""
        if most < 1:
            raise mistake(f"rounds({most}): give at least one round", "invalid_flow")
        yield from range(1, most + 1)

    async def ask(
        self,
        form: type[Form],
        message: str,
        *,
        show: Result[Any] | Input | str | None = None,
        step: str | None = None,
        key: str | int = "",
        timeout: timedelta | float = _WEEK,  # noqa: ASYNC109 - of a durable timer
        by: tuple[str, ...] = (),
        on_timeout: Literal["fail", "default"] = "fail",
    ) -> Form:
        """Ask a person with a form and return its values as the model, which has checked them before they count.

        `show` is what the person decides on. `step` is by default the name of the form. `by` restricts who may answer:
        `owner`, `owner:ID`, `role:ROLE`, `key:NAME`; others fail the job with `invalid_question`.
        Raises `CallFailed` of type `answer_timeout` if nobody answers in time; with `on_timeout="default"`, the
        defaults of the form count then.
        """
        step_id = step or snake_case(form.__name__)
        with checked_question(step_id):
            ask = Ask(form=form, message=message, timeout=seconds(timeout), by=by, on_timeout=on_timeout)
            question = ask.question(question_id(step_id, key), step_id, details_of(show))
        answer = await self._asked(question, form)
        return form.model_validate_json(json.dumps(answer.values))

    async def approval(
        self,
        message: str,
        *,
        show: Result[Any] | Input | str | None = None,
        step: str = "approval",
        key: str | int = "",
        timeout: timedelta | float = _WEEK,  # noqa: ASYNC109 - of a durable timer
        by: tuple[str, ...] = (),
    ) -> bool:
        """Ask a person for a yes, and return whether it was one. `show` is what the person decides on.

        Raises `CallFailed` of type `approval_timeout` if nobody decides in time.
        """
        with checked_question(step):
            question = approval_question(
                question_id(step, key),
                step,
                message,
                details=details_of(show),
                timeout=seconds(timeout),
                by=by,
            )
        return (await self._asked(question)).approved

    async def sleep(self, duration: timedelta | float, summary: str | None = None) -> None:
        """Wait for a time, in seconds or as a `timedelta`, as a durable timer. `summary` is for operators."""
        await workflow.sleep(duration, summary=summary)

    def expect(self, calls: int) -> None:
        """Announce how many calls the job makes in all, so that its progress is exact. It may grow, never shrink."""
        if calls < self._expected:
            raise mistake(f"expect({calls}) after expect({self._expected}): the number may only grow", "invalid_flow")
        if calls > self._expected:
            self._expected = calls
            note(CallsExpected(calls=calls))

    def result(
        self,
        answer: Result[Any] | str | None = None,
        *,
        note: str = "",
        failed: Mapping[str, JobError] | None = None,
    ) -> JobResult:
        """The result of the job: all files of all calls, and `answer` as its output, or else a digest of all calls.

        `failed` are failures that the result does not need: its status is then `partial`.
        """
        answers = sorted(self._results, key=lambda each: self._calls[each.step, each.key, each.agent])
        result = assemble(self._job, answers, dict(failed or {}), workflow.now())
        metadata = {**result.metadata, **({"note": note} if note else {})}
        if isinstance(answer, Result):
            metadata["data"] = answer.answer.data
        output = answer.output if isinstance(answer, Result) else answer or (note if not self._results else None)
        return result.model_copy(update={"metadata": metadata, **({} if output is None else {"output": output})})

    def failed(self, kind: str, message: str) -> ApplicationError:
        """The error to raise so that the job fails with this type and message."""
        return mistake(message, kind)

    async def _asked(self, question: PersonQuestion, form: type[BaseModel] | None = None) -> PersonAnswer:
        try:
            return await self._questions.ask(question, form)
        except ApplicationError as error:
            if error.type == INVALID_QUESTION:
                raise
            failure = JobError(type=error.type or "error", message=error.message, step=question.step)
            raise CallFailed(failure) from None

    async def _made(self, step: str, agent: str, call: Callable[[], Coroutine[Any, Any, AgentResult]]) -> AgentResult:
        """Make a call once the job is not paused. Raises `CallFailed`."""
        await self._controls.running()
        try:
            answer = await call()
        except FailureError as failure:
            if is_cancelled_exception(failure):
                raise
            raise CallFailed(error_of(failure, step, agent)) from failure
        self._results.append(answer)
        return answer

    def _step(self, agent: Agent[Any] | str, step: Step | str | None) -> Step:
        """The step of a call: the one in the plan, or a new one."""
        if isinstance(step, Step):
            return step
        agent_id = agent.id if isinstance(agent, Agent) else agent
        planned = self._job.plan.step(step or agent_id)
        if planned is not None:
            return planned
        name, squad = (agent.name, agent.squad) if isinstance(agent, Agent) else (agent_id, "workflow")
        return Step(id=step or agent_id, name=name, squad=squad, agents=(agent_id,))

    def _claim(self, step: str, key: str, agent: str) -> None:
        if (step, key, agent) in self._calls:
            place = f"{step!r} with key {key!r}" if key else repr(step)
            raise mistake(f"step {place} already called {agent!r}: give each call a key of its own", "duplicate_call")
        self._calls[step, key, agent] = len(self._calls)
