"""Workflow code over `Flow`, in the fold of its job: its calls are those that it makes, and it handles controls."""

from typing import TYPE_CHECKING, Any

from orchestrator.domain import facts as f
from orchestrator.domain.jobs import CallStatus
from orchestrator.domain.notes import CallsExpected, FlowBegun

if TYPE_CHECKING:
    from orchestrator.projection.job import JobFold


class FlowFold:
    """What the code has noted about itself: that it handles controls, and how many calls it expects to make."""

    def __init__(self, fold: "JobFold") -> None:
        self._fold = fold
        self.begun = False
        self.expected = 0

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

    def course(self) -> dict[str, Any]:
        """Fields of `Job`."""
        return {"controlled": self.begun}

    def total(self) -> int:
        """The number of calls for the progress: with one more than are known, unless the code announced it."""
        count = len(self._fold.calls)
        return max(self.expected, count) if self.expected else count + self.begun

    def _drop_planned_calls(self) -> None:
        """Drop the calls of the definition's plan: its steps are templates, not a promise."""
        calls = self._fold.calls
        for key in [key for key, call in calls.items() if call.status is CallStatus.PENDING]:
            del calls[key]
