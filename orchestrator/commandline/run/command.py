"""`orchestrator run`: start a job over HTTP, show it as it goes, leave what came of it."""

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
from orchestrator.commandline.terminal.progress import display, way_on
from orchestrator.domain.ids import kind_of
from orchestrator.domain.jobs import CallStatus, JobStatus

_STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run and how to show it. `target` is the id of a workflow or an agent, or of a job to follow."""

    target: str
    input: dict[str, Any] | None
    config: dict[str, Any]
    api: Connection
    output_dir: Path | None = None
    overwrite: bool = False
    as_json: bool = False
    detach: bool = False


def run(options: RunOptions, console: Console) -> int:
    """Run one job to its end: 0 when it completed, 1 when it did not. Raises `Refused`."""
    started: list[str] = []
    try:
        return asyncio.run(_run(options, console, started))
    except NoAnswer as fault:
        raise Refused(str(fault), exits.FAILED) from fault
    except KeyboardInterrupt:
        for job_id in started:
            _tell_of_the_rest(options, job_id)
        return exits.INTERRUPTED


async def _run(options: RunOptions, console: Console, started: list[str]) -> int:
    client = ApiClient(options.api.url, options.api.key)
    try:
        job_id = await _job_id(client, options)
        started.append(job_id)
        if options.detach:
            exits.say(json.dumps({"job_id": job_id}) if options.as_json else job_id)
            return exits.OK
        job = await follow(client, job_id, None if options.as_json else console)
        if job.output is None:  # It ended without one; what its finished calls answered is still of use.
            job = job.model_copy(update={"output": await client.output(job_id)})
        if options.as_json:
            exits.say((await client.job_json(job_id)).decode())
        else:
            summarise(job, console, flag=options.api.flag)
        left = exits.OK
        if options.output_dir is not None:
            files = deliverables.deliverables_of(job.output)
            written = deliverables.write(options.output_dir, files, overwrite=options.overwrite)
            if not options.as_json:
                console.print(f"{len(written.files)} files in {options.output_dir}", markup=False, highlight=False)
            left = written.report()
        return left if job.status == JobStatus.COMPLETED else exits.FAILED
    finally:
        await client.aclose()


async def _job_id(client: ApiClient, options: RunOptions) -> str:
    if kind_of(options.target) is not None:
        if options.input is not None:
            raise Refused(f"{options.target} is a job already: it takes no --input")
        return options.target
    if options.input is None and await client.is_job(options.target):
        return options.target
    kind = await client.kind_of(options.target)
    if options.input is None:
        raise Refused(f"{options.target} needs --input: JSON, a file, or - for standard input")
    return await client.start(kind, options.target, {"input": options.input, "config": options.config, "async": True})


async def follow(client: ApiClient, job_id: str, console: Console | None) -> FollowedJob:
    """Show a job until it has ended, and answer it as it is then. Raises `Refused`."""
    last: FollowedJob | None = None
    with display(console or Console(quiet=True, force_terminal=False)) as shown:
        async with aclosing(client.follow(job_id)) as news:
            async for seen in news:
                if isinstance(seen, NoAnswer):
                    shown.trouble(str(seen))
                else:
                    last = seen
                    shown.show(seen)
    if last is None:
        raise Refused(f"the job {job_id} could not be read", exits.FAILED)
    return last


def summarise(job: FollowedJob, console: Console, *, listed: int = 12, flag: str = "") -> None:
    """What came of a job, for people; `listed` deliverables are named, `flag` is added to commands that are advised."""

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    files = deliverables.deliverables_of(job.output)
    tell("")
    if job.output is not None:
        tell(plain(str(job.output.get("output", ""))).strip() + "\n")
    for file in files[:listed]:
        tell(f"  {one_line(file.path)}")
    if len(files) > listed:
        tell(f"  … and {len(files) - listed} more")
    if job.error is not None:
        tell(f"{one_line(job.error.type)}: {one_line(job.error.message)}")
    if advice := way_on(job):
        tell(f"finish it: {advice}{flag}")
    used = job.metrics
    seconds = "" if used.execution_time is None else f" in {used.execution_time:.1f} s"
    models = ", ".join(sorted({call.model for call in job.steps if call.model})) or "no model"
    spent = f"{used.total_tokens:,} tokens  {cost(used)}"
    made = f"  {len(files)} deliverables" if job.output is not None else ""
    tell(f"{job.state.lower()}{seconds}  {spent}  {models}{made}")
    if job.output is None and any(call.status == CallStatus.COMPLETED for call in job.steps):
        tell(f"what its finished calls answered: orchestrator jobs output {job.job_id}{flag}")
    if job.run_page:
        tell(job.run_page)


def read_object(text: str, flag: str) -> dict[str, Any]:
    """A JSON object given inline, as a file's name, or on standard input (`-`). Raises `Refused`."""
    source = text if text.lstrip().startswith(("{", "[")) else _read(text, flag)
    try:
        value = json.loads(source)
    except ValueError as fault:
        raise Refused(f"{flag} is not JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise Refused(f"{flag} must be a JSON object")
    return value


def _read(name: str, flag: str) -> str:
    try:
        return sys.stdin.read() if name == _STDIN else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "not UTF-8 text"
        raise Refused(f"{flag}: {name} cannot be read ({why}); give JSON, a file, or - for standard input") from fault


def _tell_of_the_rest(options: RunOptions, job_id: str) -> None:
    sys.stderr.write(
        f"\nThe job {job_id} goes on.\n"
        f"  follow it:  orchestrator jobs watch {job_id}{options.api.flag}\n"
        f"  cancel it:  orchestrator jobs cancel {job_id}{options.api.flag}\n"
    )
