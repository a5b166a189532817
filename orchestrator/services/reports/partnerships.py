"""Partnerships: groups of agents and how their work fares, measured over the last 24 hours (S-012, S-013, S-016)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.domain.access import Principal
from orchestrator.domain.agents import Squad
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.domain.metrics import ExecutionCounts
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.jobs.start import AGENT_STEP
from orchestrator.services.reports.metrics import DAY, MetricsReader
from orchestrator.services.reports.readiness import Readiness
from orchestrator.storage.work import Work, WorkRepository

KEPT: Final = timedelta(seconds=5)
MOST_DELIVERABLES: Final = 20


class Health(StrEnum):
    """How a partnership fares, by its score: from 95, from 85, from 70, below; unknown while nothing ended."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


_THRESHOLDS: Final = ((95.0, Health.EXCELLENT), (85.0, Health.GOOD), (70.0, Health.FAIR))


@dataclass(frozen=True, slots=True)
class Group:
    """The agents of some squads, under a name of their own."""

    id: str
    name: str
    squads: tuple[str, ...]


ACROSS_SQUADS: Final = (
    Group("cursor_technical", "Cursor Technical Partnership", (Squad.BACKEND, Squad.DEVOPS, Squad.QA)),
    Group("grok_brand", "Grok Brand Partnership", (Squad.FRONTEND, Squad.BUSINESS)),
)
"""The two that are documented (S-017); every squad is one, too."""


@dataclass(frozen=True, slots=True)
class GroupDeliverable:
    """One kind of work: a step of workflows, or an agent that ran alone. `progress` is percent of calls completed."""

    name: str
    progress: float


@dataclass(frozen=True, slots=True)
class Partnership:
    """One group, measured. Rates are percent with one decimal, `response_time` is milliseconds.

    `score` is the share of attempts that succeeded, of those that succeeded or failed; 0.0 while nothing ended, with
    `health` unknown. `progress` is the share of begun calls that are completed. `uptime` is the share of begun attempts
    that were not lost (no worker answered for them in time); while none began, it is whether a worker polls now.
    """

    id: str
    name: str
    health: Health
    score: float
    progress: float
    deliverables: Sequence[GroupDeliverable]
    uptime: float
    response_time: float


@dataclass(frozen=True, slots=True)
class PartnershipReport:
    """Every partnership, and the parts of the installation that their agents need, at one moment."""

    at: datetime
    checks: Sequence[Finding]
    partnerships: Sequence[Partnership]

    @property
    def ready(self) -> bool:
        """Whether every part answers."""
        return all(check.ok for check in self.checks)


class PartnershipReader:
    """Measures the partnerships, over everybody's jobs or one owner's, at most once in a few seconds."""

    def __init__(
        self,
        catalogue: Catalogue,
        metrics: MetricsReader,
        work: WorkRepository,
        readiness: Readiness,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._groups = groups(catalogue)
        self._names = {agent.id: agent.name for agent in catalogue.agents.values()}
        self._squads = {agent.id: agent.squad for agent in catalogue.agents.values()}
        self._metrics = metrics
        self._work = work
        self._readiness = readiness
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read: dict[str | None, tuple[datetime, PartnershipReport | Unavailable]] = {}

    async def report(self, principal: Principal) -> PartnershipReport:
        """The partnerships, at most five seconds old: of everybody for an admin and for users, who belong to the
        installation; of its own jobs for any other API key. Raises `Unavailable`, for as long without asking again.
        """
        everybody = principal.admin or principal.roles
        owner = None if everybody else principal.id
        async with self._lock:
            now = self._clock()
            self._read = {key: read for key, read in self._read.items() if now - read[0] < KEPT}
            if owner not in self._read:
                self._read[owner] = now, await self._measured_or_not(now, ADMIN if everybody else principal)
            found = self._read[owner][1]
        if isinstance(found, Unavailable):
            raise Unavailable(found.message, retry_after=KEPT.total_seconds())
        return found

    async def _measured_or_not(self, now: datetime, principal: Principal) -> PartnershipReport | Unavailable:
        try:
            return await self._measured(now, principal)
        except Unavailable as fault:
            return fault

    async def _measured(self, now: datetime, principal: Principal) -> PartnershipReport:
        checks, overview, work = await asyncio.gather(
            self._readiness.checks(),
            self._metrics.overview(principal, DAY),
            self._work.begun(self._names, since=now - DAY, owner=None if principal.admin else principal.id),
        )
        polled = all(finding.ok for finding in checks if finding.check == "worker")
        partnerships = [self._partnership(group, overview.agents, work, polled=polled) for group in self._groups]
        return PartnershipReport(now, checks, partnerships)

    def _partnership(
        self, group: Group, ended: Mapping[str, ExecutionCounts], work: Iterable[Work], *, polled: bool
    ) -> Partnership:
        members = {agent for agent, squad in self._squads.items() if squad in group.squads}
        total = ExecutionCounts()
        for agent in members & ended.keys():
            total = total.plus(ended[agent])
        own = [each for each in work if each.agent in members]
        attempts, lost = sum(each.attempts for each in own), sum(each.lost for each in own)
        return Partnership(
            id=group.id,
            name=group.name,
            health=health(total),
            score=total.success_rate,
            progress=percent(sum(each.completed for each in own), sum(each.calls for each in own)),
            deliverables=self._deliverables(own),
            uptime=percent(attempts - lost, attempts) if attempts else 100.0 * polled,
            response_time=round(1000 * total.mean_seconds, 1),
        )

    def _deliverables(self, work: Iterable[Work]) -> list[GroupDeliverable]:
        """What was worked on most comes first."""
        calls: Counter[str] = Counter()
        completed: Counter[str] = Counter()
        for each in work:
            alone = each.step == AGENT_STEP
            name = self._names[each.agent] if alone else each.step.replace("_", " ").capitalize()
            calls[name] += each.calls
            completed[name] += each.completed
        first = sorted(calls, key=lambda name: (-calls[name], name))[:MOST_DELIVERABLES]
        return [GroupDeliverable(name, percent(completed[name], calls[name])) for name in first]


def groups(catalogue: Catalogue) -> list[Group]:
    """The documented partnerships, then one for each squad of the catalogue."""
    squads = dict.fromkeys(agent.squad for agent in catalogue.agents.values())
    alone = (Group(f"{squad}_squad", f"{squad.replace('_', ' ').title()} Squad", (squad,)) for squad in squads)
    return [*ACROSS_SQUADS, *alone]


def health(ended: ExecutionCounts) -> Health:
    """How those that ended add up."""
    if not ended.total:
        return Health.UNKNOWN
    return next((word for least, word in _THRESHOLDS if ended.success_rate >= least), Health.POOR)


def percent(part: int, whole: int) -> float:
    """With one decimal; 0.0 of nothing. 100.0 only for the whole."""
    share = 100 * part / whole if whole else 0.0
    return min(round(share, 1), 99.9) if part < whole else round(share, 1)
