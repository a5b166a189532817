"""Schedules as the API shows them."""

from datetime import timedelta
from typing import Any

from pydantic import Field

from api.v1.pages import CursorPage
from api.v1.wire import Target, Timestamp, Wire
from orchestrator.domain.ids import JobKind
from orchestrator.domain.schedules import Calendar, Overlap, Range, Schedule, ScheduleTimes


class RangeView(Wire):
    """The values from `start` to `end`, both included, in steps."""

    start: int
    end: int
    step: int


class CalendarView(Wire):
    """Times that match all of these fields. Without a year, every year."""

    second: list[RangeView]
    minute: list[RangeView]
    hour: list[RangeView]
    day_of_month: list[RangeView]
    month: list[RangeView]
    year: list[RangeView]
    day_of_week: list[RangeView]

    @classmethod
    def of(cls, calendar: Calendar) -> "CalendarView":
        """Return the view of a calendar."""
        return cls(**{name: [_range(each) for each in getattr(calendar, name)] for name in cls.model_fields})


class IntervalView(Wire):
    """Every so many seconds, counted from the Unix epoch, plus an offset."""

    every_seconds: int
    offset_seconds: int


class SpecView(Wire):
    """The times of the runs: all of `cron`, `intervals` and `calendars`, without those of `skip`."""

    cron: list[str]
    intervals: list[IntervalView]
    calendars: list[CalendarView]
    skip: list[CalendarView]
    time_zone: str
    start_at: Timestamp | None
    end_at: Timestamp | None
    jitter_seconds: int

    @classmethod
    def of(cls, times: ScheduleTimes) -> "SpecView":
        """Return the view of the times."""
        return cls(
            cron=list(times.cron),
            intervals=[
                IntervalView(every_seconds=_seconds(each.every), offset_seconds=_seconds(each.offset))
                for each in times.intervals
            ],
            calendars=[CalendarView.of(calendar) for calendar in times.calendars],
            skip=[CalendarView.of(calendar) for calendar in times.skip],
            time_zone=times.time_zone,
            start_at=times.start_at,
            end_at=times.end_at,
            jitter_seconds=_seconds(times.jitter),
        )


class RunConfigView(Wire):
    """The settings of each run that the schedule overrides."""

    model: str | None
    temperature: float | None
    max_tokens: int | None
    parallel_execution: bool
    stop_on_error: bool


class ScheduledRunBody(Wire):
    """A job that the schedule started. `scheduled_at` is the time that it was meant for."""

    job_id: str
    scheduled_at: Timestamp
    started_at: Timestamp


class RunCounts(Wire):
    """`started` runs; those `skipped` for an overlap; those `missed` beyond the catch-up window."""

    started: int
    skipped: int
    missed: int


class ScheduleBody(Target):
    """A schedule. `next_runs` are its next five times; while it is paused, those that it would have."""

    schedule_id: str
    name: str
    type: JobKind
    owner: str
    input: dict[str, Any]
    config: RunConfigView
    webhook_url: str | None
    labels: dict[str, str]
    spec: SpecView
    overlap: Overlap
    catchup_window_seconds: int
    pause_on_failure: bool
    paused: bool
    note: str
    remaining_runs: int | None
    next_runs: list[Timestamp]
    recent_runs: list[ScheduledRunBody] = Field(description="The last runs, oldest first; at most ten.")
    running: list[str] = Field(description="Job ids of the runs that have not ended.")
    runs: RunCounts
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, schedule: Schedule) -> "ScheduleBody":
        """Return the body of one schedule."""
        return cls(**_fields(schedule))


class TriggeredBody(ScheduleBody):
    """A schedule after a trigger. `job_id` is null if the overlap policy holds the run back."""

    job_id: str | None

    @classmethod
    def of_trigger(cls, schedule: Schedule, job_id: str | None) -> "TriggeredBody":
        """Return the body of a triggered schedule."""
        return cls(**_fields(schedule), job_id=job_id)


class BackfilledBody(ScheduleBody):
    """A schedule after a backfill of `backfilled` runs."""

    backfilled: int

    @classmethod
    def of_backfill(cls, schedule: Schedule, count: int) -> "BackfilledBody":
        """Return the body of a schedule after a backfill."""
        return cls(**_fields(schedule), backfilled=count)


class ScheduleList(CursorPage):
    """One page of schedules, oldest first. `total` counts all."""

    schedules: list[ScheduleBody]
    total: int
    limit: int
    offset: int


def _fields(schedule: Schedule) -> dict[str, Any]:
    row, plan, course = schedule.row, schedule.plan, schedule.course
    job = plan.job
    target = "agent_id" if job.kind is JobKind.AGENT else "workflow_id"
    return {
        target: job.definition,
        "schedule_id": row.id,
        "name": row.name,
        "type": job.kind,
        "owner": row.owner,
        "input": job.input,
        "config": RunConfigView(**job.config.model_dump()),
        "webhook_url": job.webhook_url,
        "labels": job.labels,
        "spec": SpecView.of(plan.times),
        "overlap": plan.overlap,
        "catchup_window_seconds": _seconds(plan.catchup_window),
        "pause_on_failure": plan.pause_on_failure,
        "paused": plan.paused,
        "note": plan.note,
        "remaining_runs": plan.remaining_runs,
        "next_runs": list(course.next_runs),
        "recent_runs": [
            ScheduledRunBody(job_id=run.job_id, scheduled_at=run.scheduled_at, started_at=run.started_at)
            for run in course.recent_runs
        ],
        "running": list(course.running),
        "runs": RunCounts(started=course.runs, skipped=course.skipped, missed=course.missed),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _range(each: Range) -> RangeView:
    return RangeView(start=each.start, end=each.end, step=each.step)


def _seconds(length: timedelta) -> int:
    return length // timedelta(seconds=1)
