"""Workflow code over `Flow`, in the fold of its job: its calls are those that it makes, and it handles controls."""

from typing import TYPE_CHECKING, Any

from orchestrator.domain import facts as f
from orchestrator.domain.jobs import CallStatus
from orchestrator.domain.notes import CallsExpected, FlowBegun, ItemsListed
from orchestrator.projection.calls import CallFold

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold


class FlowFold:
    """What the code has noted about itself: that it handles controls, and how many calls it expects to make."""

    def __init__(self, fold: "JobFold") -> None:
        self._fold = fold
        self.begun = False
        self.expected = 0
        self._groups: list[tuple[int, list[CallFold]]] = []

    def apply(self, fact: f.Fact) -> None:
        """Apply the next fact."""
        for note in fact.notes if isinstance(fact, f.Noted) else ():
            match note:
                case FlowBegun() if not self.begun:
                    self.begun = True
                    self._drop_planned_calls()
                    self._fold.apply_early_signals()
                case CallsExpected():
                    self.expected = max(self.expected, note.calls)
                    self._fold.advance()
                case ItemsListed() if self.begun and note.agent:
                    calls = [self._fold.call((note.step, key, note.agent, 1), note.step) for key in note.keys]
                    if note.enough is not None:
                        self._groups.append((note.enough, calls))
        if isinstance(fact, f.AgentCompleted):
            self._skip_needless()

    def course(self) -> dict[str, Any]:
        """Fields of `Job`."""
        return {"controlled": self.begun, "expected_calls": self.expected}

    def more(self) -> int:
        """How many calls the progress expects beside the known ones: those that the code announced, or one if others
        may come."""
        if self.expected:
            return max(0, self.expected - len(self._fold.calls))
        return 0 if self._fold.decided.exact else 1

    def _skip_needless(self) -> None:
        """Where enough items have results, the calls that have not begun are not made."""
        for group in list(self._groups):
            enough, calls = group
            if sum(call.status is CallStatus.COMPLETED for call in calls) < enough:
                continue
            self._groups.remove(group)
            for call in calls:
                if call.status is CallStatus.PENDING:
                    call.status, call.why = CallStatus.SKIPPED, "other items suffice"

    def _drop_planned_calls(self) -> None:
        """Drop the calls of the definition's plan: its steps are templates, not a promise."""
        calls = self._fold.calls
        for key in [key for key, call in calls.items() if call.status is CallStatus.PENDING]:
            del calls[key]
