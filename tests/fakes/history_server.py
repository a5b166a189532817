"""A history store that a test writes: persisted events, provisional ones behind them, resets, outages."""

import asyncio
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.engine.history_source import CurrentRun, Page

STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
CANCEL_REQUESTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
TERMINATED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
CONTINUED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
TASK_SCHEDULED = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
TASK_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
_ENDS = (COMPLETED, TERMINATED, CONTINUED)


@dataclass
class Run:
    """One run: its persisted events, and how many provisional ones the server shows behind them."""

    id: str
    events: list[HistoryEvent] = field(default_factory=list)
    provisional: int = 0

    @property
    def open(self) -> bool:
        return not self.events or self.events[-1].event_type not in _ENDS


class HistoryServer:
    """A `HistorySource` of any number of jobs. `calls` counts what was asked; `down` lets every call fail."""

    def __init__(self, *, page_size: int = 3, round_seconds: float = 0.02) -> None:
        self.jobs: dict[str, list[Run]] = {}
        self.calls: list[str] = []
        self.polling: dict[str, int] = {}
        self.most_polls = 0
        self.down = False
        self.refused: set[bytes] = set()  # page tokens that a restart made worthless
        self._page_size = page_size
        self._round = round_seconds
        self._clock = 0
        self._changed = asyncio.Event()

    # What a test does to a job.

    def start(self, job_id: str) -> Run:
        run = Run(f"{job_id}-run-1")
        self.jobs[job_id] = [run]
        self._begin(job_id, run)
        return run

    def run(self, job_id: str) -> Run:
        return self.jobs[job_id][-1]

    def add(self, job_id: str, kind: int, **attributes: str) -> HistoryEvent:
        """Persist an event; provisional ones are gone, and it gets the number that the first of them had."""
        run = self.run(job_id)
        assert run.open
        run.provisional = 0
        event = self._event(len(run.events) + 1, kind)
        match kind:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                event.workflow_execution_signaled_event_attributes.signal_name = attributes["name"]
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                event.workflow_execution_cancel_requested_event_attributes.cause = "because"
        run.events.append(event)
        self._wake()
        return event

    def task(self, job_id: str) -> None:
        """A whole workflow task."""
        for kind in (TASK_SCHEDULED, TASK_STARTED, TASK_COMPLETED):
            self.add(job_id, kind)

    def show_provisional(self, job_id: str, count: int = 2) -> None:
        """A workflow task is tried again: shown behind the persisted events, not written."""
        self.run(job_id).provisional = count
        self._wake()

    def continue_as_new(self, job_id: str) -> None:
        run = self.run(job_id)
        new = Run(f"{job_id}-run-{len(self.jobs[job_id]) + 1}")
        end = self.add(job_id, CONTINUED)
        end.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = new.id
        self.jobs[job_id].append(new)
        self._begin(job_id, new, continued_execution_run_id=run.id)

    def _begin(self, job_id: str, run: Run, **attributes: str) -> None:
        started = self.add(job_id, STARTED).workflow_execution_started_event_attributes
        started.original_execution_run_id = run.id
        for name, value in attributes.items():
            setattr(started, name, value)

    def reset(self, job_id: str, number: int) -> None:
        """Reset the current run to its event `number`: it is terminated, and a new one begins with a copy."""
        base = self.run(job_id)
        if base.open:
            self.add(job_id, TERMINATED)
        new = Run(f"{job_id}-run-{len(self.jobs[job_id]) + 1}")
        for event in base.events[:number]:
            new.events.append(HistoryEvent.FromString(event.SerializeToString()))
        self.jobs[job_id].append(new)
        failed = self.add(job_id, TASK_FAILED).workflow_task_failed_event_attributes
        failed.cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
        failed.base_run_id, failed.new_run_id = base.id, new.id

    # What the reader asks.

    async def current_run(self, job_id: str) -> CurrentRun:
        self._ask("current_run", job_id)
        await asyncio.sleep(0)
        run = self.run(job_id)
        return CurrentRun(run.id, len(run.events), run.open, "q", DescribeWorkflowExecutionResponse())

    async def page(self, job_id: str, run_id: str, token: bytes, *, wait: bool) -> Page:
        self._ask("page", job_id)
        if token in self.refused:
            raise Unavailable("Temporal refused the token")
        run = self._find(job_id, run_id) if run_id else self.run(job_id)
        first = int(token or b"1")
        if wait and token and run.open and len(run.events) < first:
            await self._poll(job_id, lambda: len(run.events) >= first or not run.open)
            self._ask("answer", job_id)
        else:
            await asyncio.sleep(0)
        events = run.events[first - 1 : first - 1 + self._page_size]
        after = first + len(events)
        if after <= len(run.events):
            return Page(list(events), str(after).encode())
        if not run.open:
            return Page(list(events), b"")
        shown = [self._event(after + at, kind) for at, kind in enumerate((TASK_SCHEDULED, TASK_STARTED))]
        return Page([*events, *shown[: run.provisional]], str(after).encode() if wait else b"")

    async def closing(self, job_id: str, run_id: str, token: bytes) -> Page:
        self._ask("closing", job_id)
        run = self._find(job_id, run_id) if run_id else self.run(job_id)
        if token:
            run = self._find(job_id, token.decode())
        if run.open:
            await self._poll(job_id, lambda: not run.open)
            self._ask("answer", job_id)
        return Page([] if run.open else [run.events[-1]], run.id.encode())

    async def newest(self, job_id: str, run_id: str) -> HistoryEvent:
        self._ask("newest", job_id)
        await asyncio.sleep(0)
        return self._find(job_id, run_id).events[-1]

    def _ask(self, what: str, job_id: str) -> None:
        self.calls.append(what)
        if self.down:
            raise Unavailable("Temporal does not answer")
        if job_id not in self.jobs:
            raise NotFound(f"Unknown job: {job_id}")

    def _find(self, job_id: str, run_id: str) -> Run:
        return next(run for run in self.jobs[job_id] if run.id == run_id)

    async def _poll(self, job_id: str, ready) -> None:
        self.polling[job_id] = self.polling.get(job_id, 0) + 1
        self.most_polls = max(self.most_polls, self.polling[job_id])
        try:
            async with asyncio.timeout(self._round):
                while not ready():
                    changed = self._changed
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            self.polling[job_id] -= 1

    def _event(self, number: int, kind: int) -> HistoryEvent:
        self._clock += 1
        return HistoryEvent(event_id=number, event_type=kind, event_time=Timestamp(seconds=1_700_000_000 + self._clock))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
