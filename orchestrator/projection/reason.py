"""Why an open job is in its state: a code and a sentence. Needs no running worker (A3)."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from orchestrator.domain.call_ids import split_place
from orchestrator.domain.errors import UnknownWorkflow
from orchestrator.domain.facts import Pending, PendingCall
from orchestrator.domain.jobs import AgentCall, CallStatus, JobError, JobState, Reason, ReasonCode
from orchestrator.domain.questions import QuestionKind
from orchestrator.domain.tally import TOKENS_HELD, UNKNOWN_AGENT

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold

# Workers report every second or two.
_MISSED_HEARTBEATS: Final = timedelta(seconds=5)


def why(fold: "JobFold", calls: list[AgentCall], pending: Pending) -> Reason:
    """The most important reason: a reason that needs a person comes before one that does not."""
    return (
        _cancelling(fold, pending)
        or _stuck(fold)
        or _scheduled(fold, pending)
        or _no_worker(fold, pending)
        or _unattended_queue(fold, pending)
        or _paused(fold, calls)
        or _approval(fold)
        or _question(fold)
        or _held(fold, pending)
        or _unserved(pending)
        or _silent(fold, pending)
        or _retrying(fold, pending)
        or _without_tokens(pending)
        or _working(fold, calls, pending)
    )


def _unattended(pending: Pending) -> bool:
    return pending.pollers == 0


def _cancelling(fold: "JobFold", pending: Pending) -> Reason | None:
    if fold.cancel is None:
        return None
    note = f" ({fold.cancel.reason})" if fold.cancel.reason else ""
    tail = ""
    if _unattended(pending):
        tail = "; no worker is there to end it, it will end when one is"
    elif fold.broken is not None and fold.broken.cause != UnknownWorkflow.code:  # such jobs end at their next task
        tail = f"; the workflow's own code fails ({fold.broken.cause}) and cannot end it: terminate it in Temporal"
    message = f"Cancellation was requested{note}{tail}."
    return Reason(code=ReasonCode.CANCELLING, message=message, step=fold.current_step)


def _stuck(fold: "JobFold") -> Reason | None:
    if fold.broken is None:
        return None
    word = fold.broken.cause
    where = f" on worker {fold.broken.worker}" if fold.broken.worker else ""
    message = f"The workflow's own code cannot continue{where} ({word}): {fold.broken.message}"
    if word == UnknownWorkflow.code:  # nothing is wrong with the code, and the message names the worker
        message = fold.broken.message
    return Reason(
        code=ReasonCode.STUCK,
        message=message[:500],
        step=fold.current_step,
        last_error=JobError(type=word, message=fold.broken.message),
    )


def _scheduled(fold: "JobFold", pending: Pending) -> Reason | None:
    if fold.starts_at is None or fold.state is not JobState.PENDING or pending.task_open:
        return None
    message = f"Starts at {fold.starts_at:%Y-%m-%d %H:%M:%S} UTC."
    return Reason(code=ReasonCode.SCHEDULED, message=message, next_attempt_at=fold.starts_at)


def _no_worker(fold: "JobFold", pending: Pending) -> Reason | None:
    waits_for_person = bool(fold.approvals or fold.questions.open()) or fold.paused
    if not _unattended(pending) or (waits_for_person and not pending.task_open):
        return None
    if any(_beats(call, pending) for call in pending.calls):  # on a worker that stops and takes no new work
        return None
    return Reason(
        code=ReasonCode.NO_WORKER,
        message="No worker polls the task queue; the job continues as soon as one does.",
        step=fold.current_step,
    )


def _beats(call: PendingCall, pending: Pending) -> bool:
    """Whether the call had a heartbeat just now."""
    heartbeat_at = call.heard_at if call.started else None
    return heartbeat_at is not None and pending.at is not None and pending.at - heartbeat_at < _MISSED_HEARTBEATS


def _unattended_queue(fold: "JobFold", pending: Pending) -> Reason | None:
    """Only if no call runs: other steps of the job may be running."""
    if not pending.unattended or any(call.started for call in pending.calls):
        return None
    return Reason(
        code=ReasonCode.NO_WORKER,
        message=f"No worker polls the task queue {pending.unattended[0]}; the call continues as soon as one does.",
        step=fold.current_step,
    )


def _paused(fold: "JobFold", calls: list[AgentCall]) -> Reason | None:
    if not fold.paused:
        return None
    running = sum(call.status.active for call in calls)
    tail = f" {running} call(s) already under way will still finish." if running else ""
    return Reason(code=ReasonCode.PAUSED, message=f"Paused on request.{tail}", step=fold.current_step)


def _approval(fold: "JobFold") -> Reason | None:
    waiting = fold.waiting()
    if not waiting:
        return None
    step = fold.step(waiting[0])
    text = step.approval.message if step and step.approval else "A decision is needed."
    return Reason(code=ReasonCode.WAITING_FOR_APPROVAL, message=text, step=waiting[0])


def _question(fold: "JobFold") -> Reason | None:
    """A person has to answer. The oldest question; the job lists all of them."""
    questions = fold.questions.open()
    if not questions:
        return None
    question = questions[0]
    form = question.kind is QuestionKind.FORM
    return Reason(
        code=ReasonCode.WAITING_FOR_INPUT if form else ReasonCode.WAITING_FOR_APPROVAL,
        message=question.message,
        step=question.step,
        agent=question.agent,
        question=question.id,
        form=question.form,
        deadline=question.deadline,
        people=tuple(dict.fromkeys(name for each in questions for name in each.by)),
    )


def _held(fold: "JobFold", pending: Pending) -> Reason | None:
    """An operator paused a single call in Temporal."""
    paused = [call for call in pending.calls if call.paused and not call.started]
    if not paused:
        return None
    call = paused[0]
    return Reason(
        code=ReasonCode.PAUSED,
        message=f"An operator paused {_name(fold, call)} in Temporal; it continues when unpaused there.",
        step=call.step,
        agent=call.agent,
        attempt=call.attempt,
        last_error=call.last_error,
    )


def _unserved(pending: Pending) -> Reason | None:
    """No worker that took the call knows its agent."""
    unserved = [call for call in pending.calls if not call.started and _is_unserved(call)]
    if not unserved:
        return None
    call = unserved[0]
    return Reason(
        code=ReasonCode.UNKNOWN_AGENT,
        message=call.last_error.message if call.last_error else "",
        step=call.step,
        agent=call.agent,
        next_attempt_at=call.next_attempt_at,
        last_error=call.last_error,
    )


def _is_unserved(call: PendingCall) -> bool:
    return call.last_error is not None and call.last_error.type == UNKNOWN_AGENT


def _silent(fold: "JobFold", pending: Pending) -> Reason | None:
    """A running call without heartbeats: its worker may have died."""
    if pending.at is None:
        return None
    ages = [(pending.at - call.heard_at, call) for call in pending.calls if call.started and call.heard_at]
    age, call = max(ages, key=lambda pair: pair[0], default=(timedelta(), None))
    if call is None or age < _MISSED_HEARTBEATS:
        return None
    return Reason(
        code=ReasonCode.NO_SIGN_OF_LIFE,
        message=f"No sign of life from {_name(fold, call)} for {age.seconds} s; "
        "its worker may have died. The call is made again once its heartbeat limit is over.",
        step=call.step,
        agent=call.agent,
        attempt=call.attempt,
        last_error=call.last_error,
    )


def _retrying(fold: "JobFold", pending: Pending) -> Reason | None:
    late = [
        call
        for call in pending.calls
        if call.last_error is not None
        and call.last_error.type not in (UNKNOWN_AGENT, TOKENS_HELD)
        and (call.attempt > 1 or not call.started)
    ]
    if not late:
        return None
    call = max(late, key=lambda call: (not call.started, call.attempt))
    return Reason(
        code=ReasonCode.RETRYING,
        message=_retry_sentence(call, _name(fold, call)),
        step=call.step,
        agent=call.agent,
        attempt=call.attempt,
        next_attempt_at=None if call.started else call.next_attempt_at,
        last_error=call.last_error,
    )


def _without_tokens(pending: Pending) -> Reason | None:
    """All open calls of the job wait for tokens."""
    waiting = [call for call in pending.calls if call.last_error is not None and call.last_error.type == TOKENS_HELD]
    if not waiting or len(waiting) < len(pending.calls):
        return None
    call = waiting[0]
    return Reason(
        code=ReasonCode.QUEUED,
        message=call.last_error.message if call.last_error else "",
        step=call.step,
        agent=call.agent,
        next_attempt_at=None if call.started else call.next_attempt_at,
        last_error=call.last_error,
    )


def _name(fold: "JobFold", call: PendingCall) -> str:
    """What runs: the agent, or the tool that it called."""
    agent_call = fold.calls.get((call.step, call.key, call.agent, call.call))
    tool = agent_call.turns.tools.get(call.path) if agent_call else None
    return f"{tool.tool} of {call.agent}" if tool else call.agent


def _retry_sentence(call: PendingCall, name: str) -> str:
    error = f" after {call.last_error.type}: {call.last_error.message}" if call.last_error else ""
    if call.started or call.next_attempt_at is None:
        return f"Attempt {call.attempt} of {name} is running{error}"[:500]
    when = call.next_attempt_at.strftime("%H:%M:%S UTC")
    return f"Attempt {call.attempt} of {name} starts at {when}{error}"[:500]


def _working(fold: "JobFold", calls: list[AgentCall], pending: Pending) -> Reason:
    running = [call for call in calls if call.status is CallStatus.RUNNING]
    if running:
        counts = Counter(call.agent for call in running)
        who = ", ".join(f"{agent} ({count} calls)" if count > 1 else agent for agent, count in counts.items())
        return Reason(code=ReasonCode.RUNNING, message=f"Running: {who}.", step=running[0].step, agent=running[0].agent)
    queued = [call for call in calls if call.status is CallStatus.SCHEDULED]
    if queued:
        return Reason(
            code=ReasonCode.QUEUED,
            message=f"{len(queued)} agent call(s) wait for a free worker slot.",
            step=queued[0].step,
            agent=queued[0].agent,
        )
    if fold.state is JobState.PENDING:
        return Reason(code=ReasonCode.QUEUED, message="Waiting for a worker to take the job.")
    if fold.decided.waits:
        wait = min(fold.decided.waits.values(), key=lambda wait: wait.until)
        when = wait.until.strftime("%Y-%m-%d %H:%M:%S UTC")
        step = split_place(wait.place)[0]
        return Reason(code=ReasonCode.RUNNING, message=f"{wait.place} waits until {when}.", step=step)
    idle = fold.input is not None and fold.input.code and not pending.task_open
    message = "Waits for a timer or a signal of its own." if idle else "The workflow decides on its next step."
    return Reason(code=ReasonCode.RUNNING, message=message, step=fold.current_step)
