"""Fills in what history forgets, from the index rows: attempts that came to nothing, and what those have cost."""

from collections import defaultdict
from collections.abc import Iterable

from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job
from orchestrator.domain.usage import Usage

Row = tuple[str, str, int, Attempt]
"""Step, agent, number of the call, attempt."""
_ENDS = frozenset({AttemptStatus.COMPLETED, AttemptStatus.FAILED, AttemptStatus.TIMED_OUT, AttemptStatus.CANCELLED})


def with_attempts(job: Job, rows: Iterable[Row]) -> Job:
    """The job with its attempts completed from the attempt rows; where both know a thing, history wins."""
    known: dict[tuple[str, str, int], dict[int, Attempt]] = defaultdict(dict)
    for step, agent, number, attempt in rows:
        known[step, agent, number][attempt.number] = attempt
    if not known:
        return job
    calls = [_complete(call, known[key]) if (key := _key(call)) in known else call for call in job.calls]
    return job.model_copy(update={"calls": calls, "usage": Usage.total(call.usage for call in calls)})


def unwritten(job: Job, rows: Iterable[Row]) -> list[tuple[AgentCall, Attempt]]:
    """Attempts whose end the job's history tells and no row does: the index was away when it was to be written.

    `job` is as its history alone tells it.
    """
    written = {(*call, one.number) for *call, one in rows if one.status is not AttemptStatus.RUNNING}
    return [
        (call, one.model_copy(update={"usage": call.usage}) if one.status is AttemptStatus.COMPLETED else one)
        for call in job.calls
        for one in call.attempts
        if one.status in _ENDS and (*_key(call), one.number) not in written
    ]


def _key(call: AgentCall) -> tuple[str, str, int]:
    return call.step, call.agent, call.number


def _complete(call: AgentCall, known: dict[int, Attempt]) -> AgentCall:
    attempts = [_merge(one, known.get(one.number)) for one in call.attempts]
    attempts += _untold(call, known)
    # A short call leaves no trace in history until it has ended; its rows tell that it began.
    began = call.status is CallStatus.SKIPPED and attempts
    status = CallStatus.CANCELLED if began else call.status
    return call.model_copy(update={"attempts": attempts, "status": status, "usage": _spent(call, attempts)})


def _spent(call: AgentCall, attempts: Iterable[Attempt]) -> Usage:
    """What the call used: its result, which history holds, and every attempt that led to none."""
    wasted = [one.usage for one in attempts if one.usage is not None and one.status is not AttemptStatus.COMPLETED]
    return Usage.total([call.usage, *wasted])


def _untold(call: AgentCall, known: dict[int, Attempt]) -> list[Attempt]:
    """Attempts of a call that ended while it waited to be tried again, or with its job: history names none of them."""
    if not call.status.ended or call.status is CallStatus.COMPLETED:
        return []
    told = max((one.number for one in call.attempts), default=0)
    return [_cut_off(known[number]) for number in sorted(known) if number > told]


def _cut_off(row: Attempt) -> Attempt:
    return row.model_copy(update={"status": AttemptStatus.UNKNOWN}) if row.status is AttemptStatus.RUNNING else row


def _merge(told: Attempt, row: Attempt | None) -> Attempt:
    if row is None:
        return told
    status = told.status
    if status is AttemptStatus.UNKNOWN and row.status is not AttemptStatus.RUNNING:
        status = row.status
    return Attempt(
        number=told.number,
        status=status,
        started_at=row.started_at or told.started_at,
        completed_at=told.completed_at or row.completed_at,
        error=told.error or row.error,
        usage=row.usage,
    )
