"""Shell completion of job, workflow and agent ids, from the API if it answers within a second."""
# ruff: noqa: PLC0415 - imported only when the API is called

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import typer

from orchestrator.commandline.jobs.actions import RULES, Action, narrowed
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.options import connection
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.jobs import ReasonCode

if TYPE_CHECKING:
    from orchestrator.commandline.jobs.client import JobsClient

_SECONDS: Final = 1.0
_MAXIMUM: Final = 50


def job_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs that the command applies to, each with its workflow or agent and its state."""
    from orchestrator.commandline.jobs.retries import ApiRetries
    from orchestrator.commandline.jobs.table import state_word

    action = Action(ctx.info_name) if ctx.info_name in set(Action) else None
    selection = narrowed(action, Selection()) if action else Selection()

    async def request(client: "JobsClient") -> list[tuple[str, str]]:
        page = await client.find(
            selection,
            ApiRetries(0),
            maximum=_MAXIMUM,
            applies=lambda job: job.job_id.startswith(incomplete) and (action is None or RULES[action].applies(job)),
        )
        return [(job.job_id, f"{job.target} {state_word(job)}") for job in page.jobs]

    return _completions(ctx, request)


def workflows(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Workflow ids that begin with the text."""
    return _names(ctx, "workflows", incomplete)


def agents(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Agent ids that begin with the text."""
    return _names(ctx, "agents", incomplete)


def targets(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Workflow and agent ids that begin with the text."""
    return [(name, kind) for kind in ("workflow", "agent") for name, _ in _names(ctx, f"{kind}s", incomplete)]


def reasons(incomplete: str) -> list[str]:
    """Reasons that begin with the text."""
    return [str(code) for code in ReasonCode if code.startswith(incomplete)]


def _names(ctx: typer.Context, kind: str, incomplete: str) -> list[tuple[str, str]]:
    async def request(client: "JobsClient") -> list[tuple[str, str]]:
        return [(name, "") for name in await client.names(kind) if name.startswith(incomplete)]

    return _completions(ctx, request)


def _completions(
    ctx: typer.Context, request: "Callable[[JobsClient], Awaitable[list[tuple[str, str]]]]"
) -> list[tuple[str, str]]:
    """The completions from the API; none if it fails, because a shell cannot show an error within a command line."""
    from orchestrator.commandline.jobs.client import JobsClient
    from orchestrator.commandline.run.client import NoAnswer

    async def work() -> list[tuple[str, str]]:
        options = ctx.params
        api = connection(options.get("api_url"), options.get("api_key"), options.get("data_dir"))
        client = JobsClient(api.url, api.key)
        try:
            async with asyncio.timeout(_SECONDS):
                return await request(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(work())
    except (NoAnswer, Refused, TimeoutError, ValueError):
        return []
