"""Metrics over the job index. Every surface shows the same ones in its own shape (C-05)."""

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime, timedelta
from typing import Final

from orchestrator.domain.access import Principal
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.metrics import AgentMetrics, Day, ExecutionCounts, Overview, Period, TimeSpan
from orchestrator.storage.metrics import MetricsRepository, Sum

DAY: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MetricsReader:
    """Sums up what ended in a time span: the caller's jobs or, for an admin, everybody's (D-054, D-056)."""

    metrics: MetricsRepository
    catalogue: Catalogue
    _: KW_ONLY
    clock: Callable[[], datetime]

    async def overview(self, principal: Principal, length: timedelta | None = DAY) -> Overview:
        """Everything that ended in the last `length`; with None, everything that ever ended. Raises `Unavailable`."""
        return await self._overview(principal, TimeSpan.last(length, self.clock()))

    async def trend(self, principal: Principal, length: timedelta) -> tuple[Overview, Overview]:
        """Everything that ended in the last `length`, and in the same length before it. Raises `Unavailable`."""
        now = self.clock()
        recent, before = TimeSpan(now - length, now), TimeSpan(now - 2 * length, now - length)
        return await self._overview(principal, recent), await self._overview(principal, before)

    async def agent(self, principal: Principal, agent_id: str, period: Period) -> AgentMetrics:
        """The attempts of one agent. Raises `NotFound` for an agent outside the catalogue, `Unavailable`."""
        self.catalogue.agent(agent_id)
        window = TimeSpan.last(period.length, self.clock())
        sums, percentiles = await self.metrics.agent(agent_id, window, owner=_owner(principal))
        return AgentMetrics(
            agent_id=agent_id,
            window=window,
            executions=_total(each.executions for each in sums),
            percentiles=percentiles,
            days=_days(window, sums),
        )

    async def _overview(self, principal: Principal, window: TimeSpan) -> Overview:
        sums = await self.metrics.overview(window, owner=_owner(principal))
        # Jobs are counted by their end, tokens by the end of the attempt that used them.
        usage = [Sum(each.name, each.day, _usage(each.executions)) for each in sums.agents]
        return Overview(
            window=window,
            jobs=_total(each.executions for each in (*sums.jobs, *usage)),
            agents=_by_name(sums.agents),
            workflows=_by_name((*sums.workflows, *sums.workflow_usage)),
            days=_days(window, (*sums.jobs, *usage)),
        )


def _owner(principal: Principal) -> str | None:
    return None if principal.admin else principal.id


def _usage(executions: ExecutionCounts) -> ExecutionCounts:
    return ExecutionCounts(tokens=executions.tokens, known_cost=executions.known_cost)


def _total(parts: Iterable[ExecutionCounts]) -> ExecutionCounts:
    total = ExecutionCounts()
    for part in parts:
        total = total.plus(part)
    return total


def _by_name(sums: Iterable[Sum]) -> dict[str, ExecutionCounts]:
    """The sum of each name, sorted by name. A name without a success or failure is omitted."""
    counts: dict[str, ExecutionCounts] = {}
    for each in sums:
        counts[each.name] = counts.get(each.name, ExecutionCounts()).plus(each.executions)
    return {name: counts[name] for name in sorted(counts) if counts[name].total}


def _days(window: TimeSpan, sums: Iterable[Sum]) -> list[Day]:
    """Every UTC day of the window, also empty ones. Without a start, from the first day that has counts."""
    counts: dict[date, ExecutionCounts] = {}
    for each in sums:
        counts[each.day] = counts.get(each.day, ExecutionCounts()).plus(each.executions)
    if window.since is None and not counts:
        return []
    first = min(counts) if window.since is None else window.since.date()
    # A window that ends at midnight does not include the day that begins then.
    last = (window.until - timedelta(microseconds=1)).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [Day(day, counts.get(day, ExecutionCounts())) for day in days]
