"""Bodies of the routes of schedules."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api.storable import FIRST_FAULT, JsonObject
from api.v1.bodies import WHOLE, Body, ConfigBody, Labels, Moment, Text, WebUrl, WholeNumber
from orchestrator.domain.commands import JobInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.schedules import (
    LAST_YEAR,
    MIN_INTERVAL,
    Calendar,
    Interval,
    Overlap,
    Range,
    SchedulePlan,
    ScheduleTimes,
)
from orchestrator.services.jobs.start import StartRequest
from orchestrator.services.schedules.registry import ScheduleChange, ScheduleRequest

_YEAR: Final = 366 * 86_400
_MOST: Final = 20
_CRON: Final = re.compile(
    r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9A-Za-z*?,/\-]+( [0-9A-Za-z*?,/\-]+){4}"
)
_LONG_NUMBER: Final = re.compile(r"[0-9]{5}")
_NOT_OF_IANA: Final = frozenset({"local", "localtime", "factory", "posixrules"})  # Depend on the server's machine.


def _zone(name: str) -> str:
    if name.lower() in _NOT_OF_IANA:
        expected = "the name of a time zone, such as Europe/Paris or UTC"
        raise PydanticCustomError("time_zone", "Input should be {expected}", {"expected": expected})
    return name


def _cron(text: str) -> str:
    if not _CRON.fullmatch(text) or _LONG_NUMBER.search(text):
        expected = "a cron expression of five fields, or one like @daily; for shorter periods use intervals"
        raise PydanticCustomError("cron", "Input should be {expected}", {"expected": expected})
    return text


CatalogueName = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.\-]+$")]
Cron = Annotated[
    str,
    Field(max_length=200, description="Five fields: minute, hour, day, month, weekday; or `@daily`."),
    AfterValidator(_cron),
]


class RangeBody(Body):
    """The values from `start` to `end`, both included, in steps. Without `end`, only `start`."""

    start: WholeNumber = Field(ge=0, le=LAST_YEAR)
    end: Annotated[int, Field(ge=0, le=LAST_YEAR), WHOLE] | None = None
    step: WholeNumber = Field(default=1, ge=1, le=60)

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.end is not None and self.end < self.start:
            expected = f"an end of at least {self.start}; write a range over midnight or the new year as two ranges"
            raise PydanticCustomError("range", "Input should have {expected}", {"expected": expected})
        return self

    def range(self) -> Range:
        """Return the range."""
        return Range(self.start, self.start if self.end is None else self.end, self.step)


Ranges = Annotated[list[RangeBody], FIRST_FAULT, Field(max_length=_MOST)]


class CalendarBody(Body):
    """Times that match all of these fields. A field that is left out matches the first second, minute or hour, and
    every day, month and year. Sunday is day 0 of the week."""

    second: WholeNumber = Field(default=0, ge=0, le=59)
    minute: Ranges = Field(default_factory=list)
    hour: Ranges = Field(default_factory=list)
    day_of_month: Ranges = Field(default_factory=list)
    month: Ranges = Field(default_factory=list)
    year: Ranges = Field(default_factory=list)
    day_of_week: Ranges = Field(default_factory=list)

    def calendar(self) -> Calendar:
        """Return the calendar."""
        fields = [name for name in type(self).model_fields if name != "second"]
        named = {name: tuple(each.range() for each in getattr(self, name)) for name in fields}
        second = (Range(self.second, self.second),)
        return replace(Calendar(second=second), **{name: ranges for name, ranges in named.items() if ranges})


class IntervalBody(Body):
    """Every so many seconds, counted from the Unix epoch, plus an offset."""

    every_seconds: WholeNumber = Field(ge=MIN_INTERVAL // timedelta(seconds=1), le=_YEAR)
    offset_seconds: WholeNumber = Field(default=0, ge=0, le=_YEAR)

    def interval(self) -> Interval:
        """Return the interval."""
        return Interval(timedelta(seconds=self.every_seconds), timedelta(seconds=self.offset_seconds))


class SpecBody(Body):
    """The times of the runs: all of `cron`, `intervals` and `calendars`, without those of `skip`."""

    cron: Annotated[list[Cron], FIRST_FAULT, Field(max_length=_MOST)] = Field(default_factory=list)
    intervals: Annotated[list[IntervalBody], FIRST_FAULT, Field(max_length=_MOST)] = Field(default_factory=list)
    calendars: Annotated[list[CalendarBody], FIRST_FAULT, Field(max_length=_MOST)] = Field(default_factory=list)
    skip: Annotated[list[CalendarBody], FIRST_FAULT, Field(max_length=_MOST)] = Field(default_factory=list)
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC",
        max_length=100,
        pattern=r"^[A-Za-z0-9_+\-/]+$",
        description="A name of the IANA database, such as `Europe/Paris`. Cron and calendars are local times.",
    )
    start_at: Moment | None = Field(default=None, description="No runs before this time.")
    end_at: Moment | None = Field(default=None, description="No runs after this time.")
    jitter_seconds: WholeNumber = Field(
        default=0, ge=0, le=86_400, description="Each run starts up to so many seconds later, at random."
    )

    @model_validator(mode="after")
    def _has_times(self) -> Self:
        if not (self.cron or self.intervals or self.calendars):
            expected = "at least one of cron, intervals and calendars"
            raise PydanticCustomError("times", "Input should be {expected}", {"expected": expected})
        return self

    def times(self) -> ScheduleTimes:
        """Return the times."""
        return ScheduleTimes(
            cron=tuple(self.cron),
            intervals=tuple(each.interval() for each in self.intervals),
            calendars=tuple(each.calendar() for each in self.calendars),
            skip=tuple(each.calendar() for each in self.skip),
            time_zone=self.time_zone,
            start_at=self.start_at,
            end_at=self.end_at,
            jitter=timedelta(seconds=self.jitter_seconds),
        )


Window = Annotated[int, Field(ge=10, le=_YEAR), WHOLE]
Runs = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_OVERLAP: Final = "What happens to a run whose predecessor still runs."
_WINDOW: Final = "Runs that Temporal missed are made up if they were due at most so many seconds ago."


class NewScheduleBody(Body):
    """A schedule of an agent or a workflow: `agent_id` or `workflow_id`, and the start of each run."""

    agent_id: CatalogueName | None = None
    workflow_id: CatalogueName | None = None
    name: Name | None = Field(default=None, description="Your name for it; that of the agent or workflow if left out.")
    input: JsonObject = Field(description="Matches the `input_schema`. At most 48 KiB.")
    config: ConfigBody = ConfigBody()
    webhook_url: WebUrl | None = Field(default=None, description="Receives the end of each run.")
    labels: Labels = Field(default_factory=dict, description="Your own notes on each run.")
    spec: SpecBody
    overlap: Overlap = Field(default=Overlap.SKIP, strict=False, description=_OVERLAP)
    catchup_window_seconds: Window = Field(default=86_400, description=_WINDOW)
    pause_on_failure: bool = Field(default=False, description="Pause the schedule when a run fails or times out.")
    paused: bool = False
    note: Text = Field(default="", description="Why it is paused, or any other note.")
    remaining_runs: Runs | None = Field(default=None, description="So many runs, then none. Null does not limit.")

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.agent_id is None) is (self.workflow_id is None):
            expected = "an object with either agent_id or workflow_id"
            raise PydanticCustomError("target", "Input should be {expected}", {"expected": expected})
        return self

    def request(self, key: str | None) -> ScheduleRequest:
        """Return the request for the service."""
        kind = JobKind.WORKFLOW if self.agent_id is None else JobKind.AGENT
        start = StartRequest(
            kind=kind,
            target=self.agent_id or self.workflow_id or "",
            input=self.input,
            config=self.config.job_config(),
            webhook_url=self.webhook_url,
            labels=self.labels,
        )
        return ScheduleRequest(start, self._plan, self.name or "", key)

    def _plan(self, job: JobInput) -> SchedulePlan:
        return SchedulePlan(
            job=job,
            times=self.spec.times(),
            overlap=self.overlap,
            catchup_window=timedelta(seconds=self.catchup_window_seconds),
            pause_on_failure=self.pause_on_failure,
            paused=self.paused,
            note=self.note,
            remaining_runs=self.remaining_runs,
        )


class ChangeScheduleBody(Body):
    """The fields to change. A field that is left out does not change; `spec` is replaced as a whole.

    Null removes `webhook_url` and the limit of `remaining_runs`.
    """

    name: Name | None = None
    input: JsonObject | None = None
    config: ConfigBody | None = None
    webhook_url: WebUrl | None = None
    labels: Labels | None = None
    spec: SpecBody | None = None
    overlap: Overlap | None = Field(default=None, strict=False)
    catchup_window_seconds: Window | None = None
    pause_on_failure: bool | None = None
    remaining_runs: Runs | None = None

    def change(self) -> ScheduleChange:
        """Return the change for the service."""
        changed = self.model_fields_set - {
            name for name in type(self).model_fields if name not in _CLEARABLE and getattr(self, name) is None
        }
        start: dict[str, Callable[[], Any]] = {
            "input": lambda: self.input,
            "config": lambda: self.config and self.config.job_config(),
            "webhook_url": lambda: self.webhook_url,
            "labels": lambda: self.labels,
        }
        plan: dict[str, tuple[str, Callable[[], Any]]] = {
            "spec": ("times", lambda: self.spec and self.spec.times()),
            "overlap": ("overlap", lambda: self.overlap),
            "catchup_window_seconds": (
                "catchup_window",
                lambda: timedelta(seconds=self.catchup_window_seconds or 0),
            ),
            "pause_on_failure": ("pause_on_failure", lambda: self.pause_on_failure),
            "remaining_runs": ("remaining_runs", lambda: self.remaining_runs),
        }
        return ScheduleChange(
            start={name: value() for name, value in start.items() if name in changed},
            plan={field: value() for name, (field, value) in plan.items() if name in changed},
            name=self.name,
        )


_CLEARABLE: Final = frozenset({"webhook_url", "remaining_runs"})


class NoteBody(Body):
    """A note for a pause or its end."""

    note: Text = ""


class TriggerBody(Body):
    """The overlap policy of this run; that of the schedule if left out."""

    overlap: Overlap | None = Field(default=None, strict=False, description=_OVERLAP)


class BackfillBody(Body):
    """The period whose runs are started now, both ends included."""

    start_at: Moment
    end_at: Moment
    overlap: Overlap = Field(default=Overlap.BUFFER_ALL, strict=False, description=_OVERLAP)
