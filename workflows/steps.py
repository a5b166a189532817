"""Agent calls from workflow code, for plans and authors alike: one activity each, named after the agent (A2)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError

from workflows.call_numbers import next_number

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.commands import AgentResult, AgentTask, CallReuse, JobInput, Recorded, ReusedCall
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.plans import Step
    from orchestrator.domain.tally import UNKNOWN_AGENT, Tally
    from orchestrator.domain.text import headline, inert


async def call_agent(
    job: JobInput, step: Step | str, agent: str, context: list[StepOutput] | None = None
) -> AgentResult:
    """Run one agent as one activity and wait for its result.

    `step` is a step of the job's own plan, or its id. `context` is what the agent is told of earlier steps. The same
    pair of step and agent may be called again, also in parallel: each call is one of its own, with its own number.
    In a retry of workflow code, a call that asks for the same as the one of that number did is not made again.
    Raises `temporalio.exceptions.ActivityError` once the agent's own attempts, which the step's retry policy bounds,
    are used up. What befalls a worker uses up none: a call of an agent that no worker knows waits for one that does.
    """
    known = job.plan.step(step) if isinstance(step, str) else step
    if known is None:
        raise ApplicationError(f"the plan has no step {step!r}", type="unknown_step", non_retryable=True)
    number = next_number(known.id, agent)
    task = _task(job, known, agent, number, context or [])
    if job.code and (answer := _answered(job, task)) is not None:
        await _take_over(*answer)
        return answer[1]
    while True:
        try:
            return await _make(task)
        except (ActivityError, ApplicationError) as error:  # a short call fails without the former around its cause
            unserved = _unserved(error)
            # Histories of earlier releases fail here.
            if unserved is None or not workflow.patched(names.PATCH_UNKNOWN_AGENTS_WAIT):
                raise
            tally = next((found for details in unserved.details if (found := Tally.of(details))), None) or Tally()
            # Not a short one any more: beside its workflow it found no agent.
            elsewhere = known.model_copy(update={"short": False})
            task = task.model_copy(update={"step": elsewhere, "tally": tally.model_copy(update={"tries": 0})})


async def _make(task: AgentTask) -> AgentResult:
    """Make a call as one activity, tried until the agent's own attempts or the step's time are used up."""
    step, id = task.step, names.activity_id(task.step.id, task.agent, task.call)
    start_to_close = timedelta(seconds=step.timeouts.start_to_close)
    schedule_to_close = timedelta(seconds=step.timeouts.schedule_to_close)
    retry = RetryPolicy(
        initial_interval=timedelta(seconds=step.retry.initial_interval),
        backoff_coefficient=step.retry.backoff_coefficient,
        maximum_interval=timedelta(seconds=step.retry.maximum_interval),
        # Temporal counts tries that died with their worker, too. The activity itself counts the agent's own.
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
    """What the last worker said if the call's time ran out, or its worker's was up, while none knew the agent."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError | TimeoutError):
        cause = cause.cause
    return cause if isinstance(cause, ApplicationError) and cause.type == UNKNOWN_AGENT else None


def _task(job: JobInput, step: Step, agent: str, number: int, context: list[StepOutput]) -> AgentTask:
    return AgentTask(
        # Not the input's: a copy of somebody's job must not write into theirs.
        job_id=workflow.info().workflow_id,
        owner=job.owner,
        definition=job.definition,
        kind=job.kind,
        step=step,
        agent=agent,
        call=number,
        input=job.input,
        config=job.config,
        context=context,
        tokens=job.tokens,
    )


def _answered(job: JobInput, task: AgentTask) -> tuple[ReusedCall, AgentResult] | None:
    """The answer that an earlier job of the line got to the same question. The interpreter asks for none of those."""
    this = (task.step.id, task.agent, task.call)
    calls = job.retry.calls if job.retry else ()
    call = next((each for each in calls if (each.step, each.agent, each.call) == this), None)
    if call is None or call.asks is None or call.asks != task.asks():
        return None
    results = job.carried.results if job.carried else ()
    result = next((each for each in results if (each.step, each.agent, each.call) == this), None)
    return None if result is None else (call, result)


async def _take_over(call: ReusedCall, result: AgentResult) -> None:
    """Leave the fact in history."""
    await workflow.execute_local_activity(
        names.ACTIVITY_REUSE_CALL,
        CallReuse(job_id=call.job_id),
        activity_id=names.activity_id(result.step, result.agent, result.call),
        result_type=Recorded,
        start_to_close_timeout=timedelta(seconds=10),
    )


def job_error(failure: FailureError, step: str) -> JobError:
    """What a failed agent call tells: the stable word of its innermost cause, a sentence, and whose call it was."""
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
