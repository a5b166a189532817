"""Agent calls from plans and from authors' code: one activity each, named after the agent (A2)."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError

from workflows import turns
from workflows.call_numbers import next_number
from workflows.spending import Spending

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.call_ids import CallId, optional_key
    from orchestrator.domain.commands import (
        AgentResult,
        AgentTask,
        CallReuse,
        JobConfig,
        JobInput,
        Recorded,
        ReusedCall,
    )
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.plans import Step
    from orchestrator.domain.tally import UNKNOWN_AGENT, Tally
    from orchestrator.domain.text import headline, inert
    from orchestrator.domain.turns import ToolRequest, TurnState


async def call_agent(
    job: JobInput,
    step: Step | str,
    agent: str,
    context: list[StepOutput] | None = None,
    *,
    input: dict[str, Any] | None = None,
    config: JobConfig | None = None,
    key: str | int | tuple[str | int, ...] = "",
) -> AgentResult:
    """Run one agent as one activity and wait for its result.

    `step` is a step of the job's plan, or its id. `context` holds outputs of earlier steps for the agent. `input`
    replaces the job's input; the agent's input model checks it. Settings in `config` override those of the job.
    Code can call the same step and agent again, also in parallel: each call has its own number, or its own `key`. Two
    calls with one key raise `duplicate_call`. In a retry of a workflow in code, a call is not made again if it asks the
    same as the earlier call of that number and key.
    Raises `temporalio.exceptions.ActivityError` after the attempts that the step's retry policy allows. Faults of a
    worker do not count as attempts: a call of an agent that no worker knows waits for a worker that does.
    """
    plan_step = job.plan.step(step) if isinstance(step, str) else step
    if plan_step is None:
        raise ApplicationError(f"the plan has no step {step!r}", type="unknown_step", non_retryable=True)
    item = optional_key(key)
    state = turns.carried_state(plan_step.id, agent, item)
    id = CallId.parse(state.call) if state else None
    id = id or next_call(plan_step.id, agent, item)
    return await call_as(job, plan_step, id, context or [], input=input, config=config, state=state)


async def call_as(
    job: JobInput,
    step: Step,
    id: CallId,
    context: list[StepOutput],
    *,
    input: dict[str, Any] | None = None,
    config: JobConfig | None = None,
    state: TurnState | None = None,
    above: Spending | None = None,
) -> AgentResult:
    """Like `call_agent`, for a caller that gives each call its identity, or calls it as a tool of another agent."""
    state = state or turns.carried_state(id.step, id.agent, id.key)
    task = _task(job, step, id, context)
    if input is not None:
        task = task.model_copy(update={"input": input, "own_input": True})
    if config is not None:
        task = task.model_copy(update={"config": job.config.model_copy(update=config.model_dump(exclude_unset=True))})
    if job.code and (answer := reused_answer(job, task.call_id, task.asks())) is not None:
        await record_reuse(*answer)
        return answer[1]

    async def call_other(use: ToolRequest, id: CallId, above: Spending) -> AgentResult:
        inner = step.model_copy(update={"short": False, "instruction": ""})
        call = next_call(step.id, use.target, id.inner_key)
        return await call_as(job, inner, call, [], input=use.arguments, config=config, above=above)

    return await turns.answer(task, state, _served, call_other, above)


async def _served(task: AgentTask) -> AgentResult:
    """Make a call. While no worker knows the agent, it waits for one that does."""
    while True:
        try:
            return await _make(task)
        except (ActivityError, ApplicationError) as error:  # a short call raises its cause without an `ActivityError`
            unserved = _unserved(error)
            # Histories of earlier releases fail here.
            if unserved is None or not workflow.patched(names.PATCH_UNKNOWN_AGENTS_WAIT):
                raise
            tally = next((tally for details in unserved.details if (tally := Tally.of(details))), None) or Tally()
            # No longer a short call: its workflow's worker lacks the agent.
            elsewhere = task.step.model_copy(update={"short": False})
            task = task.model_copy(update={"step": elsewhere, "tally": tally.model_copy(update={"tries": 0})})


async def _make(task: AgentTask) -> AgentResult:
    """Make a call as one activity, within the agent's attempts and the step's time."""
    step, id = task.step, str(task.call_id)
    start_to_close = timedelta(seconds=step.timeouts.start_to_close)
    schedule_to_close = timedelta(seconds=step.timeouts.schedule_to_close)
    retry = RetryPolicy(
        initial_interval=timedelta(seconds=step.retry.initial_interval),
        backoff_coefficient=step.retry.backoff_coefficient,
        maximum_interval=timedelta(seconds=step.retry.longest_interval),
        # Temporal also counts tries that died with their worker. The activity counts the agent's attempts.
        maximum_attempts=step.retry.maximum_attempts if step.short else 0,
    )
    result: AgentResult
    if step.short:
        result = await workflow.execute_local_activity(
            task.agent,
            task,
            activity_id=id,
            result_type=AgentResult,
            retry_policy=retry,
            start_to_close_timeout=start_to_close,
            schedule_to_close_timeout=schedule_to_close,
        )
        return result
    result = await workflow.execute_activity(
        task.agent,
        task,
        task_queue=step.task_queue,
        activity_id=id,
        summary=headline(inert(step.name)),
        result_type=AgentResult,
        retry_policy=retry,
        start_to_close_timeout=start_to_close,
        schedule_to_close_timeout=schedule_to_close,
        heartbeat_timeout=timedelta(seconds=step.timeouts.heartbeat),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    return result


def _unserved(error: BaseException) -> ApplicationError | None:
    """The error of the last worker, if no worker knew the agent before the call's time was over."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError | TimeoutError):
        cause = cause.cause
    return cause if isinstance(cause, ApplicationError) and cause.type == UNKNOWN_AGENT else None


def next_call(step: str, agent: str, key: str) -> CallId:
    """The identity of the next call. Raises `duplicate_call` if the job made a call with that key already."""
    if not key:
        return CallId(step, agent, next_number(CallId(step, agent)))
    id = CallId(step, agent, key=key)
    if next_number(id) > 1:
        message = f"the job has made the call {id} already: pass a key that no other call of {step}.{agent} has"
        raise ApplicationError(message, type="duplicate_call", non_retryable=True)
    return id


def _task(job: JobInput, step: Step, id: CallId, context: list[StepOutput]) -> AgentTask:
    return AgentTask(
        # Not the id in the input: a copy of another job's input must not write into that job.
        job_id=workflow.info().workflow_id,
        owner=job.owner,
        definition=job.definition,
        kind=job.kind,
        step=step,
        agent=id.agent,
        call=id.number,
        key=id.key,
        input=job.input,
        config=job.config,
        context=context,
        tokens=job.tokens,
    )


def reused_answer(job: JobInput, id: CallId, asks: str) -> tuple[ReusedCall, AgentResult] | None:
    """The answer of a retried job to the same question. The interpreter gets such answers in `carried` instead."""
    calls = job.retry.calls if job.retry else ()
    call = next((each for each in calls if each.call_id == id), None)
    if call is None or call.asks is None or call.asks != asks:
        return None
    results = job.carried.results if job.carried else ()
    result = next((each for each in results if each.call_id == id), None)
    return None if result is None else (call, result)


async def record_reuse(call: ReusedCall, result: AgentResult) -> None:
    """Record the reuse in history."""
    await workflow.execute_local_activity(
        names.ACTIVITY_REUSE_CALL,
        CallReuse(job_id=call.job_id),
        activity_id=str(result.call_id),
        result_type=Recorded,
        start_to_close_timeout=timedelta(seconds=10),
    )


def job_error(failure: FailureError, step: str) -> JobError:
    """The error of a failed agent call: the type and message of its innermost cause, with step and agent."""
    agent = failure.activity_type if isinstance(failure, ActivityError) else None
    cause: BaseException = failure
    while isinstance(cause, ActivityError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        return JobError(type=cause.type or "error", message=cause.message, step=step, agent=agent)
    if isinstance(cause, TimeoutError):
        word = cause.type.name.lower() if cause.type else "unknown"
        return JobError(
            type=f"{word}_timeout", message=f"{agent or step} ran into its {word} limit.", step=step, agent=agent
        )
    return JobError(type="error", message=str(cause), step=step, agent=agent)
