"""The fold from facts and pending calls to a job (A3)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from orchestrator.domain import facts as f
from orchestrator.domain import names
from orchestrator.domain.call_ids import CallKey
from orchestrator.domain.commands import Control, Decision, JobInput, PlainInput, Retry
from orchestrator.domain.errors import NotFound
from orchestrator.domain.facts import NOTHING_PENDING, Fact, Pending
from orchestrator.domain.ids import JobKind, kind_of
from orchestrator.domain.jobs import Approved, CallStatus, Job, JobError, JobState
from orchestrator.domain.plans import Step
from orchestrator.domain.turns import is_tool_path
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import Stored
from orchestrator.projection.calls import CallFold
from orchestrator.projection.children import ChildFold
from orchestrator.projection.decisions import Decisions
from orchestrator.projection.flow import FlowFold
from orchestrator.projection.progress import Progress, progress_of
from orchestrator.projection.questions import QuestionFold
from orchestrator.projection.reason import why
from orchestrator.projection.signals import control_of
from orchestrator.projection.tool_calls import CountsFold, ToolFold, linked, tool_moved

_OfCall = f.AgentScheduled | f.ShortCallRecorded | f.CallReused | f.ChildScheduled | f.ChildEnded | f.PendingCall


class FoldPart(Protocol):
    """A part of the fold of a job, for facts of one kind: it applies each fact, and adds fields to the job."""

    def apply(self, fact: Fact) -> None:
        """Apply the next fact."""

    def course(self) -> dict[str, Any]:
        """Fields of `Job`."""


def project(job_id: str, facts: Iterable[Fact], pending: Pending = NOTHING_PENDING) -> Job:
    """The job of its facts. Raises `NotFound` if there is no start."""
    fold = JobFold(job_id)
    for fact in facts:
        fold.apply(fact)
    return fold.job(pending)


def job_input(job_id: str, facts: Iterable[Fact]) -> JobInput | None:
    """The input of the job: that of its adoption, else its first own input. None if there is neither."""
    job: JobInput | None = None
    for fact in facts:
        if isinstance(fact, f.JobAdopted):
            job = fact.job
        elif isinstance(fact, f.RunStarted) and job is None:
            job = own_input(job_id, fact)
    return job


def own_input(job_id: str, start: f.RunStarted) -> JobInput | None:
    """The input of a start if it belongs to this job. A copy of another job's input does not."""
    return start.job if start.job is not None and start.job.job_id == job_id else None


class JobFold:
    """Applies facts in order, over all runs of one job. Uses no I/O and no clock."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.run_id = ""
        self.workflow_type = ""
        self.input: JobInput | None = None
        self.calls: dict[CallKey, CallFold] = {}
        self.state = JobState.PENDING
        self.progress = Progress()
        self.current_step: str | None = None
        self.paused = False
        self.approvals: dict[str, str] = {}
        self.decisions: dict[str, Decision] = {}
        self.approved: dict[str, Approved] = {}
        self.signal_applied = False
        self.broken: f.WorkflowTaskBroken | None = None
        self.created_at: datetime | None = None
        self.starts_at: datetime | None = None
        self.started_at: datetime | None = None
        self.closed_at: datetime | None = None
        self.cancel: f.CancelRequested | None = None
        self.result: dict[str, Any] | None = None
        self.stored: tuple[Stored, ...] = ()
        self._plan_decides = False
        self.error: JobError | None = None
        self.last_event: str | None = None
        self.began_at: datetime | None = None
        self.tools: dict[int, ToolFold] = {}
        self._scheduled: dict[int, CallFold] = {}
        self._expiring: set[str] = set()
        self._expired: set[str] = set()
        self._early: list[f.SignalReceived] = []
        self.decided = Decisions(self)
        self.questions = QuestionFold()
        self.flow = FlowFold(self)
        self.parts: tuple[FoldPart, ...] = (self.decided, ChildFold(self), self.flow, self.questions, CountsFold(self))

    def apply(self, fact: Fact) -> None:
        """Apply the next fact."""
        self.last_event = f"{fact.run_id}:{fact.event_id}"
        self._apply(fact)
        for part in self.parts:
            part.apply(fact)

    def _apply(self, fact: Fact) -> None:
        match fact:
            case f.RunStarted() | f.JobAdopted():
                self._begun(fact)
            case f.WorkflowTaskDone():
                self._task_done(fact)
            case f.WorkflowTaskBroken():
                self.broken = fact
            case f.RunReset():
                self.run_id, self.broken, self.began_at = fact.run_id, None, fact.time
            case f.AgentScheduled():
                self._agent_scheduled(fact)
            case f.AgentStarted() | f.AgentCompleted() | f.AgentFailed() | f.AgentCancelled():
                self._agent_moved(fact)
            case f.ShortCallRecorded() | f.CallReused():
                self._short_call(fact)
            case f.ApprovalAsked() | f.ApprovalEnded():
                self._approval(fact)
            case f.SignalReceived():
                self._signal(fact)
            case f.CancelRequested():
                self.cancel = self.cancel or fact
            case _ if isinstance(fact, f.OF_PARTS):
                pass
            case _:
                self._run_ended(fact)

    def job(self, pending: Pending = NOTHING_PENDING) -> Job:
        """The job as it is now. Raises `NotFound` if no start was applied."""
        if self.created_at is None:
            raise NotFound(f"Unknown job: {self.job_id}", job_id=self.job_id)
        open_calls: dict[CallKey, dict[str, f.PendingCall]] = {}
        for call in pending.calls:
            open_calls.setdefault(_key(call), {})[call.path] = call
        ended = self.state.terminal
        waiting = {*self.waiting(), *self.questions.awaited(self.input)}
        calls = [
            fold.call(
                open_calls.get(key, {}),
                job_id=self.job_id,
                job_ended=ended,
                waiting=key[0] in waiting,
                deciding=pending.task_started,
            )
            for key, fold in self._ordered()
        ]
        course: dict[str, Any] = {
            "reason": None if ended else why(self, calls, pending),
            "paused": self.paused,
            "calls": calls,
            "usage": Usage.total(call.usage for call in calls),
            "result": self.result,
            "error": self.error,
            "started_at": self.started_at,
            "closed_at": self.closed_at,
            "stored": list(self.stored),
            "cancel_requested_at": self.cancel.time if self.cancel else None,
            "cancel_reason": self.cancel.reason if self.cancel else None,
            "decisions": {step: decision.id for step, decision in self.decisions.items()},
            "began_at": self.began_at,
            "last_event": self.last_event,
            "approvals": [*self.approved.values(), *self.questions.approvals(self.input)],
            "awaited_approvals": self.waiting(),
        }
        for part in self.parts:
            course |= part.course()
        course["calls"] = linked(calls, course.get("questions", ()))
        job_input = self.input
        if job_input is None:
            job_input, course["config"] = self._unknown_input(), {}
        return job_input.job(
            state=self.state, progress=self.progress.percent, created_at=self.created_at, run_id=self.run_id, **course
        )

    def _unknown_input(self) -> PlainInput:
        """Replaces the input of a workflow that was not started as a job and is not adopted yet."""
        return PlainInput(
            job_id=self.job_id,
            kind=kind_of(self.job_id) or JobKind.WORKFLOW,
            definition=self.workflow_type,
            name=self.workflow_type,
            code=True,
        )

    def _ordered(self) -> list[tuple[CallKey, CallFold]]:
        """The calls in the plan's order; calls of one step and agent are adjacent."""
        places: dict[tuple[str, str, str], int] = {}
        for step, key, agent, _ in self.calls:
            places.setdefault((step, key, agent), len(places))
        return sorted(self.calls.items(), key=lambda item: (places[item[0][:3]], item[0][3]))

    def waiting(self) -> list[str]:
        """Steps that wait for an approval now."""
        return list(self.approvals.values())

    def step(self, step_id: str) -> Step | None:
        """The plan's step of that id."""
        return self.input.plan.step(step_id) if self.input else None

    def _begun(self, fact: f.RunStarted | f.JobAdopted) -> None:
        if isinstance(fact, f.JobAdopted):
            self._adopted(fact)
            return
        self.run_id, self.workflow_type, self.starts_at = fact.run_id, fact.workflow_type, fact.starts_at
        self._scheduled.clear()
        self.tools.clear()
        self.approvals.clear()
        if self.created_at is None:
            self.created_at = self.began_at = fact.time
        if self.input is None and (job := own_input(self.job_id, fact)) is not None:
            self._set_input(job, fact.stored)

    def _adopted(self, fact: f.JobAdopted) -> None:
        self._set_input(fact.job, fact.stored)
        self.apply_early_signals()

    def apply_early_signals(self) -> None:
        """Apply the signals that the workflow kept: they arrived before its adoption, or before its code began."""
        early, self._early = self._early, []
        for signal in early:
            self._signal(signal)

    def _set_input(self, job: JobInput, stored: tuple[Stored, ...]) -> None:
        self.input, self.stored, self._plan_decides = job, stored, job.plan.decides
        self.decided.begin(job.plan)
        if job.retry is not None and not job.code:  # Code reuses answers when it asks for them.
            self._apply_retry(job.retry)

    def _apply_retry(self, retry: Retry) -> None:
        """Reuse the calls and approvals of an earlier job."""
        for call in retry.calls:
            self.call(call.call_id.call, call.step).reuse(call)
        for approval in retry.approvals:
            self.approved[approval.step] = approval
            self.decisions[approval.step] = Decision(step=approval.step, actor=approval.actor, note=approval.note)
        self.advance()

    def _task_done(self, fact: f.WorkflowTaskDone) -> None:
        self.broken = None
        self._expired |= self._expiring - self.decisions.keys()
        self._expiring.clear()
        if self.state is JobState.PENDING:
            self.state = JobState.PAUSED if self.paused else JobState.RUNNING
            self.started_at = fact.time

    def call(self, key: CallKey, title: str) -> CallFold:
        """The call of that key, new if it was not known."""
        step, item, agent, number = key
        return self.calls.setdefault(key, CallFold(step, agent, title, number, item))

    def call_of(self, fact: f.ChildScheduled | f.ChildEnded, title: str) -> CallFold:
        """The call of a child."""
        return self.call(_key(fact), title)

    def _agent_scheduled(self, fact: f.AgentScheduled) -> None:
        if is_tool_path(fact.path):
            tools = self.call(_key(fact), "").turns
            self.tools[fact.event_id] = tools.scheduled(fact.path, fact.title, fact.time)
            return
        call = self.call(_key(fact), fact.title)
        call.scheduled(fact)
        self._scheduled[fact.event_id] = call
        self.current_step = fact.step

    def _agent_moved(self, fact: f.AgentStarted | f.AgentCompleted | f.AgentFailed | f.AgentCancelled) -> None:
        if (tool := self.tools.get(fact.scheduled_id)) is not None:
            tool_moved(tool, fact)
            return
        call = self._scheduled.get(fact.scheduled_id)
        if call is None:
            return
        call.run_id = fact.run_id
        match fact:
            case f.AgentStarted():
                call.started_at, call.attempt = fact.time, call.turns.before + fact.attempt
                call.last_error = fact.last_error
            case f.AgentCompleted():
                call.completed(fact)
            case f.AgentFailed():
                call.failed(fact)
            case f.AgentCancelled():
                call.end(CallStatus.CANCELLED, fact.time)
        self.advance()

    def _short_call(self, fact: f.ShortCallRecorded | f.CallReused) -> None:
        if isinstance(fact, f.CallReused):
            self._reuse(fact)
            return
        call = self.call(_key(fact), fact.step)
        call.run_id, call.scheduled_at, call.started_at = fact.run_id, fact.started_at, fact.started_at
        call.attempt, call.usage, call.model = fact.attempt, fact.usage, fact.model
        error = fact.error.model_copy(update={"step": call.step, "agent": call.agent}) if fact.error else None
        call.end(CallStatus.FAILED if error else CallStatus.COMPLETED, fact.time, error)
        self.current_step = fact.step
        self.advance()

    def _reuse(self, fact: f.CallReused) -> None:
        key = _key(fact)
        calls = self.input.retry.calls if self.input and self.input.retry else ()
        for reused in calls:
            if reused.call_id.call == key:
                call = self.call(key, fact.step)
                call.run_id = fact.run_id
                call.reuse(reused)
        self.current_step = fact.step
        self.advance()

    def _approval(self, fact: f.ApprovalAsked | f.ApprovalEnded) -> None:
        if isinstance(fact, f.ApprovalAsked):
            self.approvals[fact.timer_id] = fact.step
            self.current_step = fact.step
            return
        step = self.approvals.pop(fact.timer_id, None)
        if fact.expired and step is not None:
            self._expiring.add(step)

    def _signal(self, fact: f.SignalReceived) -> None:
        code_not_begun = self.input is not None and self.input.code and self.state is JobState.PENDING
        if self.input is None or (code_not_begun and not self.flow.begun):
            self._early.append(fact)
        control = control_of(self.input, fact, flow=self.flow.begun)
        match control:
            case Control():
                paused = fact.name == names.SIGNAL_PAUSE
                self.signal_applied = paused != self.paused
                self.paused = paused
                if self.state is not JobState.PENDING:
                    self.state = JobState.PAUSED if paused else JobState.RUNNING
            case Decision() if not self.needs_approval(control.step):
                approved = fact.name == names.SIGNAL_APPROVE
                self.signal_applied = self.questions.decided(control, approved=approved, at=fact.time)
                if self.signal_applied:
                    self.decisions[control.step] = control
            case Decision():
                self.signal_applied = self._decides(control.step)
                if self.signal_applied:
                    self.decisions[control.step] = control
                    if fact.name == names.SIGNAL_APPROVE:
                        self.approved[control.step] = Approved(
                            step=control.step, actor=control.actor, note=control.note
                        )
                    self.approvals = {timer: step for timer, step in self.approvals.items() if step != control.step}
            case None:
                self.signal_applied = False

    def needs_approval(self, step_id: str) -> bool:
        """Whether the plan declares an approval of a step that is no question. Code asks for its approvals itself."""
        step = None if self.flow.begun else self.step(step_id)
        return step is not None and step.approval is not None and not step.approval.by

    def _decides(self, step_id: str) -> bool:
        """Whether a decision that arrives now takes effect in the interpreter: the first one for a step does.

        It can arrive before the step waits. After the step's timeout it has no effect once a worker has handled the
        timeout: the signals of a workflow task apply before its timers.
        """
        return self.cancel is None and step_id not in self.decisions and step_id not in self._expired

    def advance(self) -> None:
        """Update the progress, see `progress_of`. It is 100 only at completion."""
        decides, total = self.flow.begun or self._plan_decides, len(self.calls) + self.flow.more()
        progress = progress_of([call.status for call in self.calls.values()], decides=decides, total=total)
        self.progress.reach(progress, exact=self.decided.exact)

    def _run_ended(self, fact: Fact) -> None:
        self.closed_at, self.paused, self.broken, self.approvals = fact.time, False, None, {}
        self.advance()
        match fact:
            case f.RunCompleted():
                self.state, self.result, self.progress.percent = JobState.COMPLETED, fact.result, 100
                self.stored += fact.stored
            case f.RunFailed():
                self.state, self.error = JobState.FAILED, fact.error
            case f.RunTimedOut():
                self.state = JobState.TIMEOUT
                self.error = JobError(type="timeout", message="The job ran out of its own time.")
            case f.RunCancelled():
                self.state = JobState.CANCELLED
                reason = self.cancel.reason if self.cancel else ""
                self.error = JobError(type="cancelled", message=reason or "Cancelled on request.")
            case f.RunTerminated():
                self.state = JobState.CANCELLED
                self.error = JobError(type="terminated", message=fact.reason or "Terminated by an operator.")
            case _:
                raise TypeError(f"no fold for {type(fact).__name__}")


def _key(fact: _OfCall) -> CallKey:
    return fact.step, fact.key, fact.agent, fact.call
