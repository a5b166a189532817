"""The actions on jobs, and the jobs that each action applies to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.jobs import JobState, JobStatus, ReasonCode


class Action(StrEnum):
    """An action. The value is the last part of its path in the API."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"
    RETRY = "retry"


_OPEN: Final = tuple(status for status in JobStatus if status.open)


@dataclass(frozen=True, slots=True)
class Rule:
    """The jobs that an action applies to. `done` is the word for a job after the action.

    A filter without a status selects `statuses`; a filter may name the statuses of `allowed`.
    """

    done: str
    applies: Callable[[ListedJob], bool]
    statuses: tuple[JobStatus, ...] = _OPEN
    allowed: tuple[JobStatus, ...] = _OPEN
    reasons: tuple[str, ...] = ()


def _open(job: ListedJob) -> bool:
    return job.status in _OPEN


def _paused(job: ListedJob) -> bool:
    return job.state == JobState.PAUSED or (job.reason is not None and job.reason.code == ReasonCode.PAUSED)


def _waiting(job: ListedJob) -> bool:
    return job.reason is not None and job.reason.code == ReasonCode.WAITING_FOR_APPROVAL


_DECIDED: Final = (str(ReasonCode.WAITING_FOR_APPROVAL),)
RULES: Final[dict[Action, Rule]] = {
    Action.CANCEL: Rule("cancelled", _open),
    Action.PAUSE: Rule("paused", lambda job: _open(job) and not _paused(job)),
    Action.RESUME: Rule("resumed", _paused),
    Action.APPROVE: Rule("approved", _waiting, statuses=(), reasons=_DECIDED),
    Action.REJECT: Rule("rejected", _waiting, statuses=(), reasons=_DECIDED),
    # Cancelled jobs are retried only if the user asks for them by status.
    Action.RETRY: Rule(
        "retried",
        lambda job: not job.retried_by,
        statuses=(JobStatus.FAILED,),
        allowed=(JobStatus.FAILED, JobStatus.CANCELLED),
    ),
}


def narrowed(action: Action, selection: Selection) -> Selection:
    """The selection, limited to jobs that the action applies to. Raises `Refused` for statuses that it never takes."""
    rule = RULES[action]
    refused = [status for status in selection.statuses if status not in rule.allowed]
    if refused:
        raise Refused(f"invalid --status {refused[0]} for {action}: expected {' or '.join(rule.allowed)}")
    if action is Action.RETRY and JobStatus.CANCELLED not in selection.statuses:
        selection = replace(selection, needs_attention=True)  # leaves out jobs that a retry has completed
    return replace(selection, statuses=selection.statuses or rule.statuses, reasons=selection.reasons or rule.reasons)
