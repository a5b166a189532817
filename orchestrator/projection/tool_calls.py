"""The fold of the turns and tool calls of one agent call, a part of the fold of that call."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from orchestrator.domain import facts as f
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.jobs import (
    AgentCall,
    Attempt,
    AttemptStatus,
    CallStatus,
    JobError,
    ToolStatus,
    ToolUseRecord,
)
from orchestrator.domain.questions import JobQuestion, QuestionKind, QuestionStatus
from orchestrator.domain.schemas import shown
from orchestrator.domain.turns import AgentTurn, is_tool_path, turn_of
from orchestrator.domain.usage import Usage

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold

_MOVED = f.AgentStarted | f.AgentCompleted | f.AgentFailed | f.AgentCancelled
_PREVIEW = 300


@dataclass(slots=True)
class ToolFold:
    """One tool call. `tries` is Temporal's number of its last attempt, if history has it; so many tries `waited`."""

    path: str
    tool: str
    arguments: str = ""
    calls: str | None = None
    status: ToolStatus = ToolStatus.SCHEDULED
    attempts: int = 0
    tries: int = 0
    waited: int = 0
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: str | None = None
    size: int | None = None
    error: JobError | None = None
    answered_by: str | None = None
    fail_call: Callable[[f.AgentFailed], None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in _ENDED

    def record(self, pending: f.PendingCall | None, effect_id: str, *, job_ended: bool) -> ToolUseRecord:
        """The tool call as it is now."""
        status, attempts, started, error = self.status, self.attempts, self.started_at, self.error
        if pending is not None and not self.ended:
            attempts, started = pending.begun, pending.last_started_at
            waits = ToolStatus.RETRYING if pending.last_error else ToolStatus.SCHEDULED
            status = ToolStatus.RUNNING if pending.started else waits
            error = None if pending.started else pending.last_error
        if job_ended and not self.ended:
            status = ToolStatus.CANCELLED
        return ToolUseRecord(
            id=self.path,
            turn=turn_of(self.path),
            tool=self.tool,
            status=status,
            arguments=self.arguments,
            attempts=attempts,
            effect_id=effect_id,
            started_at=started,
            completed_at=self.completed_at,
            result=self.result,
            bytes=self.size,
            error=error,
            calls=self.calls,
            answered_by=self.answered_by,
        )


_ENDED = frozenset(
    {ToolStatus.COMPLETED, ToolStatus.FAILED, ToolStatus.REFUSED, ToolStatus.SKIPPED, ToolStatus.CANCELLED}
)


@dataclass(slots=True)
class TurnsFold:
    """The turns of one agent call. `before` counts the attempts of the turns that ended."""

    turns: int = 0
    max_turns: int | None = None
    before: int = 0
    continued: dict[int, Attempt] = field(default_factory=dict)
    tools: dict[str, ToolFold] = field(default_factory=dict)

    def asked(
        self, call: CallId, turn: AgentTurn, attempt: Attempt, fail_call: Callable[[f.AgentFailed], None]
    ) -> None:
        """A turn ended with tool calls, or with faults that the next turn corrects.

        `fail_call` is called for a tool call whose failure is that of its agent call.
        """
        self.turns, self.max_turns, self.before = turn.number, turn.max_turns, attempt.number
        self.continued[attempt.number] = attempt
        for use in turn.calls:
            path = f"t{turn.number}.{use.number}"
            tool = ToolFold(path, use.tool, use.shown)
            tool.fail_call = fail_call if use.on_error == "fail" else None
            if use.kind == "agent":
                tool.calls = call._replace(path=path).inner_key
            if use.fault is not None:
                tool.status = ToolStatus.SKIPPED
                tool.error = JobError(type="invalid_arguments", message=use.fault, agent=call.agent)
            self.tools.setdefault(path, tool)

    def scheduled(self, path: str, tool: str, at: datetime) -> ToolFold:
        """The activity of a tool call was scheduled."""
        fold = self.tools.setdefault(path, ToolFold(path, tool))
        fold.scheduled_at, fold.status = at, ToolStatus.SCHEDULED
        return fold

    def records(
        self, call: CallId, job_id: str, pending: Mapping[str, f.PendingCall], *, job_ended: bool
    ) -> list[ToolUseRecord]:
        """Every tool call as it is now, in order."""
        return [
            tool.record(pending.get(path), call._replace(path=path).effect_id(job_id), job_ended=job_ended)
            for path, tool in self.tools.items()
        ]


def tool_moved(tool: ToolFold, fact: _MOVED) -> None:
    """Apply what happened to the activity of a tool call."""
    match fact:
        case f.AgentStarted():
            tool.started_at, tool.tries = fact.time, fact.attempt
            tool.attempts = fact.attempt - tool.waited
        case f.AgentCompleted():
            tool.status, tool.completed_at, tool.error = ToolStatus.COMPLETED, fact.time, None
            tool.attempts = fact.attempt or tool.attempts
            if fact.tool is not None:
                tool.result, tool.size = fact.tool.preview[:_PREVIEW], fact.tool.bytes
        case f.AgentFailed():
            tool.status, tool.completed_at, tool.error = ToolStatus.FAILED, fact.time, fact.error
            tool.attempts = _attempts_at_end(tool, fact)
            if tool.fail_call is not None:
                tool.fail_call(fact)
        case f.AgentCancelled():
            tool.status, tool.completed_at = ToolStatus.CANCELLED, fact.time


def _attempts_at_end(tool: ToolFold, fact: f.AgentFailed) -> int:
    tally = fact.tally
    if tally is None:
        return tool.attempts
    # The attempt that a time limit ends is not in its tally.
    return tally.number(tool.tries) if fact.timed_out and tool.tries else tally.attempts or tool.attempts


class CountsFold:
    """The part of a job's fold for the attempts that workflow code counted."""

    def __init__(self, fold: "JobFold") -> None:
        self._fold = fold

    def apply(self, fact: f.Fact) -> None:
        """Apply the next fact."""
        for counted in fact.calls if isinstance(fact, f.AttemptsCounted) else ():
            id = CallId.parse(counted.id)
            call = self._fold.calls.get(id.call) if id else None
            tool = call.turns.tools.get(id.path) if id and call else None
            if tool is not None and not tool.ended:
                tool.attempts, tool.waited, tool.error = counted.attempts, counted.waited, counted.error

    def course(self) -> dict[str, Any]:
        """Fields of `Job`."""
        return {}


def open_at_end(facts: Iterable[f.Fact]) -> bool:
    """Whether a job ended with an open tool call, as one that was terminated can: history has no end of the call."""
    calls: set[int] = set()
    ended = False
    for fact in facts:
        match fact:
            case f.RunStarted():
                calls.clear()
            case f.AgentScheduled() if is_tool_path(fact.path):
                calls.add(fact.event_id)
            case f.AgentCompleted() | f.AgentFailed() | f.AgentCancelled():
                calls.discard(fact.scheduled_id)
        ended = isinstance(fact, f.RUN_ENDS)
    return ended and bool(calls)


def attempt_of(fact: f.AgentCompleted, number: int, started: datetime | None) -> Attempt:
    """The attempt of a turn that ended with tool calls."""
    return Attempt(
        number=number,
        status=AttemptStatus.CONTINUED,
        started_at=started,
        completed_at=fact.time,
        usage=fact.usage,
    )


def usage_before(attempts: Iterable[Attempt]) -> Usage:
    """The usage of the turns that ended."""
    return Usage.total(attempt.usage for attempt in attempts if attempt.usage is not None)


def linked(calls: list[AgentCall], questions: Iterable[JobQuestion]) -> list[AgentCall]:
    """The calls, with what happens to tool calls outside activities: questions, and calls of other agents."""
    by_id = {question.id: question for question in questions}
    by_key = {(call.step, call.key): call for call in calls}
    return [
        call.model_copy(update={"tool_calls": [_linked(call, tool, by_id, by_key) for tool in call.tool_calls]})
        if call.tool_calls
        else call
        for call in calls
    ]


def _linked(
    call: AgentCall,
    tool: ToolUseRecord,
    questions: Mapping[str, JobQuestion],
    calls: Mapping[tuple[str, str], AgentCall],
) -> ToolUseRecord:
    question = questions.get(str(call.call_id._replace(path=tool.id)))
    if question is not None:
        tool = _asked(tool, question)
    inner = calls.get((call.step, tool.calls)) if tool.calls else None
    if inner is None or tool.status is ToolStatus.REFUSED:
        return tool
    changes = {
        "status": _STATUS_OF_CALL.get(inner.status, tool.status),
        "started_at": inner.started_at,
        "completed_at": inner.completed_at,
        **attempts_of(inner),
    }
    return tool.model_copy(update=changes)


def attempts_of(inner: AgentCall) -> dict[str, Any]:
    """The attempts of an agent as a tool: those of its own call."""
    between = inner.status in (CallStatus.RETRYING, CallStatus.CANCELLED) and inner.attempts
    return {"attempts": len(inner.attempts), "error": inner.attempts[-1].error if between else inner.error}


def _asked(tool: ToolUseRecord, question: JobQuestion) -> ToolUseRecord:
    """A tool call that a person decides on, or whose result a person gives."""
    answered_by = question.answer.actor if question.answer and question.answer.how == "answered" else None
    if question.open:
        return tool.model_copy(update={"status": ToolStatus.WAITING_FOR_INPUT, "started_at": question.asked_at})
    status = tool.status
    if question.kind is QuestionKind.FORM:
        status = ToolStatus.COMPLETED if answered_by else ToolStatus.FAILED
    elif question.answer is None or not question.answer.approved:
        status = ToolStatus.REFUSED
    else:
        edited = question.answer.arguments
        arguments = tool.arguments if edited is None else _preview(edited)
        return tool.model_copy(update={"answered_by": answered_by, "arguments": arguments})
    if question.status is QuestionStatus.WITHDRAWN:
        status = ToolStatus.CANCELLED
    changes = {"status": status, "answered_by": answered_by, "completed_at": question.ended_at}
    return tool.model_copy(update={"started_at": question.asked_at, **changes})


def _preview(arguments: Mapping[str, Any]) -> str:
    """The beginning of arguments that a person edited, in the form of a turn's own."""
    return ", ".join(f"{name}: {shown(value)}" for name, value in arguments.items())[:_PREVIEW]


_STATUS_OF_CALL: Final = {
    CallStatus.RUNNING: ToolStatus.RUNNING,
    CallStatus.RETRYING: ToolStatus.RETRYING,
    CallStatus.COMPLETED: ToolStatus.COMPLETED,
    CallStatus.FAILED: ToolStatus.FAILED,
    CallStatus.CANCELLED: ToolStatus.CANCELLED,
}
