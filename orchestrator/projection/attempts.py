"""Fills in what history forgets, from the index rows: attempts that came to nothing, and what those have cost."""

from collections import defaultdict
from collections.abc import Iterable

from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job
from orchestrator.domain.usage import Usage

Row = tuple[str, str, int, Attempt, str]
"""Step, agent, number of the call, attempt, and the workflow run that made it."""
Known = dict[str, dict[int, Attempt]]
"""Attempts of one call by run and number."""


def with_attempts(job: Job, rows: Iterable[Row]) -> Job:
    """The job with its attempts completed from the attempt rows; where both know a thing, history wins.

    What was used by attempts that a reset undid counts: in their call, which may be made again, else in the job.
    """
    known = _by_call(rows)
    if not known:
        return job
    calls = [_complete(job, call, known.pop(_key(call), {})) for call in job.calls]
    undone = [_used(attempts.values()) for runs in known.values() for attempts in runs.values()]
    return job.model_copy(update={"calls": calls, "usage": Usage.total([*(call.usage for call in calls), *undone])})


def unwritten(job: Job, rows: Iterable[Row]) -> list[tuple[AgentCall, Attempt]]:
    """Attempts whose end the job's history tells and no row does: the index was away when it was to be written.

    `job` is as its history alone tells it. Of a call that goes on, history may still tell more.
    """
    known = _by_call(rows)
    missing: list[tuple[AgentCall, Attempt]] = []
    for call in job.calls:
        if not call.status.ended:
            continue
        written = _of_this_course(job, call, known.get(_key(call), {}))
        for one in call.attempts:
            row = written.get(one.number)
            if one.status.ended and (row is None or row.completed_at is None):
                used = {"usage": call.usage} if one.status is AttemptStatus.COMPLETED else {}
                missing.append((call, one.model_copy(update=used)))
    return missing


def _by_call(rows: Iterable[Row]) -> dict[tuple[str, str, int], Known]:
    known: dict[tuple[str, str, int], Known] = defaultdict(lambda: defaultdict(dict))
    for step, agent, number, attempt, run_id in rows:
        known[step, agent, number][run_id][attempt.number] = attempt
    return known


def _of_this_course(job: Job, call: AgentCall, known: Known) -> dict[int, Attempt]:
    """The rows of the run that made the call. Those of other runs were undone by a reset."""
    return next((known[run_id] for run_id in (job.run_id, call.run_id, "") if run_id in known), {})


def _key(call: AgentCall) -> tuple[str, str, int]:
    return call.step, call.agent, call.number


def _complete(job: Job, call: AgentCall, known: Known) -> AgentCall:
    rows = _of_this_course(job, call, known)
    attempts = [_merge(one, rows.get(one.number)) for one in call.attempts]
    attempts += _untold(call, rows)
    # A short call leaves no trace in history until it has ended; its rows tell that it began.
    began = call.status is CallStatus.SKIPPED and attempts
    status = CallStatus.CANCELLED if began else call.status
    undone = [_used(other.values()) for other in known.values() if other is not rows]
    usage = Usage.total([_spent(call, attempts), *undone])
    return call.model_copy(update={"attempts": attempts, "status": status, "usage": usage})


def _spent(call: AgentCall, attempts: Iterable[Attempt]) -> Usage:
    """What the call used: its result, which history holds, and every attempt that led to none."""
    return Usage.total([call.usage, _used(one for one in attempts if one.status is not AttemptStatus.COMPLETED)])


def _used(attempts: Iterable[Attempt]) -> Usage:
    return Usage.total(one.usage for one in attempts if one.usage is not None)


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
