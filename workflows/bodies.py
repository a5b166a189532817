"""What a step of a plan runs: its agents, the steps of its group, once or for each item, in rounds."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows.children import run_child
from workflows.run_state import said
from workflows.scopes import StepScope, condition, mapped, own_input, value_of
from workflows.steps import call_as, job_error
from workflows.tasks import stop
from workflows.walk import StepPassed, Walk, error_of, failure, is_over

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.call_ids import CallId, call_key, key_within, place_of
    from orchestrator.domain.commands import AgentResult, JobConfig
    from orchestrator.domain.notes import ItemsEnded, ItemsListed, RoundBegun, RoundsEnded
    from orchestrator.domain.plans import FallbackModel, Repeat, Step
    from orchestrator.domain.questions import Ask, shortened
    from orchestrator.domain.step_ends import EndStatus, StepEnd, step_fields

MAX_ITEMS: Final = 1000
MAX_PARALLEL: Final = 10


class Bodies:
    """Runs the bodies of steps within one walk of a plan."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._job = walk.job
        self._state = walk.state

    async def run(self, step: Step, scope: StepScope) -> StepEnd:
        """Run a step whose time has come. Raises the failure that ends it."""
        if step.for_each is not None:
            return await self._for_each(step, scope)
        return StepEnd(EndStatus.COMPLETED, await self._once(step, scope))

    async def _once(self, step: Step, scope: StepScope) -> dict[str, Any]:
        """The values of one run of the step, within one item if it has items."""
        if step.repeat is not None:
            return await self._rounds(step, step.repeat, scope)
        return await self._body(step, scope)

    async def _body(self, step: Step, scope: StepScope) -> dict[str, Any]:
        if step.steps:
            group = StepScope(step.steps, scope.key, parent=scope)
            await self._walk.scope(group)
            return group.view()
        if step.workflow is not None:
            return await self._child(step, step.workflow, scope)
        if step.ask is not None:
            return await self._ask(step, step.ask, scope)
        if not step.agents:
            return {}
        results = await self._agents(step, scope)
        return step_fields(results, by_agent=len(step.agents) > 1)

    async def _child(self, step: Step, definition: str, scope: StepScope) -> dict[str, Any]:
        """Run another workflow as a child job."""
        id = CallId(step.id, definition, key=scope.key)
        result = self._state.child_answer(id)
        if result is None:
            input = own_input(step, scope, self._job.input)
            await workflow.wait_condition(self._walk.may_start)
            self._walk.active.add(str(id))
            self._walk.show()
            try:
                result = await run_child(
                    self._job, definition, self._job.input if input is None else input, step=step.id, key=scope.key
                )
            finally:
                self._walk.active.discard(str(id))
            self._state.answer(result.model_copy(update={"key": scope.key}))
        return step_fields([result], by_agent=False)

    async def _ask(self, step: Step, ask: Ask, scope: StepScope) -> dict[str, Any]:
        """Ask a person. An open question does not keep the job from continuing as a new run: its state is carried."""
        details = mapped(ask.show, step, scope, self._job.input) if ask.show is not None else None
        question = ask.question(place_of(step.id, scope.key), step.id, details and shortened(details))
        answer = await self._walk.questions.ask(question)
        if answer.how == "skipped":
            raise StepPassed("nobody answered in time")
        self._state.said[place_of(step.id, scope.key)] = said(step.id, scope.key, answer)
        return dict(answer.values)

    async def _rounds(self, step: Step, repeat: Repeat, scope: StepScope) -> dict[str, Any]:
        """Run round after round, until the condition is true of the last one."""
        values: dict[str, Any] = {}
        for number in range(1, repeat.max_rounds + 1):
            names = {"round": number, "previous": values}
            around = StepScope((step,), key_within(scope.key, number), names, scope)
            await workflow.wait_condition(self._walk.may_start)
            self._walk.note(RoundBegun(step=step.id, key=scope.key, number=number))
            values = await self._body(step, around)
            around.ends |= _ends_of(step, values)
            if condition(repeat.until, "the end of the rounds", around, step, self._job.input):
                break
        else:
            if repeat.on_limit == "fail":
                message = (
                    f"step {step.id!r} has run {repeat.max_rounds} rounds, and this is still false: {repeat.until.cel}"
                )
                raise ApplicationError(message, type="rounds_exhausted", non_retryable=True)
        self._walk.note(RoundsEnded(step=step.id, key=scope.key, number=number))
        return {**values, "rounds": number}

    async def _for_each(self, step: Step, scope: StepScope) -> StepEnd:
        """Run the step for each item, at most `max_parallel` at once; the list keeps the order of the items."""
        items = self._items(step, scope)
        self._walk.note(ItemsListed(step=step.id, key=scope.key, keys=tuple(items)))
        ends: dict[str, StepEnd] = {}
        queue = iter(items.items())
        limit = step.max_parallel or MAX_PARALLEL
        if not self._job.config.parallel_execution:
            limit = 1
        workers = [asyncio.create_task(self._work(step, scope, queue, ends)) for _ in range(min(limit, len(items)))]
        try:
            await workflow.wait_condition(lambda: _enough(step, ends) or is_over(workers))
        except asyncio.CancelledError:
            await stop(workers)
            raise
        failed = [error for worker in workers if worker.done() and (error := worker.exception()) is not None]
        await stop(workers)
        if failed and not _enough(step, ends):
            raise failed[0]
        if _enough(step, ends) and len(ends) < len(items):
            self._walk.note(ItemsEnded(step=step.id, key=scope.key))
        done = sum(end.status is EndStatus.COMPLETED for end in ends.values())
        if step.enough is not None and done < min(step.enough, len(items)):
            message = f"{done} of {len(items)} items of step {step.id!r} are done: {step.enough} are needed"
            raise ApplicationError(message, type="not_enough", non_retryable=True)
        rest = StepEnd(EndStatus.CANCELLED)
        return StepEnd(EndStatus.COMPLETED, items=[ends.get(key, rest).item(key) for key in items])

    async def _work(
        self, step: Step, scope: StepScope, queue: Iterator[tuple[str, Any]], ends: dict[str, StepEnd]
    ) -> None:
        """Take items from the queue until it is empty. Raises the first failure that ends the step."""
        for key, item in queue:
            within = StepScope((step,), key_within(scope.key, key), {"item": item, "key": key}, scope)
            try:
                await workflow.wait_condition(self._walk.may_start)
                ends[key] = StepEnd(EndStatus.COMPLETED, await self._once(step, within))
            except StepPassed as passed:
                ends[key] = StepEnd(EndStatus.SKIPPED, why=str(passed))
            except (ActivityError, ApplicationError) as error:
                if is_cancelled_exception(error):
                    raise
                problem = error_of(error, step.id)
                if step.enough is None and not self._walk.continues(step):
                    raise
                ends[key] = StepEnd(EndStatus.FAILED, error=problem)
                self._walk.fail(step, within.key, problem)
            self._walk.show()

    def _items(self, step: Step, scope: StepScope) -> dict[str, Any]:
        """The items by their keys. Raises `condition_failed`, `too_many_items` or `duplicate_keys`."""
        items = value_of(step.for_each or "", "the list", scope, step, self._job.input)
        if not isinstance(items, list):
            message = f"for_each of step {step.id!r} gave no list: {str(items)[:200]!r}"
            raise ApplicationError(message, type="condition_failed", non_retryable=True)
        limit = step.max_items or MAX_ITEMS
        if len(items) > limit:
            message = f"step {step.id!r} has {len(items)} items: max_items allows {limit}"
            raise ApplicationError(message, type="too_many_items", non_retryable=True)
        by_key: dict[str, Any] = {}
        for index, item in enumerate(items):
            key: Any = index
            if step.key is not None:
                key = value_of(step.key, "the key", scope, step, self._job.input, item=item)
            text = call_key(key if isinstance(key, str | int) else str(key))
            if text in by_key:
                message = f"two items of step {step.id!r} have the key {key!r}: each item needs its own"
                raise ApplicationError(message, type="duplicate_keys", non_retryable=True)
            by_key[text] = item
        return by_key

    async def _agents(self, step: Step, scope: StepScope) -> Sequence[AgentResult]:
        """Run all agents of a step, in parallel or in order. Raises the first failure after every call has ended."""
        input = own_input(step, scope, self._job.input)
        open_calls = [agent for agent in step.agents if self._answer(step, agent, scope) is None]
        context = [] if step.input is not None else self._context(step, scope)
        context += self._said(step, scope)
        if not self._job.config.parallel_execution:
            for agent in open_calls:
                await self._agent(step, agent, context, scope, input)
        else:
            calls = [asyncio.create_task(self._agent(step, agent, context, scope, input)) for agent in open_calls]
            try:
                if calls:
                    await workflow.wait(calls, return_when=self._return_when(step))
            except asyncio.CancelledError:
                await stop(calls)
                raise
            await stop(calls)
            errors = [error for call in calls if not call.cancelled() and (error := call.exception()) is not None]
            # Prefer the cause: other calls were cancelled because of it.
            errors.sort(key=is_cancelled_exception)
            if errors:
                raise errors[0]
        results = [self._answer(step, agent, scope) for agent in step.agents]
        return [result for result in results if result is not None]

    def _return_when(self, step: Step) -> str:
        return asyncio.ALL_COMPLETED if self._walk.continues(step) else asyncio.FIRST_EXCEPTION

    def _answer(self, step: Step, agent: str, scope: StepScope) -> AgentResult | None:
        """The answer of an agent of the step, or of what replaced it."""
        candidates = _candidates(step, agent, scope.key)
        return next((result for id, _ in candidates if (result := self._state.answers.get(id)) is not None), None)

    async def _agent(
        self, step: Step, agent: str, context: list[StepOutput], scope: StepScope, input: dict[str, Any] | None
    ) -> None:
        """Call an agent; after its last failure, call what replaces it."""
        *earlier, last = _candidates(step, agent, scope.key)
        for id, config in earlier:
            error = self._state.failed_calls.get(str(id))
            if error is None:
                try:
                    return await self._call(step, id, config, context, input)
                except ActivityError as problem:
                    if is_cancelled_exception(problem):
                        raise
                    self._state.failed_calls[str(id)] = job_error(problem, step.id)
        id, config = last
        if (error := self._state.failed_calls.get(str(id))) is not None:
            raise failure(error)
        try:
            await self._call(step, id, config, context, input)
        except ActivityError as problem:
            if not is_cancelled_exception(problem) and step.decides:
                self._state.failed_calls[str(id)] = job_error(problem, step.id)
            raise

    async def _call(
        self, step: Step, id: CallId, config: JobConfig | None, context: list[StepOutput], input: dict[str, Any] | None
    ) -> None:
        if step.decides or id.key:
            await workflow.wait_condition(self._walk.may_start)
        self._walk.active.add(str(id))
        self._walk.show()
        try:
            result = await call_as(
                self._job, step.bare() if step.decides else step, id, context, input=input, config=config
            )
        finally:
            self._walk.active.discard(str(id))
        self._state.answer(result)
        self._walk.show()

    def _said(self, step: Step, scope: StepScope) -> list[StepOutput]:
        """What people said for this step: the note of its approval, and their answers to the questions it needs."""
        places = dict.fromkeys([step.id, *(each for need in step.needs for each in (place_of(need, scope.key), need))])
        return [self._state.said[place] for place in places if place in self._state.said]

    def _context(self, step: Step, scope: StepScope) -> list[StepOutput]:
        """The full answers of the steps that this step needs, and a summary of every other answer.

        A step in a round or an item does not see the answers of other rounds and items.
        """
        around = {scope.key[:at] for at in (0, *(i for i, c in enumerate(scope.key) if c == "/"), len(scope.key))}
        return [
            result.as_context(full=result.step in step.needs) for result in self._state.results if result.key in around
        ]


def _candidates(step: Step, agent: str, key: str) -> list[tuple[CallId, JobConfig | None]]:
    """The calls for an agent of a step: the agent itself, then what replaces it after its last failure."""
    calls: list[tuple[CallId, JobConfig | None]] = [(CallId(step.id, agent, key=key), None)]
    models = 0
    for other in step.fallback:
        if isinstance(other, FallbackModel):
            models += 1
            calls.append((CallId(step.id, agent, models + 1, key), JobConfig(model=other.model)))
        else:
            calls.append((CallId(step.id, other, key=key), None))
    return calls


def _ends_of(step: Step, values: dict[str, Any]) -> dict[str, StepEnd]:
    """The ends that the condition of a round sees: of the steps of the group, or of the step itself."""
    if not step.steps:
        return {step.id: StepEnd(EndStatus.COMPLETED, values)}
    return {id: StepEnd(EndStatus(view["status"]), view) for id, view in values.items()}


def _enough(step: Step, ends: dict[str, StepEnd]) -> bool:
    return step.enough is not None and sum(e.status is EndStatus.COMPLETED for e in ends.values()) >= step.enough
