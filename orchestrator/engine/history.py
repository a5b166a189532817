"""Reads jobs' histories as a stable log: one request in flight per job and process, shared by every reader (A6, A15).

An event joins the log only when the server cannot renumber it any more, and an end only when a `describe` says that no
other run goes on (decision 0014).
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.facts import RUN_ENDS, Fact, RunContinued, RunReset, RunStarted
from orchestrator.engine.history_source import CurrentRun, HistorySource
from orchestrator.projection.facts import fact_of

log = structlog.get_logger(__name__)

_PAUSE: Final = 1.0  # seconds between two tries while Temporal is away
# The server shows an open workflow task behind the persisted events, under numbers that other events may get.
_PROVISIONAL: Final = frozenset(
    {EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED}
)


@dataclass(frozen=True, slots=True)
class Rewound:
    """Where a follower goes on: after `facts`, which begin the log that now counts and are not followed again."""

    facts: Sequence[Fact]


class JobHistory:
    """The log of one job over all its runs, in order. It only grows, until a reset replaces it by another list.

    Events that a reset run took over keep the id of the run that they happened in.
    """

    def __init__(self, source: HistorySource, job_id: str) -> None:
        self._source = source
        self._job_id = job_id
        self._token = b""
        self._tail: list[HistoryEvent] = []
        self._tail_persisted = False
        self._last_number = 0  # of the current run, in the log
        self._runs: set[str] = set()
        self._end: Fact | None = None  # read, and not yet confirmed by a `describe`
        self._request: asyncio.Task[None] | None = None
        self._request_whole = False
        self._away = False
        self.run_id = ""
        self.log: list[Fact] = []
        self.ended = False

    async def sync(self) -> CurrentRun:
        """Read all that the server holds of the job now. Raises `NotFound`, `Unavailable`."""
        current = await self._source.current_run(self._job_id)
        while not await self._holds(current):
            await self._news(current, whole=True)
            if current.run_id != self.run_id:  # or the run was undone since, and the log will never hold it
                current = await self._source.current_run(self._job_id)
        return current

    async def advance(self) -> None:
        """Wait until there is news or the long-poll's round is over. Raises `NotFound`, `Unavailable`."""
        await self._news(None, whole=True)

    def since(self, position: tuple[str, int] | None) -> list[Fact]:
        """The facts so far after a position `(run id, event id)`."""
        return self.log[resume(self.log, position) :]

    async def follow(self, after: tuple[str, int] | None = None) -> AsyncGenerator[Fact | Rewound]:
        """Every fact, or those after a position `(run id, event id)`, then each new one; ends with the job.

        A `Rewound` comes first where facts are passed over, and again when a reset undoes facts that were yielded.
        Goes on by itself when Temporal was away for a while. Raises `NotFound`.
        """
        facts: list[Fact] | None = None
        at = 0
        while True:
            if self.run_id and facts is not self.log:
                if facts is None:
                    at = resume(self.log, after)
                    rewound = at > 0
                else:  # a reset replaced the log
                    shared = _shared(facts, self.log)
                    rewound = shared < at
                    at = min(at, shared)
                facts = self.log
                if rewound:
                    yield Rewound(facts[:at])
            elif facts is not None and at < len(facts):
                yield facts[at]
                at += 1
            elif self.ended:
                return
            else:
                await self._patiently(whole=True)

    async def end(self) -> None:
        """Wait until the job has ended, and read it to its end. Goes on when Temporal was away. Raises `NotFound`."""
        while not self.ended:
            await self._patiently(whole=False)

    def stop(self) -> None:
        """Give up the request in flight: nobody waits for it any more."""
        if self._request is not None:
            self._request.cancel()

    async def _patiently(self, *, whole: bool) -> None:
        try:
            await self._news(None, whole=whole)
        except Unavailable as fault:
            # Once an outage: while Temporal is away every try fails at once.
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

    async def _news(self, current: CurrentRun | None, *, whole: bool) -> None:
        """Wait for the one request in flight. One for the end alone makes room for one that brings every event."""
        request = self._request
        if request is not None and whole and not self._request_whole:
            request.cancel()
            request = None
        if request is None or request.done():
            step = self._step(current) if whole or self.run_id else self._closing()
            request = self._request = asyncio.create_task(step, name=f"history of {self._job_id}")
            self._request_whole = whole or bool(self.run_id)
            # Its waiters may all have gone when it fails; the next one asks again.
            request.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({request})
        if not request.cancelled():
            request.result()

    async def _holds(self, current: CurrentRun) -> bool:
        """Whether the log has all that the server had when it answered with `current`."""
        if current.run_id != self.run_id:
            return current.run_id in self._runs  # the log has gone on to a later run
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
        if tail is not self._tail:  # another reader took an answer in meanwhile
            return await self._holds(current)
        self._tail_persisted = _same(newest, tail[-1])
        return newest.event_id <= self._last_number or any(_same(newest, event) for event in tail)

    async def _step(self, current: CurrentRun | None) -> None:
        """One answer of the server, taken into the log."""
        if self._end is not None:
            await self._conclude()
        elif not self.run_id or self.ended:
            await self._begin(current or await self._source.current_run(self._job_id))
        else:
            try:
                page = await self._source.page(self._job_id, self.run_id, self._token, wait=True)
            except Unavailable:
                self._token = b""  # the server may have restarted: read the run again from its first event
                raise
            self._token = page.token
            self._append(page.events)
            await self._conclude()

    async def _closing(self) -> None:
        """The end of a job of which no event was read: one answer instead of one for every piece of news."""
        run_id, token = "", b""
        while True:
            page = await self._source.closing(self._job_id, run_id, token)
            token = page.token
            if page.events:
                last = fact_of(page.events[-1], run_id)
                if not isinstance(last, RunContinued):
                    break
                run_id, token = last.new_run_id, b""
        await self._begin(await self._source.current_run(self._job_id))

    async def _begin(self, current: CurrentRun) -> None:
        """Read a run and those before it from the first event; what was known of the job is replaced."""
        events: list[HistoryEvent] = []
        token, begun = b"", False
        while not begun or (token and events[-1].event_id < current.length):
            page = await self._source.page(self._job_id, current.run_id, token, wait=True)
            events += page.events
            token, begun = page.token, bool(events)
        facts = await self._earlier(events[0])
        self._runs = {fact.run_id for fact in facts}
        self.log, self.run_id, self._token = facts, current.run_id, token
        self._tail, self._last_number, self._end, self.ended = [], 0, None, False
        self._append(events, origins=_origins(events, current.run_id))
        await self._conclude(current)

    async def _earlier(self, first: HistoryEvent) -> list[Fact]:
        """The facts of the runs that the one with this `first` event continues, as far as Temporal still has them."""
        known: list[Fact] = []
        while run_id := _continued_from(first):
            events: list[HistoryEvent] = []
            token = b""
            while token or not events:
                try:
                    page = await self._source.page(self._job_id, run_id, token, wait=False)
                except NotFound:
                    return known
                events += page.events
                token = page.token
            facts = [fact_of(*pair) for pair in zip(events, _origins(events, run_id), strict=True)]
            if isinstance(last := facts[-1], RUN_ENDS):  # of a run that was retried or came again by a timetable
                facts[-1] = RunContinued(event_id=last.event_id, run_id=run_id, time=last.time, new_run_id="")
            known = facts + known
            first = events[0]
        return known

    def _append(self, events: list[HistoryEvent], *, origins: Sequence[str] = ()) -> None:
        """Take events into the log, but for an open workflow task at their end: that one may be renumbered yet."""
        if not events:
            return
        self._tail_persisted = False
        fresh = [event for event in self._tail if event.event_id < events[0].event_id]
        fresh += [event for event in events if event.event_id > self._last_number]
        stable = len(fresh)
        while stable and fresh[stable - 1].event_type in _PROVISIONAL:
            stable -= 1
        fresh, self._tail = fresh[:stable], fresh[stable:]
        facts = [
            fact_of(event, origin) for event, origin in zip(fresh, origins or [self.run_id] * stable, strict=False)
        ]
        self._runs |= {self.run_id, *origins}
        if facts:
            self._last_number = facts[-1].event_id
        if facts and isinstance(facts[-1], RUN_ENDS):
            self._end = facts.pop()
        self.log += facts

    async def _conclude(self, current: CurrentRun | None = None) -> None:
        """Go on to the next run, or end, if the current run has closed. Without `describe` no end is believed."""
        last = self.log[-1] if self.log else None
        if isinstance(last, RunContinued) and last.run_id == self.run_id and self._end is None:
            self.run_id, self._token, self._last_number, self._tail = last.new_run_id, b"", 0, []
        elif self._end is not None:
            if current is None or current.running:  # said before the end that was read since
                current = await self._source.current_run(self._job_id)
            if current.run_id != self.run_id:
                await self._begin(current)
                return
            self.log.append(self._end)
            self._end, self.ended = None, True


def resume(facts: Sequence[Fact], after: tuple[str, int] | None) -> int:
    """How many facts a reader has seen that stopped after a position `(run id, event id)`.

    Of a run that was undone as a whole nothing is left: its reader goes on with the run that replaced it.
    """
    if after is None:
        return 0
    run_id, number = after
    begin = 0
    for index in range(len(facts) - 1, -1, -1):
        fact = facts[index]
        if fact.run_id == run_id and fact.event_id <= number:
            return index + 1
        if not begin and (isinstance(fact, RunReset) or (isinstance(fact, RunStarted) and not fact.continued)):
            begin = index
    return begin


def _shared(old: Sequence[Fact], new: Sequence[Fact]) -> int:
    """How many facts two logs of a job have in common, from the first."""
    for index, (left, right) in enumerate(zip(old, new, strict=False)):
        if (left.run_id, left.event_id) != (right.run_id, right.event_id):
            return index
    return min(len(old), len(new))


def _same(left: HistoryEvent, right: HistoryEvent) -> bool:
    return (left.event_id, left.event_type, left.event_time) == (right.event_id, right.event_type, right.event_time)


def _continued_from(first: HistoryEvent) -> str:
    return first.workflow_execution_started_event_attributes.continued_execution_run_id


def _origins(events: Sequence[HistoryEvent], run_id: str) -> list[str]:
    """The run in which each event happened: a reset run begins with a copy of the events of its base run."""
    origins = [run_id] * len(events)
    first = 0
    for index, event in enumerate(events):
        reset = event.workflow_task_failed_event_attributes
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED and reset.base_run_id:
            origins[first:index] = [reset.base_run_id] * (index - first)
            first = index
    return origins


class HistoryReader:
    """The histories that this process reads. A job that somebody follows stays; `most` others are remembered."""

    def __init__(self, source: HistorySource, *, most: int = 128) -> None:
        self._source = source
        self._most = most
        self._used: dict[str, JobHistory] = {}
        self._users: dict[str, int] = {}
        self._idle: OrderedDict[str, JobHistory] = OrderedDict()

    @asynccontextmanager
    async def open(self, job_id: str) -> AsyncIterator[JobHistory]:
        """The history of one job, shared by all that have it open."""
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
        """Keep an open job's history for the next reader. An unknown job has none; an ended one has its snapshot."""
        if not history.run_id or history.ended:
            return
        self._idle[job_id] = history
        while len(self._idle) > self._most:
            self._idle.popitem(last=False)
