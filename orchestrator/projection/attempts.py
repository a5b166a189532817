"""Completes a job with the attempts that history does not record: failed ones, and their usage, from index rows."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from orchestrator.domain.call_ids import CallKey, split_place
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, Job
from orchestrator.domain.usage import Usage
from orchestrator.projection.tool_calls import linked

Row = tuple[str, str, int, Attempt, str]
"""Place (step and key), agent, number of the call, attempt, and the workflow run that made it."""
_IN_HISTORY: Final = (AttemptStatus.COMPLETED, AttemptStatus.CONTINUED)  # Their usage is that of their call.
RowsByRun = dict[str, dict[int, Attempt]]
"""Attempts of one call by run and number."""


def with_attempts(job: Job, rows: Iterable[Row]) -> Job:
    """The job with its attempts completed from the attempt rows. If both record a field, history wins.

    The usage of attempts before a reset counts: in their call if the job makes it again, else in the job.
    """
    by_call = _by_call(rows)
    if not by_call:
        return job
    calls = [_complete(job, call, by_call.pop(call.call_id.call, {})) for call in job.calls]
    undone = [_used(attempts.values()) for runs in by_call.values() for attempts in runs.values()]
    usage = Usage.total([*(call.usage for call in calls), *undone])
    return job.model_copy(update={"calls": linked(calls, job.questions), "usage": usage})


def unwritten(job: Job, rows: Iterable[Row]) -> list[tuple[AgentCall, Attempt]]:
    """Attempts whose end is in the job's history but in no row, because the index did not answer.

    `job` comes from history alone. Open calls are left out: their history is not complete.
    """
    by_call = _by_call(rows)
    missing: list[tuple[AgentCall, Attempt]] = []
    for call in job.calls:
        if not call.status.ended:
            continue
        written = _of_current_run(job, call, by_call.get(call.call_id.call, {}))
        for attempt in call.attempts:
            row = written.get(attempt.number)
            if attempt.status.ended and (row is None or row.completed_at is None):
                turns = Usage.total(each.usage for each in call.attempts if each.usage is not None)
                usage = {"usage": call.usage.minus(turns)} if attempt.status is AttemptStatus.COMPLETED else {}
                missing.append((call, attempt.model_copy(update=usage)))
    return missing


def _by_call(rows: Iterable[Row]) -> dict[CallKey, RowsByRun]:
    by_call: dict[CallKey, RowsByRun] = defaultdict(lambda: defaultdict(dict))
    for place, agent, number, attempt, run_id in rows:
        step, key, _ = split_place(place)
        by_call[step, key, agent, number][run_id][attempt.number] = attempt
    return by_call


def _of_current_run(job: Job, call: AgentCall, by_run: RowsByRun) -> dict[int, Attempt]:
    """The rows of the run that made the call. A reset made the rows of other runs void."""
    return next((by_run[run_id] for run_id in (job.run_id, call.run_id, "") if run_id in by_run), {})


def _complete(job: Job, call: AgentCall, by_run: RowsByRun) -> AgentCall:
    rows = _of_current_run(job, call, by_run)
    attempts = [_merge(attempt, rows.get(attempt.number)) for attempt in call.attempts]
    attempts += _unrecorded(call, rows)
    # A short call is in history only once it has ended; a row shows that it began.
    began = call.status is CallStatus.SKIPPED and attempts
    status = CallStatus.CANCELLED if began else call.status
    undone = [_used(other.values()) for other in by_run.values() if other is not rows]
    usage = Usage.total([_spent(call, attempts), *undone])
    return call.model_copy(update={"attempts": attempts, "status": status, "usage": usage})


def _spent(call: AgentCall, attempts: Iterable[Attempt]) -> Usage:
    """The usage of the call: of its result, from history, and of every attempt without a result."""
    return Usage.total([call.usage, _used(attempt for attempt in attempts if attempt.status not in _IN_HISTORY)])


def _used(attempts: Iterable[Attempt]) -> Usage:
    return Usage.total(attempt.usage for attempt in attempts if attempt.usage is not None)


def _unrecorded(call: AgentCall, rows: dict[int, Attempt]) -> list[Attempt]:
    """Attempts of a call that ended while it waited for a retry, or with its job: history does not record them."""
    if not call.status.ended or call.status is CallStatus.COMPLETED:
        return []
    last = max((attempt.number for attempt in call.attempts), default=0)
    return [_cut_off(rows[number]) for number in sorted(rows) if number > last]


def _cut_off(row: Attempt) -> Attempt:
    return row.model_copy(update={"status": AttemptStatus.UNKNOWN}) if row.status is AttemptStatus.RUNNING else row


def _merge(attempt: Attempt, row: Attempt | None) -> Attempt:
    if row is None:
        return attempt
    status = attempt.status
    if status is AttemptStatus.UNKNOWN and row.status is not AttemptStatus.RUNNING:
        status = row.status
    return Attempt(
        number=attempt.number,
        status=status,
        started_at=row.started_at or attempt.started_at,
        completed_at=attempt.completed_at or row.completed_at,
        error=attempt.error or row.error,
        usage=row.usage,
    )
