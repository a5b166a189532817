"""The fold of what a plan decided: skipped steps, items and rounds, and the calls that are known by then."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.domain import facts as f
from orchestrator.domain import notes as n
from orchestrator.domain.call_ids import key_within
from orchestrator.domain.facts import Fact
from orchestrator.domain.jobs import CallStatus
from orchestrator.domain.plans import Plan, Step
from orchestrator.domain.text import cut
from orchestrator.projection.calls import CallFold

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold


class Decisions:
    """A part of the fold of a job. `undecided` are steps whose items or rounds are not known yet, by step and key."""

    def __init__(self, fold: "JobFold") -> None:
        self._fold = fold
        self.undecided: set[tuple[str, str]] = set()
        self.waits: dict[str, f.WaitBegan] = {}

    def begin(self, plan: Plan) -> None:
        """Expect every call that the plan names before anything is decided."""
        for step in plan.steps:
            self._enter(step, "")

    def apply(self, fact: Fact) -> None:
        """Apply the next fact."""
        match fact:
            case f.Noted():
                for note in fact.notes:
                    self._note(note)
            case f.WaitBegan():
                self.waits[fact.timer_id] = fact
            case f.ApprovalEnded():
                self.waits.pop(fact.timer_id, None)
            case f.RunStarted():
                self.waits.clear()

    def course(self) -> dict[str, Any]:
        """Fields of `Job`."""
        return {"exact": self.exact}

    @property
    def exact(self) -> bool:
        """Whether all calls are known: decided by the plan, announced by code, or because the job has ended."""
        flow = self._fold.flow
        return self._fold.closed_at is not None or (not self.undecided and (not flow.begun or flow.expected > 0))

    def _note(self, note: n.Note) -> None:
        step = self._fold.step(getattr(note, "step", ""))
        if step is None or (self._fold.input is not None and self._fold.input.code):
            return  # The steps of code are templates: its calls are those that it makes.
        match note:
            case n.StepSkipped():
                self._skip(step, note.key, note.why)
            case n.ItemsListed():
                self.undecided.discard((step.id, note.key))
                for item in note.keys:
                    key = key_within(note.key, item)
                    self.undecided.add((step.id, key)) if step.repeat else self._expect(step, key)
            case n.RoundBegun():
                self._expect(step, key_within(note.key, note.number))
            case n.RoundsEnded():
                self.undecided.discard((step.id, note.key))
            case n.ItemsEnded():
                self._skip(step, note.key, "other items suffice")
            case n.FailedStep():
                self._skip(step, note.key, cut(f"{step.id} failed: {note.error.message}", 500))
        self._fold.advance()

    def _enter(self, step: Step, key: str) -> None:
        if step.for_each or step.repeat:
            self.undecided.add((step.id, key))
        else:
            self._expect(step, key)

    def _expect(self, step: Step, key: str) -> None:
        for inner in step.steps:
            self._enter(inner, key)
        for agent in step.agents:
            self._fold.call((step.id, key, agent, 1), step.name)
        if step.workflow is not None:
            self._fold.call((step.id, key, step.workflow, 1), step.name)

    def _skip(self, step: Step, key: str, why: str) -> None:
        """The calls of the step within the key that have not begun are not made."""
        inner = {each.id: each for each in _with_inner(step)}
        self.undecided = {each for each in self.undecided if not (each[0] in inner and _is_within(each[1], key))}
        if not any(each.step in inner and _is_within(each.key, key) for each in self._fold.calls.values()):
            for body in step.bodies:
                for agent in (*body.agents, *([body.workflow] if body.workflow else [])):
                    self._fold.call((body.id, key, agent, 1), body.name)
        for call in self._fold.calls.values():
            if call.step in inner and _is_within(call.key, key) and call.status is CallStatus.PENDING:
                _set_skipped(call, why)


def _set_skipped(call: CallFold, why: str) -> None:
    call.status, call.why = CallStatus.SKIPPED, why


def _with_inner(step: Step) -> Iterable[Step]:
    yield step
    for inner in step.steps:
        yield from _with_inner(inner)


def _is_within(key: str, around: str) -> bool:
    return not around or key == around or key.startswith(f"{around}/")
