"""Schedules: when jobs start by themselves, whose they are, and what they start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.domain.commands import JobInput
from orchestrator.domain.ids import JobKind, job_id
from orchestrator.domain.limits import Tier

MAX_SCHEDULES: Final = 100
"""The most schedules of one owner."""

MAX_BACKFILL: Final = 500
"""The most runs of one backfill."""

MAX_SCHEDULE_INPUT: Final = 48 * 1024
"""The most bytes of the input of a schedule, as JSON: Temporal copies it into each run."""

NEXT_RUNS: Final = 5
LAST_YEAR: Final = 2099
MIN_INTERVAL: Final = timedelta(minutes=1)
MAX_DELAY: Final = timedelta(days=30)
"""The longest delay of one run. A schedule starts later ones."""

_PREFIX: Final = "sch_"


class Overlap(StrEnum):
    """What happens to a run whose predecessor still runs, in Temporal's own words."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"
    ALLOW_ALL = "allow_all"


@dataclass(frozen=True, slots=True)
class Range:
    """The values from `start` to `end`, both included, in steps."""

    start: int
    end: int
    step: int = 1


_FIRST: Final = (Range(0, 0),)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Times that match all of these fields. Without a year, every year. Sunday is day 0 of the week."""

    second: tuple[Range, ...] = _FIRST
    minute: tuple[Range, ...] = _FIRST
    hour: tuple[Range, ...] = _FIRST
    day_of_month: tuple[Range, ...] = (Range(1, 31),)
    month: tuple[Range, ...] = (Range(1, 12),)
    year: tuple[Range, ...] = ()
    day_of_week: tuple[Range, ...] = (Range(0, 6),)


@dataclass(frozen=True, slots=True)
class Interval:
    """Times that are a multiple of `every` after the Unix epoch, plus `offset`."""

    every: timedelta
    offset: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class ScheduleTimes:
    """All times of a schedule: those of `cron`, `intervals` and `calendars`, without those of `skip`."""

    cron: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    skip: tuple[Calendar, ...] = ()
    time_zone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """What Temporal holds of a schedule. `job` is the start of its runs, with the schedule's id as its job id.

    `remaining_runs` is None without a limit.
    """

    job: JobInput
    times: ScheduleTimes
    overlap: Overlap = Overlap.SKIP
    catchup_window: timedelta = timedelta(days=1)
    pause_on_failure: bool = False
    paused: bool = False
    note: str = ""
    remaining_runs: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A job that a schedule started: the time that it was meant for, and its start."""

    job_id: str
    scheduled_at: datetime
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleCourse:
    """What has happened to a schedule, and what is next. `missed` runs were due while Temporal was away for longer than
    the catch-up window."""

    next_runs: tuple[datetime, ...]
    recent_runs: tuple[ScheduledRun, ...]
    running: tuple[str, ...]
    runs: int
    skipped: int
    missed: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """Who owns a schedule, and the credential that its runs depend on: an API key, an account, or nothing more.

    `tier` is that of the credential at the last change; None is an administrator without limits.
    """

    id: str
    owner: str
    kind: JobKind
    name: str
    key_id: str | None
    tier: Tier | None
    request_hash: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as its owner sees it."""

    row: ScheduleRow
    plan: SchedulePlan
    course: ScheduleCourse


def schedule_id(tail: str) -> str:
    """The id of a new schedule; `tail` is 32 hexadecimal digits."""
    return _PREFIX + tail


def is_schedule(value: str) -> bool:
    """Whether an id has the form of a schedule of the API. An operator's own schedules have other ids."""
    return value.startswith(_PREFIX)


def run_id_prefix(kind: JobKind, schedule: str) -> str:
    """The beginning of the job ids of a schedule. Temporal appends the time of each run."""
    return job_id(kind, schedule.removeprefix(_PREFIX))
