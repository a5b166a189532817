"""The job and the events of a log that grows: each read applies only the facts that are new."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from orchestrator.domain.events import JobEvent
from orchestrator.domain.facts import Fact
from orchestrator.projection.events import EventFold
from orchestrator.projection.job import JobFold


class _Applies(Protocol):
    def apply(self, fact: Fact) -> object:
        """Apply the next fact."""


F = TypeVar("F", bound=_Applies)


class LogFold(Generic[F]):
    """One fold over the log of a job. It begins from the first fact if a reset replaced the log by another list."""

    def __init__(self, make: Callable[[], F]) -> None:
        self._make: Final = make
        self._fold = make()
        self._log: list[Fact] | None = None
        self._length = 0

    def current(self, log: list[Fact]) -> F:
        """The fold after all facts of a log. The next call changes it."""
        if log is not self._log:
            self._fold, self._length = self._make(), 0
        self._log = None  # If a fact cannot be applied, the next call begins again.
        for fact in log[self._length :] if self._length else log:
            self._fold.apply(fact)
        self._log, self._length = log, len(log)
        return self._fold


class EventsFold:
    """Collects the events of a job, oldest first. Readers share the list, which only grows."""

    def __init__(self, job_id: str) -> None:
        self._fold = EventFold(job_id)
        self._counts = [0]
        self.events: list[JobEvent] = []

    def apply(self, fact: Fact) -> None:
        """Apply the next fact."""
        if (event := self._fold.apply(fact)) is not None:
            self.events.append(event)
        self._counts.append(len(self.events))

    def of_first(self, facts: int) -> int:
        """The number of events of the first facts."""
        return self._counts[facts]


def job_fold(job_id: str) -> LogFold[JobFold]:
    """The job of a log."""
    return LogFold(lambda: JobFold(job_id))


def event_fold(job_id: str) -> LogFold[EventsFold]:
    """The events of a log."""
    return LogFold(lambda: EventsFold(job_id))
