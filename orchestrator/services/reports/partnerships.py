"""Partnerships: groups of agents, with figures of their work in the last 24 hours (S-012, S-013, S-016)."""

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

CACHE_TIME: Final = timedelta(seconds=5)
MAX_DELIVERABLES: Final = 20


class Health(StrEnum):
    """The health of a partnership by its score: from 95, from 85, from 70, below 70; unknown while nothing ended."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


_THRESHOLDS: Final = ((95.0, Health.EXCELLENT), (85.0, Health.GOOD), (70.0, Health.FAIR))


@dataclass(frozen=True, slots=True)
class Group:
    """A named group: the agents of some squads."""

    id: str
    name: str
    squads: tuple[str, ...]


ACROSS_SQUADS: Final = (
    Group("cursor_technical", "Cursor Technical Partnership", (Squad.BACKEND, Squad.DEVOPS, Squad.QA)),
    Group("grok_brand", "Grok Brand Partnership", (Squad.FRONTEND, Squad.BUSINESS)),
)
"""The two documented groups (S-017). Every squad is a group, too."""


@dataclass(frozen=True, slots=True)
class GroupDeliverable:
    """One kind of work: a step of workflows, or an agent that ran alone. `progress` is percent of completed calls."""

    name: str
    progress: float


@dataclass(frozen=True, slots=True)
class Partnership:
    """The figures of one group. Rates are percent with one decimal, `response_time` is milliseconds.

    `score` is the share of successful attempts among those that succeeded or failed. While nothing ended it is 0.0,
    and `health` is unknown. `progress` is the share of completed calls among those that began. `uptime` is the share of
    attempts that were not lost (their worker stopped responding). Before the first attempt it is 100.0 if a worker
    polls, else 0.0.
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
    """The partnerships at one moment, with the state of the parts that their agents need."""

    at: datetime
    checks: Sequence[Finding]
    partnerships: Sequence[Partnership]

    @property
    def ready(self) -> bool:
        """Whether every part answers."""
        return all(check.ok for check in self.checks)


class PartnershipReader:
    """Reads figures of the partnerships over the jobs of everybody or of one owner. Holds them for some seconds."""

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
        self._reports: dict[str | None, tuple[datetime, PartnershipReport | Unavailable]] = {}

    async def report(self, principal: Principal) -> PartnershipReport:
        """The partnerships, at most five seconds old. An admin and users, who belong to the installation, see the jobs
        of everybody; any other API key sees its own jobs. Raises `Unavailable`, the same error for five seconds.
        """
        everybody = principal.admin or principal.roles
        owner = None if everybody else principal.id
        async with self._lock:
            now = self._clock()
            self._reports = {key: report for key, report in self._reports.items() if now - report[0] < CACHE_TIME}
            if owner not in self._reports:
                self._reports[owner] = now, await self._report_or_error(now, ADMIN if everybody else principal)
            report = self._reports[owner][1]
        if isinstance(report, Unavailable):
            raise Unavailable(report.message, retry_after=CACHE_TIME.total_seconds())
        return report

    async def _report_or_error(self, now: datetime, principal: Principal) -> PartnershipReport | Unavailable:
        try:
            return await self._build_report(now, principal)
        except Unavailable as error:
            return error

    async def _build_report(self, now: datetime, principal: Principal) -> PartnershipReport:
        checks, overview, work = await asyncio.gather(
            self._readiness.checks(),
            self._metrics.overview(principal, DAY),
            self._work.calls_since(self._names, since=now - DAY, owner=None if principal.admin else principal.id),
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
        members_work = [each for each in work if each.agent in members]
        attempts, lost = sum(each.attempts for each in members_work), sum(each.lost for each in members_work)
        return Partnership(
            id=group.id,
            name=group.name,
            health=health(total),
            score=total.success_rate,
            progress=percent(sum(each.completed for each in members_work), sum(each.calls for each in members_work)),
            deliverables=self._deliverables(members_work),
            uptime=percent(attempts - lost, attempts) if attempts else 100.0 * polled,
            response_time=round(1000 * total.mean_seconds, 1),
        )

    def _deliverables(self, work: Iterable[Work]) -> list[GroupDeliverable]:
        """The kinds of work, by number of calls."""
        calls: Counter[str] = Counter()
        completed: Counter[str] = Counter()
        for each in work:
            alone = each.step == AGENT_STEP
            name = self._names[each.agent] if alone else each.step.replace("_", " ").capitalize()
            calls[name] += each.calls
            completed[name] += each.completed
        first = sorted(calls, key=lambda name: (-calls[name], name))[:MAX_DELIVERABLES]
        return [GroupDeliverable(name, percent(completed[name], calls[name])) for name in first]


def groups(catalogue: Catalogue) -> list[Group]:
    """The documented partnerships, then one for each squad of the catalogue."""
    squads = dict.fromkeys(agent.squad for agent in catalogue.agents.values())
    alone = (Group(f"{squad}_squad", f"{squad.replace('_', ' ').title()} Squad", (squad,)) for squad in squads)
    return [*ACROSS_SQUADS, *alone]


def health(ended: ExecutionCounts) -> Health:
    """The health that follows from ended attempts."""
    if not ended.total:
        return Health.UNKNOWN
    return next((word for least, word in _THRESHOLDS if ended.success_rate >= least), Health.POOR)


def percent(part: int, total: int) -> float:
    """A percentage with one decimal: 0.0 for an empty total, 100.0 only if `part` equals `total`."""
    share = 100 * part / total if total else 0.0
    return min(round(share, 1), 99.9) if part < total else round(share, 1)
