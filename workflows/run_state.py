"""The state of one run of a plan, which the run that continues it takes over."""

from dataclasses import dataclass, field
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.call_ids import CallId, shortened_key
    from orchestrator.domain.commands import AgentResult, Carried, CarriedPlan, Decision
    from orchestrator.domain.jobs import Approved, JobError
    from orchestrator.domain.questions import PersonAnswer


def note_of(decision: Decision | Approved) -> StepOutput:
    """The note of an approval, as the agents of its step see it."""
    summary = f"Approved by {decision.actor}."
    return StepOutput(step=decision.step, agent=decision.actor, summary=summary, output=decision.note)


def said(step: str, key: str, answer: PersonAnswer) -> StepOutput:
    """The answer of a person, as later agents see it."""
    summary = f"Answered by {answer.actor}." if answer.actor else "The defaults: nobody answered in time."
    return StepOutput(
        step=step, agent=answer.actor or "person", key=key, summary=summary, output=answer.note, data=answer.values
    )


@dataclass(slots=True)
class RunState:
    """What has happened. Signals can arrive before the run begins, so `restore` keeps what it finds."""

    answers: dict[CallId, AgentResult] = field(default_factory=dict)
    failures: dict[str, JobError] = field(default_factory=dict)
    approved: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    approval_deadlines: dict[str, datetime] = field(default_factory=dict)
    paused: bool = False
    pause_signal: bool | None = None
    failed_calls: dict[str, JobError] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    noted: dict[str, None] = field(default_factory=dict)
    said: dict[str, StepOutput] = field(default_factory=dict)

    def decide(self, decision: Decision, *, approved: bool) -> None:
        """Approve or reject a step. Only the first decision for a step counts."""
        if decision.step in self.approved or decision.step in self.rejected:
            return
        if approved:
            self.approved.append(decision.step)
            if decision.note:
                self.said[decision.step] = note_of(decision)
        else:
            self.rejected[decision.step] = decision.note or f"rejected by {decision.actor}"

    def pause(self, *, paused: bool) -> None:
        """Pause or resume."""
        self.paused = self.pause_signal = paused

    def answer(self, result: AgentResult) -> None:
        """Keep the answer of a call."""
        self.answers[result.call_id] = result

    def child_answer(self, id: CallId) -> AgentResult | None:
        """The answer of a child job, also one that a run of an earlier release kept under a shortened key."""
        result = self.answers.get(id)
        if result is not None:
            return result
        earlier = self.answers.pop(id._replace(key=shortened_key(id.key)), None)
        if earlier is not None:
            self.answer(earlier.model_copy(update={"key": id.key}))
        return self.answers.get(id)

    @property
    def results(self) -> list[AgentResult]:
        """All answers in the order of their ends."""
        return list(self.answers.values())

    def restore(self, carried: Carried) -> None:
        """Take over the state of the earlier run. Signals that arrived before this call are kept."""
        decided = {*carried.approved, *carried.rejected}
        self.answers = {result.call_id: result for result in carried.results}
        self.failures = {**carried.failures}
        self.approved = [*carried.approved, *(step for step in self.approved if step not in decided)]
        arrived = {step: note for step, note in self.rejected.items() if step not in decided}
        self.rejected = {**carried.rejected, **arrived}
        self.approval_deadlines = {**carried.approval_deadlines}
        self.said = {**carried.said, **self.said}
        self.paused = carried.paused if self.pause_signal is None else self.pause_signal
        if carried.plan is not None:
            self.failed_calls = {**carried.plan.failed_calls}
            self.due = {**carried.plan.due}
            self.noted = dict.fromkeys(carried.plan.noted)

    def carried(self) -> Carried:
        """The state as the next run gets it. Loops of turns and questions travel in headers of their own."""
        plan = CarriedPlan(failed_calls=self.failed_calls, due=self.due, noted=list(self.noted))
        return Carried(
            results=self.results,
            failures=self.failures,
            approved=self.approved,
            rejected=self.rejected,
            approval_deadlines=self.approval_deadlines,
            paused=self.paused,
            said=self.said,
            plan=plan if plan != CarriedPlan() else None,
        )
