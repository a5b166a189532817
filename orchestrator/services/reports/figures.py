"""Figures of the job index for monitoring, read at most once in ten seconds, however often they are requested."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.agents.chat import CHAT_DEFINITIONS
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.metrics import Gate, IndexFigures, IndexTotals, TimeSpan
from orchestrator.storage.figures import FiguresRepository

log = structlog.get_logger(__name__)

CACHE_TIME: Final = timedelta(seconds=10)
# All ended jobs are counted again at this interval. In between, only the recent ones are read.
RECOUNT: Final = timedelta(hours=1)
# The end of a job may reach the index late, by a repair: younger ends are counted at every read.
SETTLED: Final = timedelta(minutes=5)
STALLED: Final = timedelta(minutes=15)
OTHER: Final = "(other)"


class FiguresReader:
    """Reads figures of the whole index and holds them for some seconds.

    Names outside the catalogue and chat become `(other)`, so that the number of labels stays small.
    """

    def __init__(self, figures: FiguresRepository, catalogue: Catalogue, *, clock: Callable[[], datetime]) -> None:
        self._figures = figures
        self._catalogue = catalogue
        self._gates = gates(catalogue)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._settled: tuple[datetime, IndexTotals] | None = None
        self._read: tuple[datetime, IndexFigures | None] | None = None

    async def read(self) -> IndexFigures | None:
        """The figures, at most ten seconds old. None if the index does not answer."""
        async with self._lock:
            now = self._clock()
            if self._read is None or now - self._read[0] >= CACHE_TIME:
                self._read = now, await self._figures_at(now)
            return self._read[1]

    async def _figures_at(self, now: datetime) -> IndexFigures | None:
        try:
            if self._settled is None or now - self._settled[0] >= RECOUNT + SETTLED:
                until = now - SETTLED
                self._settled = until, await self._figures.tally(TimeSpan(None, until))
            until, settled = self._settled
            recent = await self._figures.tally(TimeSpan(until, now))
            standing = await self._figures.standing(self._gates, quiet_since=now - STALLED)
        except Unavailable as error:
            log.warning("index_not_read", error=error.message)
            return None
        return IndexFigures(at=now, ended=self._bounded(settled.plus(recent)), now=standing)

    def _bounded(self, tally: IndexTotals) -> IndexTotals:
        totals = IndexTotals(
            durations=tally.durations,
            duration_ms=tally.duration_ms,
            waits=tally.waits,
            wait_ms=tally.wait_ms,
        )
        for (kind, definition, state), jobs in tally.jobs.items():
            totals.jobs[kind, self._definition(kind, definition), state] += jobs
        for (agent, status), steps in tally.steps.items():
            totals.steps[self._agent(agent), status] += steps
        for (agent, kind), tokens in tally.tokens.items():
            totals.tokens[self._agent(agent), kind] += tokens
        for agent, cost in tally.micro_usd.items():
            totals.micro_usd[self._agent(agent)] += cost
        return totals

    def _definition(self, kind: str, definition: str) -> str:
        if kind == JobKind.AGENT:
            return self._agent(definition)
        return definition if definition in self._catalogue.workflows or definition in CHAT_DEFINITIONS else OTHER

    def _agent(self, agent: str) -> str:
        try:
            return self._catalogue.agent(agent).id
        except NotFound:
            return OTHER


def gates(catalogue: Catalogue) -> list[Gate]:
    """The approval steps of all declared workflows, each with the calls of the steps it needs."""
    return [
        Gate(
            definition=definition.id,
            step=step.id,
            calls=tuple(call for call in definition.plan.calls() if call[0] in step.needs),
        )
        for definition in catalogue.workflows.values()
        for step in definition.plan.steps
        if step.approval is not None and not definition.code
    ]
