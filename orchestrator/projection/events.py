"""Facts to the job's event log (A6): the same numbered events for every transport."""

from collections.abc import Iterable
from typing import Any, Final

from orchestrator.domain import facts as f
from orchestrator.domain import names
from orchestrator.domain.commands import ReusedCall
from orchestrator.domain.errors import UnknownWorkflow
from orchestrator.domain.events import EventType, JobEvent, cursor
from orchestrator.domain.facts import Fact
from orchestrator.domain.jobs import Job, JobError, JobState
from orchestrator.domain.labels import ORIGIN_LABELS
from orchestrator.domain.questions import JobQuestion, QuestionStatus
from orchestrator.domain.text import cut
from orchestrator.domain.turns import AgentTurn, is_tool_path
from orchestrator.projection.calls import CallFold
from orchestrator.projection.children import child_event
from orchestrator.projection.job import JobFold
from orchestrator.projection.note_events import Content, note_content
from orchestrator.projection.signals import control_of, is_control
from orchestrator.projection.tool_calls import ToolFold

JOB_RESET: Final = "job.reset"
_SIGNALS = {
    names.SIGNAL_PAUSE: ("job.paused", "Paused on request."),
    names.SIGNAL_RESUME: ("job.resumed", "Resumed on request."),
    names.SIGNAL_APPROVE: ("step.approved", "Approved."),
    names.SIGNAL_REJECT: ("step.rejected", "Rejected."),
}


def job_events(job_id: str, facts: Iterable[Fact]) -> list[JobEvent]:
    """Every event of a job, oldest first."""
    fold = EventFold(job_id)
    return [event for fact in facts if (event := fold.apply(fact)) is not None]


def _note_of(payload: dict[str, Any]) -> dict[str, Any]:
    """The step, sender and note of a signal."""
    return {key: cut(text) for key in ("step", "actor", "note") if (text := payload.get(key)) and isinstance(text, str)}


def _call_fields(call: CallFold | ReusedCall | f.AgentScheduled) -> dict[str, Any]:
    """The call of an event; `call` only if the step and agent were called more than once, `key` only if it has one."""
    number = call.number if isinstance(call, CallFold) else call.call
    key = {"key": call.key} if call.key else {}
    return {"step": call.step, "agent": call.agent, **key, **({"call": number} if number > 1 else {})}


def _reused(call: ReusedCall) -> dict[str, Any]:
    """A reused call, and the job that made it."""
    cost = {"tokens": call.usage.total_tokens, "cost": call.usage.cost}
    return {**_call_fields(call), "reused_from": call.job_id, "model": call.model, **cost}


def _of_question(changed: list[JobQuestion]) -> Content | None:
    """A question that was asked, answered, or ended without an answer. One note is one event."""
    if not changed:
        return None
    question = changed[-1]
    data: dict[str, Any] = {"step": question.id, "kind": question.kind, "question": question.message}
    match question.status:
        case QuestionStatus.OPEN:
            deadline = question.deadline.isoformat() if question.deadline else None
            data |= {"input_schema": question.form, "details": question.details, "deadline": deadline}
            return EventType.JOB_PROGRESS, "question.asked", f"{question.id} waits for a person.", data
        case QuestionStatus.ANSWERED if question.answer is not None:
            answer = question.answer
            data |= {"actor": answer.actor, "note": answer.note, "values": answer.values}
            return EventType.JOB_PROGRESS, "question.answered", f"{answer.actor} answered {question.id}.", data
        case QuestionStatus.EXPIRED:
            data |= {"on_timeout": question.on_timeout}
            return EventType.JOB_PROGRESS, "question.expired", f"Nobody answered {question.id} in time.", data
        case _:
            return EventType.JOB_PROGRESS, "question.withdrawn", f"{question.id} needs no answer any more.", data


class EventFold:
    """Turns facts into events one by one. A fact gives at most one event, which has the fact's cursor."""

    def __init__(self, job_id: str) -> None:
        self.fold = JobFold(job_id)
        self._scheduled: dict[int, CallFold] = {}
        self._tools: dict[int, dict[str, Any]] = {}

    def apply(self, fact: Fact) -> JobEvent | None:
        """The event of the next fact, or None if it has none."""
        before = self.fold.state
        self.fold.apply(fact)
        if isinstance(fact, f.AgentScheduled) and not is_tool_path(fact.path):
            self._scheduled[fact.event_id] = self.fold.calls[fact.step, fact.key, fact.agent, fact.call]
        elif isinstance(fact, f.RunStarted):
            self._scheduled.clear()
            self._tools.clear()
        content = self._content(fact, before)
        if content is None:
            return None
        kind, name, message, data = content
        return JobEvent(
            id=cursor(fact.run_id, fact.event_id),
            type=kind,
            name=name,
            job_id=self.fold.job_id,
            state=self.fold.state,
            progress=self.fold.progress.percent,
            exact=self.fold.decided.exact,
            current_step=data.get("step") or self.fold.current_step,
            message=message,
            timestamp=fact.time,
            data=data,
        )

    def _content(self, fact: Fact, before: JobState) -> Content | None:
        if isinstance(fact, f.RUN_ENDS):
            return self._end()
        match fact:
            case f.RunStarted():
                if fact.continued:
                    return EventType.JOB_PROGRESS, "job.continued", "The job continues in a new run.", {}
                return self._queued()
            case f.JobAdopted():
                labels = fact.job.labels
                origin = {str(label): labels[label] for label in ORIGIN_LABELS if label in labels}
                return EventType.JOB_PROGRESS, "job.adopted", "The workflow was not started through the API.", origin
            case f.WorkflowTaskDone() if before is JobState.PENDING:
                return EventType.JOB_STARTED, "job.started", "A worker took the job.", {}
            case f.RunReset():
                data: dict[str, Any] = {"base_run": fact.base_run_id, "run": fact.run_id, "reason": fact.reason}
                return EventType.JOB_PROGRESS, JOB_RESET, "An operator reset the job to an earlier point.", data
            case f.WorkflowTaskBroken():
                data = {"error": {"type": fact.cause, "message": fact.message}}
                unknown = fact.cause == UnknownWorkflow.code
                words = fact.message if unknown else f"The workflow's own code failed: {fact.cause}."
                return EventType.AGENT_EVENT, "job.stuck", words, data
            case f.SignalReceived():
                return self._signal(fact)
            case f.CancelRequested():
                return EventType.JOB_PROGRESS, "job.cancelling", "Cancellation was requested.", {"reason": fact.reason}
            case f.ApprovalAsked():
                return EventType.JOB_PROGRESS, "step.waiting", f"{fact.step} waits for approval.", {"step": fact.step}
            case f.ApprovalEnded(expired=True):
                return None
            case _:
                return self._tool(fact) or self._agent(fact)

    def _tool(self, fact: Fact) -> Content | None:
        """The event of a tool call, of a turn that asks for tools, or of a request to another model."""
        match fact:
            case f.AgentScheduled() if is_tool_path(fact.path):
                data = {**_call_fields(fact), "tool_call": fact.path, "tool": fact.title}
                self._tools[fact.event_id] = data
                message = f"{fact.agent} calls {fact.title}."
                return EventType.AGENT_EVENT, "agent.tool_call.scheduled", message, data
            case f.AgentCompleted() | f.AgentFailed() | f.AgentCancelled() if fact.scheduled_id in self._tools:
                return self._tool_ended(fact, self._tools[fact.scheduled_id], self.fold.tools[fact.scheduled_id])
            case f.AgentCompleted() if fact.turn is not None and (call := self._scheduled.get(fact.scheduled_id)):
                return self._asked(call, fact, fact.turn)
            case f.AgentFailed() if fact.fallback and (call := self._scheduled.get(fact.scheduled_id)):
                data = {**_call_fields(call), "error": fact.error.model_dump(mode="json"), "model": fact.fallback}
                message = f"{call.agent} goes on with model {fact.fallback}."
                return EventType.AGENT_EVENT, "agent.fallback", message, data
            case _:
                return None

    @staticmethod
    def _tool_ended(
        fact: f.AgentCompleted | f.AgentFailed | f.AgentCancelled, data: dict[str, Any], tool: ToolFold
    ) -> Content:
        name = data["tool"]
        match fact:
            case f.AgentCompleted():
                data = {**data, "attempt": tool.attempts, "bytes": tool.size, "result": tool.result}
                return EventType.AGENT_EVENT, "agent.tool_call.completed", f"{name} is done.", data
            case f.AgentFailed():
                data = {**data, "attempt": tool.attempts, "error": fact.error.model_dump(mode="json")}
                message = f"{name} failed: {fact.error.type}."
                return EventType.AGENT_EVENT, "agent.tool_call.failed", message, data
            case _:
                data = {**data, "attempt": tool.attempts, "error": tool.error and tool.error.model_dump(mode="json")}
                return EventType.AGENT_EVENT, "agent.tool_call.cancelled", f"{name} was cancelled.", data

    @staticmethod
    def _asked(call: CallFold, fact: f.AgentCompleted, turn: AgentTurn) -> Content:
        tools = [{"id": f"t{turn.number}.{use.number}", "tool": use.tool} for use in turn.calls]
        data = {
            **_call_fields(call),
            "turn": turn.number,
            "model": fact.model,
            "tokens": fact.usage.total_tokens,
            "cost": fact.usage.cost,
            "tool_calls": tools,
        }
        names_of_tools = ", ".join(use.tool for use in turn.calls) or "nothing that fits"
        message = f"{call.agent} asks for {names_of_tools}."
        return EventType.AGENT_EVENT, "agent.turn", message, data

    def _queued(self) -> Content:
        retry = self.fold.input.retry if self.fold.input else None
        if retry is None:
            parent = self.fold.input.parent if self.fold.input else None
            origin = {"parent": parent.job_id, "step": parent.step} if parent else {}
            return EventType.JOB_QUEUED, "job.queued", "The job was accepted.", origin
        data = {
            "retry_of": retry.of,
            "reused": [_reused(call) for call in retry.calls],
            "approvals": [approval.model_dump(mode="json") for approval in retry.approvals],
        }
        data["reused"] = [] if self.fold.input and self.fold.input.code else data["reused"]
        message = f"The job was accepted to finish {retry.of}."
        return EventType.JOB_QUEUED, "job.queued", message, data

    def _signal(self, fact: f.SignalReceived) -> Content | None:
        job = self.fold.input
        if not is_control(job, fact, flow=self.fold.flow.begun):
            data: dict[str, Any] = (
                {"actor": fact.actor, "input": fact.payload} if fact.actor else _note_of(fact.payload)
            )
            return EventType.JOB_PROGRESS, f"signal.{fact.name}", f"Signal {fact.name} arrived.", data
        control = control_of(job, fact, flow=self.fold.flow.begun)
        if control is None or not self.fold.signal_applied:
            return None
        name, message = _SIGNALS[fact.name]
        return EventType.JOB_PROGRESS, name, message, _note_of(control.model_dump(exclude_unset=True))

    def _agent(self, fact: Fact) -> Content | None:
        match fact:
            case f.AgentScheduled():
                data = _call_fields(fact)
                return EventType.AGENT_EVENT, "agent.scheduled", f"{fact.agent} was asked.", data
            case f.AgentCompleted() if call := self._scheduled.get(fact.scheduled_id):
                return self._completed(call, fact.summary)
            case f.AgentFailed() if call := self._scheduled.get(fact.scheduled_id):
                return self._failed(call)
            case f.AgentCancelled() if call := self._scheduled.get(fact.scheduled_id):
                data = _call_fields(call)
                return EventType.AGENT_EVENT, "agent.cancelled", f"{call.agent} was cancelled.", data
            case f.CallReused():
                call = self.fold.calls[fact.step, fact.key, fact.agent, fact.call]
                data = {**_call_fields(call), "reused_from": call.reused_from}
                data |= {"model": call.model, "tokens": call.reused.total_tokens, "cost": call.reused.cost}
                return EventType.JOB_PROGRESS, "agent.reused", f"The answer of {call.agent} stands.", data
            case f.ChildScheduled() | f.ChildEnded():
                return child_event(fact)
            case f.Noted():
                return note_content(fact.notes) or _of_question(self.fold.questions.changed)
            case f.ShortCallRecorded():
                call = self.fold.calls[fact.step, fact.key, fact.agent, fact.call]
                return self._failed(call) if fact.error else self._completed(call, fact.summary)
            case _:
                return _of_question(self.fold.questions.changed)

    @staticmethod
    def _completed(call: CallFold, summary: str) -> Content:
        data = {
            **_call_fields(call),
            "attempt": call.attempt,
            "model": call.model,
            "tokens": call.usage.total_tokens,
            "cost": call.usage.cost,
            "summary": summary,
        }
        return EventType.JOB_PROGRESS, "agent.completed", f"{call.agent} is done.", data

    @staticmethod
    def _failed(call: CallFold) -> Content:
        error = call.error.model_dump(mode="json") if call.error else None
        data = {**_call_fields(call), "attempt": call.attempt, "error": error}
        word = call.error.type if call.error else "error"
        return EventType.AGENT_EVENT, "agent.failed", f"{call.agent} failed: {word}.", data

    def _end(self) -> Content:
        return _end(self.fold.state, self.fold.result, self.fold.error)


def end_event(job: Job) -> JobEvent:
    """The last event of an ended job, from its snapshot. For a job whose events were pruned."""
    kind, name, message, data = _end(job.state, job.result, job.error)
    return JobEvent(
        id=cursor(job.run_id, 0),
        type=kind,
        name=name,
        job_id=job.id,
        state=job.state,
        progress=job.progress,
        message=message,
        timestamp=job.closed_at or job.created_at,
        data=data,
    )


def _end(state: JobState, result: dict[str, Any] | None, error: JobError | None) -> Content:
    if state.succeeded:
        return EventType.JOB_COMPLETED, "job.completed", "The job is done.", {"output": result}
    message = error.message if error else "The job failed."
    data = {"error": error.model_dump(mode="json") if error else None}
    return EventType.JOB_FAILED, f"job.{state.lower()}", message, data
