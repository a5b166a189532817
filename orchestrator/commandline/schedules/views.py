"""What the commands of `orchestrator schedules` do and print."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from orchestrator.commandline.jobs.table import plain_cell
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run.requests import with_client
from orchestrator.commandline.schedules.client import ListedSchedule, SchedulesClient
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.plain_text import one_line

T = TypeVar("T")


def list_schedules(api: Connection, console: Console, *, as_json: bool) -> int:
    """Print every schedule of the caller."""
    bodies = _answer(api, lambda client: client.all())
    if as_json:
        exits.say_json({"schedules": bodies})
    elif bodies:
        _print_table(console, [ListedSchedule.model_validate(body) for body in bodies])
    else:
        exits.warn("no schedules: create one with orchestrator schedules create")
    return exits.OK


def show(api: Connection, schedule_id: str, *, as_json: bool) -> int:
    """Print one schedule: its next five times and its last runs."""
    return _print(_answer(api, lambda client: client.get(schedule_id)), as_json=as_json)


def create(api: Connection, target: str, body: dict[str, Any], *, as_json: bool) -> int:
    """Create a schedule, and print it."""
    key = uuid.uuid4().hex
    return _print(_answer(api, lambda client: client.create(target, body, key)), as_json=as_json)


def pause(api: Connection, schedule_id: str, note: str, *, paused: bool, as_json: bool) -> int:
    """Pause a schedule, or resume it, and print it."""
    action, body, key = "pause" if paused else "unpause", {"note": note}, uuid.uuid4().hex
    return _print(_answer(api, lambda client: client.act(schedule_id, action, body, key)), as_json=as_json)


def trigger(api: Connection, schedule_id: str, overlap: str | None, *, as_json: bool) -> int:
    """Start a run now, and print the id of its job. The exit code is 1 if the overlap policy holds it back."""
    body = {} if overlap is None else {"overlap": overlap}
    key = uuid.uuid4().hex
    started = _answer(api, lambda client: client.act(schedule_id, "trigger", body, key))
    job_id = started.get("job_id")
    if as_json:
        exits.say_json(started)
    elif job_id:
        exits.say(one_line(str(job_id)))
    else:
        exits.warn(f"a run of {one_line(schedule_id)} has not ended: --overlap allow_all starts another beside it")
    return exits.OK if job_id else exits.FAILED


def delete(api: Connection, schedule_id: str, *, as_json: bool) -> int:
    """Delete a schedule."""
    _answer(api, lambda client: client.delete(schedule_id))
    if as_json:
        exits.say_json({"schedule_id": schedule_id, "deleted": True})
    else:
        exits.say(f"{one_line(schedule_id)}  deleted; its running jobs continue")
    return exits.OK


def _answer(api: Connection, request: Callable[[SchedulesClient], Awaitable[T]]) -> T:
    """The result of a request. Raises `Refused`."""
    return with_client(SchedulesClient(api.url, api.key), request)


def _print_table(console: Console, schedules: Sequence[ListedSchedule]) -> None:
    rows = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    # Users copy ids: they are never cut. A narrow terminal cuts the other columns.
    rows.add_column("SCHEDULE", no_wrap=True, min_width=max(len(each.schedule_id) for each in schedules))
    rows.add_column("TARGET", no_wrap=True, overflow="ellipsis")
    rows.add_column("STATE", no_wrap=True, min_width=6)
    rows.add_column("NEXT", no_wrap=True, overflow="ellipsis")
    rows.add_column("NAME", no_wrap=True, overflow="ellipsis")
    for schedule in schedules:
        following = "" if schedule.paused or not schedule.next_runs else _time(schedule.next_runs[0])
        texts = (schedule.schedule_id, schedule.target, _state(schedule), following, schedule.name)
        rows.add_row(*map(plain_cell, texts))
    console.print(rows)


def _print(body: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        exits.say_json(body)
        return exits.OK
    schedule = ListedSchedule.model_validate(body)
    title = f"  {one_line(schedule.name)}" if schedule.name else ""
    exits.say(f"{one_line(schedule.schedule_id)}  {one_line(schedule.target)}  {_state(schedule)}{title}")
    if schedule.note:
        exits.say(f"  note: {one_line(schedule.note)}")
    exits.say(f"  overlap: {schedule.overlap}")
    exits.say("  next, if it is resumed:" if schedule.paused else "  next:")
    for moment in schedule.next_runs:
        exits.say(f"    {_time(moment)}")
    if schedule.recent_runs:
        exits.say("  last:")
    for run in schedule.recent_runs:
        state = "  running" if run.job_id in schedule.running else ""
        exits.say(f"    {_time(run.started_at)}  {one_line(run.job_id)}{state}")
    return exits.OK


def _state(schedule: ListedSchedule) -> str:
    return "paused" if schedule.paused else "active"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
