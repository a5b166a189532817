"""Workflows in code that raise what no wire takes."""

from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import JobInput, JobResult
    from orchestrator.domain.errors import AgentError

PAGE = 5_000_000


class Loud(Exception):
    """An exception with a whole page in it."""


class Silent(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raise_loudly(how: str) -> NoReturn:
    """Raise as a test asks."""
    page = "x" * PAGE
    match how:
        case "foreign":
            raise Loud(page)
        case "application":
            raise ApplicationError(page, type="Loud", non_retryable=True)
        case "details":
            raise ApplicationError("short", page, {"more": page}, type="Loud", non_retryable=True)
        case "no data":
            raise ApplicationError("short", object(), type="Loud", non_retryable=True)
        case "own":
            raise AgentError(page, kind="loud", retryable=False)
        case "silent":
            raise Silent
        case "unsound":
            raise Loud("half \ud83d, n\0ul, \x1b[31mred")
        case "type":
            raise ApplicationError("short", type="Loud" * PAGE, non_retryable=True)
        case "cancelled":
            raise CancelledError(page)
        case "circle":
            first, second = Loud(page), Loud(page)
            first.__cause__ = second
            raise second from first
        case _:
            raise AssertionError(how)


@workflow.defn(name="t_loud_code")
class LoudWorkflow:
    """Raises by itself, or after the agent that it asks has raised."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        if job.input.get("agent"):
            try:
                await call_agent(job, "go", "t_loud")
            except ActivityError as error:
                raise Loud("x" * PAGE) from error
        if job.input.get("waits"):
            await workflow.wait_condition(lambda: False)
        if job.input["how"] == "nothing":
            return None  # type: ignore[return-value]
        raise_loudly(job.input["how"])

    @workflow.signal
    async def shout(self, how: str) -> None:
        raise_loudly(how)

    @workflow.update
    async def ask(self, how: str) -> None:
        raise_loudly(how)
