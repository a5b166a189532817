"""Schedules and their runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devora._model import Model


class ScheduleRange(Model):
    """The values from `start` to `end`, both included, in steps."""

    start: int
    end: int
    step: int


class ScheduleCalendar(Model):
    """Times that match all fields. Sunday is day 0 of the week; without a year, every year."""

    second: list[ScheduleRange]
    minute: list[ScheduleRange]
    hour: list[ScheduleRange]
    day_of_month: list[ScheduleRange]
    month: list[ScheduleRange]
    year: list[ScheduleRange]
    day_of_week: list[ScheduleRange]


class ScheduleInterval(Model):
    """Every so many seconds since 1970, plus an offset."""

    every_seconds: int
    offset_seconds: int


class ScheduleSpec(Model):
    """The times of a schedule: those of `cron`, `intervals` and `calendars`, without those of `skip`."""

    cron: list[str]
    intervals: list[ScheduleInterval]
    calendars: list[ScheduleCalendar]
    skip: list[ScheduleCalendar]
    time_zone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter_seconds: int


class RunConfig(Model):
    """The settings of each run."""

    model: str | None
    temperature: float | None
    max_tokens: int | None
    parallel_execution: bool
    stop_on_error: bool


class ScheduledRun(Model):
    """A job that a schedule started, and the time that it was meant for."""

    job_id: str
    scheduled_at: datetime
    started_at: datetime


class ScheduleCounts(Model):
    """Runs that were started, skipped for an overlap, or missed."""

    started: int
    skipped: int
    missed: int


class Schedule(Model):
    """A schedule. `next_runs` are its next five times; while it is paused, those that it would have.

    Only the answer of a trigger has a `job_id`, None if the overlap policy holds the run back; only that of a backfill
    has `backfilled`, the number of its runs.
    """

    schedule_id: str
    name: str
    type: str
    agent_id: str | None
    workflow_id: str | None
    owner: str
    input: dict[str, Any]
    config: RunConfig
    webhook_url: str | None
    labels: dict[str, str]
    spec: ScheduleSpec
    overlap: str
    catchup_window_seconds: int
    pause_on_failure: bool
    paused: bool
    note: str
    remaining_runs: int | None
    next_runs: list[datetime]
    recent_runs: list[ScheduledRun]
    running: list[str]
    runs: ScheduleCounts
    created_at: datetime
    updated_at: datetime
    job_id: str | None
    backfilled: int | None
