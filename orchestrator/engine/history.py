"""Reads the histories of jobs as stable logs, with one request per job and process that all readers share.

An event enters the log only when the server cannot renumber it any more, and an end only when the server shows that no
other run continues (decision 0014).
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.events import JobEvent
from orchestrator.domain.facts import RUN_ENDS, Fact, RunContinued, RunReset, RunStarted
from orchestrator.engine.history_source import CurrentRun, HistorySource
from orchestrator.projection.facts import fact_of
from orchestrator.projection.log_fold import event_fold, job_fold

log = structlog.get_logger(__name__)

EVENTS_AT_ONCE: Final = 100  # Events that a reader gets before the others have their turn.
_PAUSE: Final = 1.0  # Seconds between two tries while Temporal does not answer.
# The server shows an open workflow task after the persisted events, with numbers that other events may get later.
_PROVISIONAL: Final = frozenset(
    {EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED}
)


class JobHistory:
    """The log of a job over all its runs, in order. The list only grows; a reset replaces it by another list.

    Events that a reset copied into a new run keep the id of their original run.
    """

    def __init__(self, source: HistorySource, job_id: str) -> None:
        self._source = source
        self._job_id = job_id
        self._token = b""
        self._tail: list[HistoryEvent] = []
        self._tail_persisted = False
        self._last_number = 0  # The last event id of the current run in the log.
        self._runs: set[str] = set()
        self._end: Fact | None = None  # An end that is read, but not confirmed by `describe` yet.
        self._request: asyncio.Task[None] | None = None
        self._request_whole = False
        self._away = False
        self.run_id = ""
        self.log: list[Fact] = []
        self.ended = False
        self.job = job_fold(job_id)
        self.events = event_fold(job_id)

    async def sync(self, run: CurrentRun | None = None) -> CurrentRun:
        """Read everything that the server has of the job now, or had when it returned `run`.

        Raises `NotFound`, `Unavailable`.
        """
        current = run or await self._source.current_run(self._job_id)
        while not await self._holds(current):
            await self._wait_for_request(current, whole=True)
            if current.run_id != self.run_id:  # Or a reset undid the run, and the log will never contain it.
                current = await self._source.current_run(self._job_id)
        return current

    async def advance(self) -> None:
        """Wait for new events, or for the end of one long poll. Raises `NotFound`, `Unavailable`."""
        await self._wait_for_request(None, whole=True)

    def since(self, position: tuple[str, int] | None) -> list[Fact]:
        """The facts in the log after a position `(run id, event id)`."""
        return self.log[resume(self.log, position) :]

    async def fact(self, matches: Callable[[Fact], bool]) -> bool:
        """Wait for a fact that matches. False if the job ended without it.

        Continues after an outage of Temporal. Raises `NotFound`.
        """
        log: list[Fact] | None = None
        at = 0
        while True:
            if log is not self.log:  # At first, and after a reset, which replaced the log.
                log, at = self.log, 0
            new_facts = self.log[at:]
            at += len(new_facts)
            if any(map(matches, new_facts)):
                return True
            if self.ended:
                return False
            await self._wait_with_retries(whole=True)

    async def follow_events(self, after: tuple[str, int] | None = None) -> AsyncGenerator[list[JobEvent]]:
        """Yield the events after a position `(run id, event id)`, then each new one, those that are there at once in
        one list. Ends with the job.

        All readers share the events: each is built once. Continues after an outage of Temporal. Raises `NotFound`.
        """
        log: list[Fact] | None = None
        at = 0
        while True:
            if self.run_id:
                fold = self.events.current(self.log)
                if log is None:
                    at = fold.of_first(resume(self.log, after))
                elif log is not self.log:  # A reset replaced the log.
                    at = min(at, fold.of_first(_common_length(log, self.log)))
                log = self.log
                if at < len(fold.events):
                    events = fold.events[at : at + EVENTS_AT_ONCE]
                    at += len(events)
                    del fold
                    yield events
                    continue
                del fold
            if log is not None and self.ended:
                return
            await self._wait_with_retries(whole=True)

    async def end(self) -> None:
        """Wait for the end of the job, and read the log to its end. Continues after an outage. Raises `NotFound`."""
        while not self.ended:
            await self._wait_with_retries(whole=False)

    def stop(self) -> None:
        """Cancel the request in flight, when no reader is left."""
        if self._request is not None:
            self._request.cancel()

    async def _wait_with_retries(self, *, whole: bool) -> None:
        try:
            await self._wait_for_request(None, whole=whole)
        except Unavailable as fault:
            # One warning per outage: while Temporal is down, every try fails at once.
            log.log(
                logging.DEBUG if self._away else logging.WARNING,
                "history_not_read",
                job_id=self._job_id,
                error=fault.message,
            )
            self._away = True
            await asyncio.sleep(_PAUSE)
        else:
            self._away = False

    async def _wait_for_request(self, current: CurrentRun | None, *, whole: bool) -> None:
        """Wait for the shared request in flight. A request for all events replaces one for the end alone."""
        request = self._request
        if request is not None and whole and not self._request_whole:
            request.cancel()
            request = None
        if request is None or request.done():
            step = self._read_page(current) if whole else self._wait_for_end()
            request = self._request = asyncio.create_task(step, name=f"history of {self._job_id}")
            self._request_whole = whole
            # All waiters may be gone when it fails. This reads the error, and the next reader sends a new request.
            request.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({request})
        if not request.cancelled():
            request.result()

    async def _holds(self, current: CurrentRun) -> bool:
        """Whether the log has every event that the server had when it returned `current`."""
        if current.run_id != self.run_id:
            return current.run_id in self._runs  # The log has reached a later run.
        if self._end is not None:
            return False
        if self.ended or self._last_number >= current.length:
            return True
        if not self._tail or self._tail[-1].event_id < current.length:
            return False
        if self._tail_persisted:
            return True
        tail = self._tail
        newest = await self._source.newest(self._job_id, self.run_id)
        if tail is not self._tail:  # Another reader appended events meanwhile.
            return await self._holds(current)
        self._tail_persisted = _is_same(newest, tail[-1])
        return newest.event_id <= self._last_number or any(_is_same(newest, event) for event in tail)

    async def _read_page(self, current: CurrentRun | None) -> None:
        """Read one page from the server into the log."""
        if self._end is not None:
            await self._handle_end()
        elif not self.run_id or self.ended:
            await self._begin(current or await self._source.current_run(self._job_id))
        else:
            try:
                page = await self._source.page(self._job_id, self.run_id, self._token, wait=True)
            except Unavailable:
                self._token = b""  # The server may have restarted: read the run from its first event.
                raise
            self._token = page.token
            self._append(page.events)
            await self._handle_end()

    async def _wait_for_end(self) -> None:
        """Wait for the end of a job: one response, instead of one for every new event."""
        first = self.run_id
        run_id, token = first, b""
        while True:
            page = await self._source.closing(self._job_id, run_id, token)
            token = page.token
            if page.events:
                last = fact_of(page.events[-1], run_id)
                if not isinstance(last, RunContinued):
                    break
                run_id, token = last.new_run_id, b""
        if first or not await self._read_ended():
            await self._read_page(None)
        while first and self.run_id == first and not self.ended:
            await self._read_page(None)

    async def _read_ended(self) -> bool:
        """Read the whole job in one request, if its current run has ended, fits in one page, and was never reset.

        The server finds the current run by itself, and its first event names it: `describe` would add nothing.
        """
        page = await self._source.page(self._job_id, "", b"", wait=False)
        events = page.events
        run_id = events[0].workflow_execution_started_event_attributes.original_execution_run_id
        last = fact_of(events[-1], run_id)
        if page.token or not isinstance(last, RUN_ENDS) or any(map(_reset_of, events)):
            return False
        await self._replace(run_id, events)
        self._confirm_end()
        return True

    async def _begin(self, current: CurrentRun) -> None:
        """Read a run and its earlier runs from the first event, and replace the log."""
        events: list[HistoryEvent] = []
        token, has_events = b"", False
        while not has_events or (token and events[-1].event_id < current.length):
            page = await self._source.page(self._job_id, current.run_id, token, wait=True)
            events += page.events
            token, has_events = page.token, bool(events)
        await self._replace(current.run_id, events, token)
        await self._handle_end(current)

    async def _replace(self, run_id: str, events: list[HistoryEvent], token: bytes = b"") -> None:
        """Replace the log by the earlier runs and these events of a run, from its first."""
        facts = await self._earlier(events[0])
        self._runs = {fact.run_id for fact in facts}
        self.log, self.run_id, self._token = facts, run_id, token
        self._tail, self._last_number, self._end, self.ended = [], 0, None, False
        self._append(events, origins=_origins(events, run_id))

    async def _earlier(self, first: HistoryEvent) -> list[Fact]:
        """The facts of the earlier runs that the run with this `first` event continues, if Temporal still has them."""
        earlier_facts: list[Fact] = []
        while run_id := _continued_from(first):
            events: list[HistoryEvent] = []
            token = b""
            while token or not events:
                try:
                    page = await self._source.page(self._job_id, run_id, token, wait=False)
                except NotFound:
                    return earlier_facts
                events += page.events
                token = page.token
            facts = [fact_of(*pair) for pair in zip(events, _origins(events, run_id), strict=True)]
            if isinstance(last := facts[-1], RUN_ENDS):  # The run was retried, or repeated by a cron schedule.
                facts[-1] = RunContinued(event_id=last.event_id, run_id=run_id, time=last.time, new_run_id="")
            earlier_facts = facts + earlier_facts
            first = events[0]
        return earlier_facts

    def _append(self, events: list[HistoryEvent], *, origins: Sequence[str] = ()) -> None:
        """Append events to the log, except an open workflow task at their end, which may still be renumbered."""
        if not events:
            return
        self._tail_persisted = False
        new_events = [event for event in self._tail if event.event_id < events[0].event_id]
        new_events += [event for event in events if event.event_id > self._last_number]
        stable = len(new_events)
        while stable and new_events[stable - 1].event_type in _PROVISIONAL:
            stable -= 1
        new_events, self._tail = new_events[:stable], new_events[stable:]
        facts = [
            fact_of(event, origin) for event, origin in zip(new_events, origins or [self.run_id] * stable, strict=False)
        ]
        self._runs |= {self.run_id, *origins}
        if facts:
            self._last_number = facts[-1].event_id
        if facts and isinstance(facts[-1], RUN_ENDS):
            self._end = facts.pop()
        self.log += facts

    async def _handle_end(self, current: CurrentRun | None = None) -> None:
        """After the end of a run, continue with the next run or end the log, when `describe` confirms the end."""
        last = self.log[-1] if self.log else None
        if isinstance(last, RunContinued) and last.run_id == self.run_id and self._end is None:
            self.run_id, self._token, self._last_number, self._tail = last.new_run_id, b"", 0, []
        elif self._end is not None:
            if current is None or current.running:  # This response is older than the end.
                current = await self._source.current_run(self._job_id)
            if current.run_id != self.run_id:
                await self._begin(current)
                return
            self._confirm_end()

    def _confirm_end(self) -> None:
        if self._end is not None:
            self.log.append(self._end)
            self._end, self.ended = None, True


def resume(facts: Sequence[Fact], after: tuple[str, int] | None) -> int:
    """The number of facts up to a position `(run id, event id)`, which its reader has seen.

    If a reset undid the whole run of the position, the reader continues at the beginning of the run that replaced it.
    """
    if after is None:
        return 0
    run_id, number = after
    start = 0
    for index in range(len(facts) - 1, -1, -1):
        fact = facts[index]
        if fact.run_id == run_id and fact.event_id <= number:
            return index + 1
        if not start and (isinstance(fact, RunReset) or (isinstance(fact, RunStarted) and not fact.continued)):
            start = index
    return start


def _common_length(old: Sequence[Fact], new: Sequence[Fact]) -> int:
    """The number of facts that two logs of a job have in common at their beginning."""
    for index, (old_fact, new_fact) in enumerate(zip(old, new, strict=False)):
        if (old_fact.run_id, old_fact.event_id) != (new_fact.run_id, new_fact.event_id):
            return index
    return min(len(old), len(new))


def _is_same(old_event: HistoryEvent, new_event: HistoryEvent) -> bool:
    return (old_event.event_id, old_event.event_type, old_event.event_time) == (
        new_event.event_id,
        new_event.event_type,
        new_event.event_time,
    )


def _continued_from(first: HistoryEvent) -> str:
    return first.workflow_execution_started_event_attributes.continued_execution_run_id


def _origins(events: Sequence[HistoryEvent], run_id: str) -> list[str]:
    """The run in which each event happened. A reset run begins with a copy of the events of its base run."""
    origins = [run_id] * len(events)
    first = 0
    for index, event in enumerate(events):
        if base := _reset_of(event):
            origins[first:index] = [base] * (index - first)
            first = index
    return origins


def _reset_of(event: HistoryEvent) -> str:
    """The base run of the reset that the event notes, or ""."""
    failed = event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    return event.workflow_task_failed_event_attributes.base_run_id if failed else ""


class HistoryReader:
    """The histories that this process reads. Open ones stay in memory, and up to `most` others are cached."""

    def __init__(self, source: HistorySource, *, most: int = 128) -> None:
        self._source = source
        self._most = most
        self._used: dict[str, JobHistory] = {}
        self._users: dict[str, int] = {}
        self._idle: OrderedDict[str, JobHistory] = OrderedDict()

    @asynccontextmanager
    async def open(self, job_id: str) -> AsyncIterator[JobHistory]:
        """Open the history of a job, which all its readers share."""
        history = self._used.get(job_id) or self._idle.pop(job_id, None) or JobHistory(self._source, job_id)
        self._used[job_id] = history
        self._users[job_id] = self._users.get(job_id, 0) + 1
        try:
            yield history
        finally:
            self._users[job_id] -= 1
            if not self._users[job_id]:
                del self._users[job_id], self._used[job_id]
                history.stop()
                self._remember(job_id, history)

    def _remember(self, job_id: str, history: JobHistory) -> None:
        """Cache the history for the next reader, unless the job is unknown or has ended and has its snapshot."""
        if not history.run_id or history.ended:
            return
        history.events = event_fold(job_id)  # Open streams share events; a cached history needs the job alone.
        self._idle[job_id] = history
        while len(self._idle) > self._most:
            self._idle.popitem(last=False)
