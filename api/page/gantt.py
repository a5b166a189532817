"""The time line of a job: each call with its attempts, retries and waits as bars (SVG). Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from api.page.formats import duration, words
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job

WIDTH: Final = 1000
_SMALLEST: Final = 4.0  # Units: about 2 pixels on a small screen.
_TICKS: Final = 5
MOST_LINES: Final = 500  # A live page is sent whole at each change.
_PLAIN: Final = frozenset({CallStatus.COMPLETED, CallStatus.PENDING, CallStatus.SKIPPED})
_LOG_UNIT: Final = 0.05  # Share of the whole time that a logarithmic scale draws as if it were linear.


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `kind` is its class, `title` what it says to a reader."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the scale with its label."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call and its bars. `is_first` of its step."""

    call: AgentCall
    bars: list[Bar]
    is_first: bool

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that ended with an error."""
        return [attempt for attempt in self.call.attempts if attempt.error is not None]


@dataclass(frozen=True, slots=True)
class Chart:
    """The time line of a job."""

    lines: list[CallLine]
    ticks: list[Tick]
    hidden: int = 0


def chart(job: Job, now: datetime, *, logarithmic: bool = False, most: int = MOST_LINES) -> Chart:
    """The time line of a job until its end, or until now. Of many calls, those that need a look, then the first."""
    begin = job.started_at or job.created_at
    end = max(job.closed_at or now, begin)
    total = max((end - begin).total_seconds(), 0.001)
    place = _scale(total, logarithmic=logarithmic)
    lines: list[CallLine] = []
    last_end = begin
    ids = _chosen(job.calls, most)
    for step_calls in job.steps().values():
        visible = [call for call in step_calls if call.call_id in ids]
        for index, call in enumerate(visible):
            lines.append(CallLine(call, list(_bars(call, begin, end, place, last_end)), is_first=index == 0))
        last_end = max([last_end, *(call.completed_at for call in step_calls if call.completed_at)])
    return Chart(lines, _ticks(total, place), hidden=len(job.calls) - len(lines))


def _chosen(calls: Sequence[AgentCall], most: int) -> set[CallId]:
    """The ids of the calls to draw: first those that have failed or are under way."""
    ordered = sorted(calls, key=lambda call: call.status in _PLAIN) if len(calls) > most else calls
    return {call.call_id for call in ordered[:most]}


def _scale(total: float, *, logarithmic: bool) -> Callable[[float], float]:
    """The place on the scale of a number of seconds since the beginning."""
    unit = total * _LOG_UNIT

    def linear(seconds: float) -> float:
        return WIDTH * min(max(seconds / total, 0.0), 1.0)

    def logarithm(seconds: float) -> float:
        return WIDTH * min(max(math.log1p(max(seconds, 0.0) / unit) / math.log1p(total / unit), 0.0), 1.0)

    return logarithm if logarithmic else linear


def _ticks(total: float, place: Callable[[float], float]) -> list[Tick]:
    step = _round_step(total / _TICKS)
    numbers = range(1, int(total // step) + 1)
    return [Tick(round(place(number * step), 1), duration(number * step)) for number in numbers]


def _round_step(least: float) -> float:
    """The first readable distance of two ticks that is not below a number of seconds."""
    readable = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    return next((step for step in readable if step >= least), math.ceil(least / 86400) * 86400)


def _bars(
    call: AgentCall, begin: datetime, end: datetime, place: Callable[[float], float], waits_from: datetime
) -> Iterator[Bar]:
    if call.reused_from is not None:
        return

    def bar(start: datetime, stop: datetime, kind: str, what: str) -> Bar:
        first = place((start - begin).total_seconds())
        last = place((stop - begin).total_seconds())
        width = max(last - first, _SMALLEST)
        lasting = duration(max(0.0, (stop - start).total_seconds()))
        return Bar(round(min(first, WIDTH - width), 1), round(width, 1), kind, f"{what}, {lasting}")

    if call.status is CallStatus.WAITING_FOR_APPROVAL:
        yield bar(call.scheduled_at or waits_from, end, "waiting", "waits for approval")
        return
    waits_since, reason = call.scheduled_at, "waits for a worker"
    for attempt, stop in zip(call.attempts, _ends(call.attempts, call, end), strict=True):
        if attempt.started_at is None:
            continue
        if waits_since is not None and attempt.started_at > waits_since:
            yield bar(waits_since, attempt.started_at, "wait", reason)
        yield bar(attempt.started_at, stop, attempt.status, f"attempt {attempt.number} {words(attempt.status)}")
        waits_since, reason = stop, "waits for the next attempt"
    if call.status in (CallStatus.SCHEDULED, CallStatus.RETRYING) and waits_since is not None:
        yield bar(waits_since, end, "wait", reason)


def _ends(attempts: Sequence[Attempt], call: AgentCall, end: datetime) -> Iterator[datetime]:
    """The end of each attempt: of one on a dead worker it is not recorded, so it lasts until the next one."""
    following = [*(attempt.started_at for attempt in attempts[1:]), None]
    for attempt, next_start in zip(attempts, following, strict=False):
        open_end = end if attempt.status is AttemptStatus.RUNNING else (call.completed_at or end)
        yield attempt.completed_at or next_start or open_end
