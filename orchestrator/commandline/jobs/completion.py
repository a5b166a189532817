"""What the shell completes: ids of jobs, workflows and agents, from the API if it answers within a second."""
# ruff: noqa: PLC0415 - imported only where the API is asked

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
_MOST: Final = 50


def job_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs that the command applies to, each with what it runs and where it is."""
    from orchestrator.commandline.jobs.patience import Patience
    from orchestrator.commandline.jobs.table import where_of

    action = Action(ctx.info_name) if ctx.info_name in set(Action) else None
    selection = narrowed(action, Selection()) if action else Selection()

    async def ask(client: "JobsClient") -> list[tuple[str, str]]:
        found = await client.find(
            selection,
            Patience(0),
            most=_MOST,
            applies=lambda job: job.job_id.startswith(incomplete) and (action is None or RULES[action].applies(job)),
        )
        return [(job.job_id, f"{job.target} {where_of(job)}") for job in found.jobs]

    return _asked(ctx, ask)


def workflows(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Workflows that begin so."""
    return _named(ctx, "workflows", incomplete)


def agents(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Agents that begin so."""
    return _named(ctx, "agents", incomplete)


def targets(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Workflows and agents that begin so."""
    return [(name, kind) for kind in ("workflow", "agent") for name, _ in _named(ctx, f"{kind}s", incomplete)]


def reasons(incomplete: str) -> list[str]:
    """Reasons that begin so."""
    return [str(code) for code in ReasonCode if code.startswith(incomplete)]


def _named(ctx: typer.Context, kind: str, incomplete: str) -> list[tuple[str, str]]:
    async def ask(client: "JobsClient") -> list[tuple[str, str]]:
        return [(name, "") for name in await client.names(kind) if name.startswith(incomplete)]

    return _asked(ctx, ask)


def _asked(
    ctx: typer.Context, ask: "Callable[[JobsClient], Awaitable[list[tuple[str, str]]]]"
) -> list[tuple[str, str]]:
    """What the API answers; nothing where it does not, because a fault cannot be told in the middle of a line."""
    from orchestrator.commandline.jobs.client import JobsClient
    from orchestrator.commandline.run.client import NoAnswer

    async def work() -> list[tuple[str, str]]:
        given = ctx.params
        api = connection(given.get("api_url"), given.get("api_key"), given.get("data_dir"))
        client = JobsClient(api.url, api.key)
        try:
            async with asyncio.timeout(_SECONDS):
                return await ask(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(work())
    except (NoAnswer, Refused, TimeoutError, ValueError):
        return []
