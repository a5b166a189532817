"""The commands that only read jobs: list, show, watch, output."""

import json
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from orchestrator.commandline.jobs.client import JobsClient
from orchestrator.commandline.jobs.picture import Frame, picture
from orchestrator.commandline.jobs.retries import ApiRetries
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.table import print_table
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run import deliverables
from orchestrator.commandline.run.client import Rejected, parsed
from orchestrator.commandline.run.command import follow, summarise
from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.run.requests import with_client
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line, plain
from orchestrator.domain.jobs import JobStatus
from orchestrator.domain.pages import MOST_COUNTED

_PAGE_SECONDS: Final = 90.0  # The window of a key's request limit is a minute.
_WATCH_SECONDS: Final = 300.0
_BAR: Final = 24
_WIDE: Final = 110
_ENDED: Final = frozenset(status for status in JobStatus if not status.open)


def list_jobs(
    api: Connection, selection: Selection, console: Console, *, maximum: int | None, as_json: bool, ids: bool
) -> int:
    """Print the newest `maximum` jobs of a selection, or all. Raises `Refused`."""

    async def request(client: JobsClient) -> int:
        page = await client.find(selection, _limits_only(), maximum=maximum)
        exact = selection.since is None and selection.before is None
        if as_json:
            exits.say_json({"jobs": page.bodies, "total": page.total if exact else len(page.jobs)})
        elif ids:
            for job in page.jobs:
                exits.say(job.job_id)
        elif not page.jobs:
            sys.stderr.write("no job matches\n" if selection else "there are no jobs yet\n")
        else:
            print_table(console, page.jobs, datetime.now(UTC))
            printed_rows = len(page.jobs)
            if (exact and page.total > printed_rows) or (not exact and printed_rows == maximum):
                more = " or more" if page.total >= MOST_COUNTED else ""
                of = f" of {page.total:,}{more}" if exact else ""
                sys.stderr.write(f"the newest {printed_rows}{of}; use --limit to show more, --all to show all\n")
        return exits.OK

    return with_client(JobsClient(api.url, api.key), request)


def show(api: Connection, job_id: str, console: Console, *, as_json: bool) -> int:
    """Print one job, as text or as the API's JSON. Raises `Refused`."""

    async def request(client: JobsClient) -> int:
        body = await client.job_json(job_id)
        if as_json:
            exits.say_json(json.loads(body))
            return exits.OK
        bar = _BAR if console.is_terminal and console.width >= _WIDE else 0
        for line in picture(parsed(FollowedJob, body), Frame(datetime.now(UTC), bar, api.flag)):
            line.rstrip()
            console.print(line, highlight=False, soft_wrap=True)
        return exits.OK

    return with_client(JobsClient(api.url, api.key), request)


def watch(api: Connection, job_id: str, console: Console, *, as_json: bool, after: str) -> int:
    """Follow a job to its end. Returns 0 if it completed, else 1. Raises `Refused`."""

    async def request(client: JobsClient) -> int:
        if not as_json:
            job = await follow(client, job_id, console)
            summarise(job, console, flag=api.flag)
            return _code(job.status)
        async with aclosing(client.events(job_id, after, ApiRetries(_WATCH_SECONDS, exits.warn))) as events:
            async for event in events:
                exits.say(json.dumps(event, ensure_ascii=False))
        return _code((await client.job(job_id)).status)

    return with_client(JobsClient(api.url, api.key), request, interrupted=f"stopped watching; {job_id} continues")


def output(
    api: Connection, job_id: str, console: Console, *, folder: Path | None, overwrite: bool, as_json: bool
) -> int:
    """Print the output of a job, or write its files to a folder. Returns 3 if some files existed and were kept.

    Raises `Refused`: exit code 1 if there is no output.
    """

    async def request(client: JobsClient) -> int:
        try:
            body = await client.output_json(job_id)
        except Rejected as fault:
            raise Refused(await _missing_output(client, job_id, fault, api.flag), exits.FAILED) from fault
        if body.get("status") == "partial":
            exits.warn("the job did not complete as planned: this is the output of its finished calls")
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

    return with_client(JobsClient(api.url, api.key), request)


async def _missing_output(client: JobsClient, job_id: str, fault: Rejected, flag: str) -> str:
    """Why a job has no output; for an open job, also the command that waits for it."""
    if fault.status != 400 or (await client.job(job_id)).status in _ENDED:
        return str(fault)
    return f"{job_id} has no output yet; wait for it with: orchestrator jobs watch {job_id}{flag}"


def _limits_only() -> ApiRetries:
    """Retries for request limits only: a reader wants to see an outage at once."""
    return ApiRetries(_PAGE_SECONDS, exits.warn, outages=False)


def _code(status: str) -> int:
    return exits.OK if status == JobStatus.COMPLETED else exits.FAILED
