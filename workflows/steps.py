"""Agent calls from workflow code, for plans and authors alike: one activity each, named after the agent (A2)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError

from workflows.call_numbers import next_number

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.commands import AgentResult, AgentTask, JobInput
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.plans import Step
    from orchestrator.domain.tally import UNKNOWN_AGENT, Tally


async def call_agent(
    job: JobInput, step: Step | str, agent: str, context: list[StepOutput] | None = None
) -> AgentResult:
    """Run one agent as one activity and wait for its result.

    `step` is a step of the job's own plan, or its id. `context` is what the agent is told of earlier steps. The same
    pair of step and agent may be called again, also in parallel: each call is one of its own, with its own number.
    Raises `temporalio.exceptions.ActivityError` once the agent's own attempts, which the step's retry policy bounds,
    are used up. What befalls a worker uses up none: a call of an agent that no worker knows waits for one that does.
    """
    known = job.plan.step(step) if isinstance(step, str) else step
    if known is None:
        raise ApplicationError(f"the plan has no step {step!r}", type="unknown_step", non_retryable=True)
    number = next_number(known.id, agent)
    task = AgentTask(
        # Not the input's: a copy of somebody's job must not write into theirs.
        job_id=workflow.info().workflow_id,
        owner=job.owner,
        definition=job.definition,
        kind=job.kind,
        step=known,
        agent=agent,
        call=number,
        input=job.input,
        config=job.config,
        context=context or [],
    )
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
        summary=step.name,
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
