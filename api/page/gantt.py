"""The time line of a job: each call with its attempts, retries and waits as bars (SVG). Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from api.page.formats import duration, words
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job, JobState
from orchestrator.domain.questions import JobQuestion, QuestionKind

WIDTH: Final = 1000
_SMALLEST: Final = 4.0  # Units: about 2 pixels on a small screen.
_TICKS: Final = 5
MOST_LINES: Final = 500  # A live page is sent whole at each change.
_REJECTED: Final = "Rejected"
_LATER: Final = datetime.max.replace(tzinfo=UTC)
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
    """One call and its bars. `is_first` of its step. `decision` says how a person decided about the step."""

    call: AgentCall
    bars: list[Bar]
    is_first: bool
    decision: str = ""

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that ended with an error."""
        return [attempt for attempt in self.call.attempts if attempt.error is not None]

    @property
    def tries(self) -> int:
        """The attempts without the turns that went on: of an agent with tools, each request is an attempt."""
        continued = sum(attempt.status is AttemptStatus.CONTINUED for attempt in self.call.attempts)
        return max(len(self.call.attempts) - continued, min(1, len(self.call.attempts)))

    @property
    def is_rejected(self) -> bool:
        """Whether a person rejected its step."""
        return self.decision.startswith(_REJECTED)


@dataclass(frozen=True, slots=True)
class QuestionLine:
    """One question to a person, and how long it waited. `outcome` says who answered, or that nobody did."""

    question: JobQuestion
    bars: list[Bar]
    state: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The time line of a job."""

    lines: list[CallLine | QuestionLine]
    ticks: list[Tick]
    drawn: int = 0
    hidden: int = 0
    nothing_ran: str = ""
    """Why no call of an ended job began. Empty if one did, or if the job is open."""


def chart(job: Job, now: datetime, *, logarithmic: bool = False, most: int = MOST_LINES) -> Chart:
    """The time line of a job until its end, or until now. Of many calls, those that need a look, then the first."""
    begin = job.started_at or job.created_at
    end = max(job.closed_at or now, begin)
    total = max((end - begin).total_seconds(), 0.001)
    place = _scale(total, logarithmic=logarithmic)
    line = _Line(begin, end, place)
    decisions = _decisions(job)
    ids = _ids(job.calls, most)
    rows: list[tuple[datetime, list[CallLine | QuestionLine]]] = []
    last_end = begin
    for step, step_calls in job.steps().items():
        of_step = [call for call in step_calls if call.call_id in ids]
        rows.append(
            (
                min((call.scheduled_at for call in step_calls if call.scheduled_at), default=_LATER),
                [
                    CallLine(
                        call,
                        [*_decision_wait(call, step in decisions, line, last_end), *_bars(call, line, last_end)],
                        is_first=index == 0,
                        decision=decisions.get(step, "") if index == 0 else "",
                    )
                    for index, call in enumerate(of_step)
                ],
            )
        )
        last_end = max([last_end, *(call.completed_at for call in step_calls if call.completed_at)])
    rows += [(question.asked_at or begin, [_question(question, line)]) for question in job.questions]
    lines = [line for _, of_step in sorted(rows, key=lambda row: row[0]) for line in of_step]
    return Chart(
        lines,
        _ticks(total, place),
        drawn=len(ids),
        hidden=len(job.calls) - len(ids),
        nothing_ran=_nothing_ran(job),
    )


def _nothing_ran(job: Job) -> str:
    if (
        job.state.open
        or job.questions
        or any(call.attempts or call.started_at or call.reused_from for call in job.calls)
    ):
        return ""
    if job.state.succeeded:
        return "No call was made: every step was skipped." if job.calls else "No call was made."
    ended = "was cancelled" if job.state is JobState.CANCELLED else "ended"
    if any(call.scheduled_at for call in job.calls):
        return f"No call began: the job {ended} while a call waited for a worker."
    return f"No call was made: the job {ended} before its first one."


def _decisions(job: Job) -> dict[str, str]:
    """What people decided about steps that asked before they ran."""
    decisions = {
        approval.step: f"Approved by {approval.actor}{f': {approval.note}' if approval.note else ''}"
        for approval in job.approvals
    }
    if job.error is not None and job.error.type == "rejected" and job.error.step:
        decisions[job.error.step] = f"{_REJECTED}: {job.error.message}"
    return decisions


def _decision_wait(call: AgentCall, decided: bool, line: "_Line", since: datetime) -> Iterator[Bar]:
    """The wait of a call for the decision about its step."""
    until = call.scheduled_at or (None if call.status is CallStatus.WAITING_FOR_APPROVAL else line.end)
    if decided and until is not None and until > since:
        yield line.bar(since, until, "waiting", "waited for a decision")


def _question(question: JobQuestion, line: "_Line") -> QuestionLine:
    since, answer = question.asked_at or line.begin, question.answer
    end = line.end if question.open else (question.ended_at or (answer.at if answer else line.end))
    bars = [line.bar(since, end, "waiting", "waits for a person" if question.open else "waited for a person")]
    is_form = question.kind is QuestionKind.FORM
    if question.open:
        return QuestionLine(question, bars, "waiting_for_input" if is_form else "waiting_for_approval", "")
    if answer is None or answer.how != "answered":
        return QuestionLine(question, bars, "skipped", f"{question.status}: nobody answered".capitalize())
    verb = "Answered" if is_form else "Approved" if answer.approved else _REJECTED
    note = f": {answer.note}" if answer.note else ""
    state = "completed" if is_form or answer.approved else "refused"
    return QuestionLine(question, bars, state, f"{verb} by {answer.actor}{note}")


def _ids(calls: Sequence[AgentCall], most: int) -> set[CallId]:
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


@dataclass(frozen=True, slots=True)
class _Line:
    """The time line: its ends, and the place of a number of seconds on it."""

    begin: datetime
    end: datetime
    place: Callable[[float], float]

    def bar(self, start: datetime, stop: datetime, kind: str, what: str) -> Bar:
        """A bar between two moments."""
        first = self.place((start - self.begin).total_seconds())
        last = self.place((stop - self.begin).total_seconds())
        width = max(last - first, _SMALLEST)
        lasting = duration(max(0.0, (stop - start).total_seconds()))
        return Bar(round(min(first, WIDTH - width), 1), round(width, 1), kind, f"{what}, {lasting}")


def _bars(call: AgentCall, line: _Line, waits_from: datetime) -> Iterator[Bar]:
    if call.reused_from is not None:
        return
    bar, end = line.bar, line.end
    if call.status is CallStatus.WAITING_FOR_APPROVAL:
        yield bar(call.scheduled_at or waits_from, end, "waiting", "waits for approval")
        return
    waits_since, reason = call.scheduled_at, "waits for a worker"
    for attempt, stop in zip(call.attempts, _ends(call.attempts, call, end), strict=True):
        if attempt.started_at is None:
            continue
        if waits_since is not None and attempt.started_at > waits_since:
            yield bar(waits_since, attempt.started_at, "wait", reason)
        ended = "asked for tools" if attempt.status is AttemptStatus.CONTINUED else words(attempt.status)
        yield bar(attempt.started_at, stop, attempt.status, f"attempt {attempt.number} {ended}")
        waits_since, reason = stop, "waits for the next attempt"
    if call.status in (CallStatus.SCHEDULED, CallStatus.RETRYING) and waits_since is not None:
        yield bar(waits_since, end, "wait", reason)
    elif not call.attempts and call.started_at is None and waits_since is not None and call.status.ended:
        yield bar(waits_since, call.completed_at or end, "wait", "waited for a worker")


def _ends(attempts: Sequence[Attempt], call: AgentCall, end: datetime) -> Iterator[datetime]:
    """The end of each attempt: of one on a dead worker it is not recorded, so it lasts until the next one."""
    following = [*(attempt.started_at for attempt in attempts[1:]), None]
    for attempt, next_start in zip(attempts, following, strict=False):
        open_end = end if attempt.status is AttemptStatus.RUNNING else (call.completed_at or end)
        yield attempt.completed_at or next_start or open_end
