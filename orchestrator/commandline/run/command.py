"""`orchestrator run`: start a job over HTTP, show its progress, print its output, write its files."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from orchestrator.commandline.jobs.picture import cost
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run import deliverables
from orchestrator.commandline.run.client import ApiClient, NoAnswer
from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line, plain
from orchestrator.commandline.terminal.progress import display, next_command
from orchestrator.domain.ids import kind_of
from orchestrator.domain.jobs import CallStatus, JobStatus

_STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The job to run and how to show it. `target` is the id of a workflow or an agent, or of a job to follow."""

    target: str
    input: dict[str, Any] | None
    config: dict[str, Any]
    api: Connection
    output_dir: Path | None = None
    overwrite: bool = False
    as_json: bool = False
    detach: bool = False


def run(options: RunOptions, console: Console) -> int:
    """Run one job to its end. Returns 0 if it completed, else 1. Raises `Refused`."""
    job_ids: list[str] = []
    try:
        return asyncio.run(_run(options, console, job_ids))
    except NoAnswer as fault:
        raise Refused(str(fault), exits.FAILED) from fault
    except KeyboardInterrupt:
        for job_id in job_ids:
            _print_next_commands(options, job_id)
        return exits.INTERRUPTED


async def _run(options: RunOptions, console: Console, job_ids: list[str]) -> int:
    client = ApiClient(options.api.url, options.api.key)
    try:
        job_id = await _job_id(client, options)
        job_ids.append(job_id)
        if options.detach:
            exits.say(json.dumps({"job_id": job_id}) if options.as_json else job_id)
            return exits.OK
        job = await follow(client, job_id, None if options.as_json else console)
        if job.output is None:  # It ended without an output; that of its finished calls is still useful.
            job = job.model_copy(update={"output": await client.output(job_id)})
        if options.as_json:
            exits.say((await client.job_json(job_id)).decode())
        else:
            summarise(job, console, flag=options.api.flag)
        exit_code = exits.OK
        if options.output_dir is not None:
            files = deliverables.deliverables_of(job.output)
            written = deliverables.write(options.output_dir, files, overwrite=options.overwrite)
            if not options.as_json:
                console.print(f"{len(written.files)} files in {options.output_dir}", markup=False, highlight=False)
            exit_code = written.report()
        return exit_code if job.status == JobStatus.COMPLETED else exits.FAILED
    finally:
        await client.aclose()


async def _job_id(client: ApiClient, options: RunOptions) -> str:
    if kind_of(options.target) is not None:
        if options.input is not None:
            raise Refused(f"{options.target} is a job and takes no --input: omit --input to follow the job")
        return options.target
    if options.input is None and await client.is_job(options.target):
        return options.target
    kind = await client.kind_of(options.target)
    if options.input is None:
        raise Refused(f"{options.target} needs --input: pass JSON, a file, or - for standard input")
    return await client.start(kind, options.target, {"input": options.input, "config": options.config, "async": True})


async def follow(client: ApiClient, job_id: str, console: Console | None) -> FollowedJob:
    """Show a job until it ends, and return its final state. Raises `Refused`."""
    last: FollowedJob | None = None
    with display(console or Console(quiet=True, force_terminal=False)) as progress:
        async with aclosing(client.follow(job_id)) as updates:
            async for update in updates:
                if isinstance(update, NoAnswer):
                    progress.trouble(str(update))
                else:
                    last = update
                    progress.show(update)
    if last is None:
        raise Refused(f"cannot read the job {job_id}", exits.FAILED)
    return last


def summarise(job: FollowedJob, console: Console, *, listed: int = 12, flag: str = "") -> None:
    """Print the result of a job. `listed` deliverables are named; `flag` is added to suggested commands."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    files = deliverables.deliverables_of(job.output)
    line("")
    if job.output is not None:
        line(plain(str(job.output.get("output", ""))).strip() + "\n")
    for file in files[:listed]:
        line(f"  {one_line(file.path)}")
    if len(files) > listed:
        line(f"  … and {len(files) - listed} more")
    if job.error is not None:
        line(f"{one_line(job.error.type)}: {one_line(job.error.message)}")
    if command := next_command(job):
        line(f"continue with: {command}{flag}")
    metrics = job.metrics
    seconds = "" if metrics.execution_time is None else f" in {metrics.execution_time:.1f} s"
    models = ", ".join(sorted({call.model for call in job.steps if call.model})) or "no model"
    spent = f"{metrics.total_tokens:,} tokens  {cost(metrics)}"
    deliverable_count = f"  {len(files)} deliverables" if job.output is not None else ""
    line(f"{job.state.lower()}{seconds}  {spent}  {models}{deliverable_count}")
    if job.output is None and any(call.status == CallStatus.COMPLETED for call in job.steps):
        line(f"output of its finished calls: orchestrator jobs output {job.job_id}{flag}")
    if job.run_page:
        line(job.run_page)


def read_object(text: str, flag: str) -> dict[str, Any]:
    """A JSON object: the text itself, the file that it names, or standard input (`-`). Raises `Refused`."""
    source = text if text.lstrip().startswith(("{", "[")) else _read(text, flag)
    try:
        value = json.loads(source)
    except ValueError as fault:
        raise Refused(f"{flag} is not valid JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise Refused(f"{flag} must be a JSON object")
    return value


def _read(name: str, flag: str) -> str:
    try:
        return sys.stdin.read() if name == _STDIN else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "not UTF-8 text"
        raise Refused(f"{flag}: cannot read {name} ({why}); pass JSON, a file, or - for standard input") from fault


def _print_next_commands(options: RunOptions, job_id: str) -> None:
    sys.stderr.write(
        f"\nThe job {job_id} continues.\n"
        f"  follow it:  orchestrator jobs watch {job_id}{options.api.flag}\n"
        f"  cancel it:  orchestrator jobs cancel {job_id}{options.api.flag}\n"
    )
