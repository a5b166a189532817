"""Commands that only read jobs: list, show, watch, output."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console

from orchestrator.commandline.jobs.client import JobsClient
from orchestrator.commandline.jobs.patience import Patience
from orchestrator.commandline.jobs.picture import Frame, picture
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.table import print_table
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run import deliverables
from orchestrator.commandline.run.client import NoAnswer, Rejected, parsed
from orchestrator.commandline.run.command import follow, summarise
from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line, plain
from orchestrator.domain.jobs import JobStatus

T = TypeVar("T")

_PAGE_PATIENCE: Final = 90.0  # A key's window of requests is a minute.
_WATCH_PATIENCE: Final = 300.0
_BAR: Final = 24
_WIDE: Final = 110
_ENDED: Final = frozenset(status for status in JobStatus if not status.open)


def list_jobs(
    api: Connection, selection: Selection, console: Console, *, most: int | None, as_json: bool, ids: bool
) -> int:
    """Show the newest `most` jobs of a selection, or all. Raises `Refused`."""

    async def ask(client: JobsClient) -> int:
        found = await client.find(selection, _limits_only(), most=most)
        exact = selection.since is None and selection.before is None
        if as_json:
            exits.say_json({"jobs": found.bodies, "total": found.total if exact else len(found.jobs)})
        elif ids:
            for job in found.jobs:
                exits.say(job.job_id)
        elif not found.jobs:
            sys.stderr.write("no job matches\n" if selection else "there are no jobs yet\n")
        else:
            print_table(console, found.jobs, datetime.now(UTC))
            shown = len(found.jobs)
            if (exact and found.total > shown) or (not exact and shown == most):
                of = f" of {found.total:,}" if exact else ""
                sys.stderr.write(f"the newest {shown}{of}; --limit shows more, --all every one\n")
        return exits.OK

    return _with_client(api, ask)


def show(api: Connection, job_id: str, console: Console, *, as_json: bool) -> int:
    """Show one job as a picture, or as the API words it. Raises `Refused`."""

    async def ask(client: JobsClient) -> int:
        body = await client.job_json(job_id)
        if as_json:
            exits.say_json(json.loads(body))
            return exits.OK
        bar = _BAR if console.is_terminal and console.width >= _WIDE else 0
        for line in picture(parsed(FollowedJob, body), Frame(datetime.now(UTC), bar, api.flag)):
            line.rstrip()
            console.print(line, highlight=False, soft_wrap=True)
        return exits.OK

    return _with_client(api, ask)


def watch(api: Connection, job_id: str, console: Console, *, as_json: bool, after: str) -> int:
    """Follow a job to its end: 0 when it completed, 1 when it did not. Raises `Refused`."""

    async def ask(client: JobsClient) -> int:
        if not as_json:
            job = await follow(client, job_id, console)
            summarise(job, console, flag=api.flag)
            return _code(job.status)
        async with aclosing(client.events(job_id, after, Patience(_WATCH_PATIENCE, exits.warn))) as events:
            async for event in events:
                exits.say(json.dumps(event, ensure_ascii=False))
        return _code((await client.job(job_id)).status)

    return _with_client(api, ask, interrupted=f"not watched any more; {job_id} goes on")


def output(
    api: Connection, job_id: str, console: Console, *, folder: Path | None, overwrite: bool, as_json: bool
) -> int:
    """Print what a job answered, or leave its files in a folder: 3 where some exist and are kept.

    Raises `Refused`: exit code 1 while there is no output.
    """

    async def ask(client: JobsClient) -> int:
        try:
            body = await client.output_json(job_id)
        except Rejected as fault:
            raise Refused(await _why_none(client, job_id, fault, api.flag), exits.FAILED) from fault
        if body.get("status") == "partial":
            exits.warn("the job did not complete as planned: this is what its finished calls answered")
        code = exits.OK
        if folder is not None:
            written = deliverables.write(folder, deliverables.deliverables_of(body), overwrite=overwrite)
            for path in written.files:
                sys.stderr.write(f"{one_line(str(path))}\n")
            code = written.report()
        if as_json:
            exits.say_json(body)
        elif folder is None:
            text = str(body.get("output", ""))
            exits.say(plain(text) if console.is_terminal else text)
        return code

    return _with_client(api, ask)


async def _why_none(client: JobsClient, job_id: str, fault: Rejected, flag: str) -> str:
    """Why a job has no output; of an open one, what to do."""
    if fault.status != 400 or (await client.job(job_id)).status in _ENDED:
        return str(fault)
    return f"{job_id} has no output yet; wait for it with: orchestrator jobs watch {job_id}{flag}"


def _with_client(api: Connection, ask: Callable[[JobsClient], Awaitable[T]], interrupted: str = "interrupted") -> T:
    async def work() -> T:
        client = JobsClient(api.url, api.key)
        try:
            return await ask(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(work())
    except NoAnswer as fault:
        raise Refused(str(fault), exits.FAILED) from fault
    except KeyboardInterrupt:
        raise Refused(interrupted, exits.INTERRUPTED) from None


def _limits_only() -> Patience:
    """Waits for a limit of requests, and for nothing else: who reads wants to know at once."""
    return Patience(_PAGE_PATIENCE, exits.warn, outages=False)


def _code(status: str) -> int:
    return exits.OK if status == JobStatus.COMPLETED else exits.FAILED
