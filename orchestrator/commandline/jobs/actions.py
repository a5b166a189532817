"""What can be done to jobs, and to which of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.jobs import JobState, JobStatus, ReasonCode


class Action(StrEnum):
    """The last part of the API's path for it."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"
    RETRY = "retry"


_OPEN: Final = tuple(status for status in JobStatus if status.open)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which jobs an action applies to, and how it is said that it was done.

    A filter without a status takes those of `statuses`; a filter may name those of `allowed`.
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
    # What somebody cancelled is started again only where it is asked for.
    Action.RETRY: Rule(
        "started again",
        lambda job: not job.retried_by,
        statuses=(JobStatus.FAILED,),
        allowed=(JobStatus.FAILED, JobStatus.CANCELLED),
    ),
}


def narrowed(action: Action, selection: Selection) -> Selection:
    """The selection, without jobs to which the action never applies. Raises `Refused` where none would be left."""
    rule = RULES[action]
    wrong = [status for status in selection.statuses if status not in rule.allowed]
    if wrong:
        raise Refused(f"{action} takes jobs that are {' or '.join(rule.allowed)}, not --status {wrong[0]}")
    if action is Action.RETRY and JobStatus.CANCELLED not in selection.statuses:
        selection = replace(selection, needs_attention=True)  # leaves out what a retry has made good
    return replace(selection, statuses=selection.statuses or rule.statuses, reasons=selection.reasons or rule.reasons)
