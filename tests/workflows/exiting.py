"""Workflows in code that exit, in each of the places where an author's code runs."""

import asyncio
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import JobInput, JobResult


class Stop(BaseException):
    """What no `except Exception` catches."""


async def _leave(error: BaseException) -> NoReturn:
    await asyncio.sleep(0)
    raise error


def _error(name: str) -> BaseException:
    return {
        "SystemExit": SystemExit("ACME_TOKEN is not set"),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "GeneratorExit": GeneratorExit(),
        "Stop": Stop("enough"),
    }[name]


@workflow.defn(name="t_exits")
class ExitingWorkflow:
    """Exits where its input says: in `run`, in a gathered coroutine, in a signal's handler, in `__init__`."""

    @workflow.init
    def __init__(self, job: JobInput) -> None:
        self._error = _error(job.input["error"])
        if job.input["where"] == "init":
            raise self._error

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        match job.input["where"]:
            case "run":
                raise self._error
            case "gather":
                await asyncio.gather(asyncio.sleep(1), _leave(self._error))
            case "after_a_call":
                await call_agent(job, "go", "t_echo")
                await asyncio.gather(_leave(self._error), _leave(self._error))
            case _:
                await workflow.wait_condition(lambda: False)
        return JobResult(output="went on")

    @workflow.signal
    def go(self) -> None:
        raise self._error

    @workflow.query
    def looks(self) -> str:
        raise self._error


@workflow.defn(name="t_exits_outside", sandboxed=False)
class OutsideWorkflow:
    """Exits in a gathered coroutine, outside the sandbox."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        await asyncio.gather(asyncio.sleep(1), _leave(_error(job.input["error"])))
        return JobResult(output="went on")


@workflow.defn(name="t_spins")
class SpinningWorkflow:
    """Runs for ever without waiting for anything, in the way that its input says, after a call of an agent."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        await call_agent(job, "go", "t_echo")
        while True:
            match job.input["how"]:
                case "pass":
                    pass
                case "sleep":
                    await asyncio.sleep(0)
                case _:
                    await workflow.wait_condition(lambda: True)


@workflow.defn(name="t_activity")
class ActivityWorkflow:
    """Runs the activity of its input once; its answer, or the type of its error, is the answer."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        try:
            answer = await workflow.execute_activity(
                job.input["activity"],
                "",
                activity_id="the_activity",
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_attempts=2),
            )
        except ActivityError as error:
            kind = error.cause.type if isinstance(error.cause, ApplicationError) else None
            raise ApplicationError(str(kind), type="reported", non_retryable=True) from error
        return JobResult(output=str(answer))
