"""The one aggregate over the job index that every surface shows in its own shape (C-05)."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Final

from orchestrator.domain.access import Principal
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.metrics import AgentMetrics, Day, ExecutionCounts, Overview, Period, TimeSpan
from orchestrator.storage.metrics import MetricsRepository, Sum

DAY: Final = timedelta(hours=24)


class MetricsReader:
    """Tells what ended in a stretch of time: the caller's own jobs, or everybody's for an admin (D-054, D-056)."""

    def __init__(self, metrics: MetricsRepository, catalogue: Catalogue, *, clock: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._catalogue = catalogue
        self._clock = clock

    async def overview(self, principal: Principal, length: timedelta | None = DAY) -> Overview:
        """Everything that ended in the last `length`, or ever for None. Raises `Unavailable`."""
        return await self._overview(principal, TimeSpan.last(length, self._clock()))

    async def trend(self, principal: Principal, length: timedelta) -> tuple[Overview, Overview]:
        """Everything that ended in the last `length`, and in the same length before that. Raises `Unavailable`."""
        now = self._clock()
        recent, before = TimeSpan(now - length, now), TimeSpan(now - 2 * length, now - length)
        return await self._overview(principal, recent), await self._overview(principal, before)

    async def agent(self, principal: Principal, agent_id: str, period: Period) -> AgentMetrics:
        """How one agent's attempts ended. Raises `NotFound` for an agent outside the catalogue, `Unavailable`."""
        self._catalogue.agent(agent_id)
        window = TimeSpan.last(period.length, self._clock())
        sums, percentiles = await self._metrics.agent(agent_id, window, owner=_owner(principal))
        return AgentMetrics(
            agent_id=agent_id,
            window=window,
            executions=_total(each.executions for each in sums),
            percentiles=percentiles,
            days=_days(window, sums),
        )

    async def _overview(self, principal: Principal, window: TimeSpan) -> Overview:
        sums = await self._metrics.overview(window, owner=_owner(principal))
        # Jobs are counted by their end, tokens by the end of the attempt that used them.
        used = [Sum(each.name, each.day, _usage(each.executions)) for each in sums.agents]
        return Overview(
            window=window,
            jobs=_total(each.executions for each in (*sums.jobs, *used)),
            agents=_by_name(sums.agents),
            workflows=_by_name((*sums.workflows, *sums.workflow_usage)),
            days=_days(window, (*sums.jobs, *used)),
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
    """The sums of each name, in order; a name of which nothing succeeded or failed is left out."""
    found: dict[str, ExecutionCounts] = {}
    for each in sums:
        found[each.name] = found.get(each.name, ExecutionCounts()).plus(each.executions)
    return {name: found[name] for name in sorted(found) if found[name].total}


def _days(window: TimeSpan, sums: Iterable[Sum]) -> list[Day]:
    """Every UTC day of the window, empty ones too; without a beginning, from the first day that has something."""
    found: dict[date, ExecutionCounts] = {}
    for each in sums:
        found[each.day] = found.get(each.day, ExecutionCounts()).plus(each.executions)
    if window.since is None and not found:
        return []
    first = min(found) if window.since is None else window.since.date()
    # A window that ends at midnight has nothing of the day that begins there.
    last = (window.until - timedelta(microseconds=1)).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [Day(day, found.get(day, ExecutionCounts())) for day in days]
