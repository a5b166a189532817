"""Pure mapping of an owner's figures to the dashboard (O-042, C-05)."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from api.dialects.agentorchestra.dashboard_models import Change, Charts, DashboardMetrics, Overview, Trend
from api.dialects.agentorchestra.mapping import execution
from api.dialects.agentorchestra.models import Timeframe
from orchestrator.domain.jobs import Job, JobState
from orchestrator.domain.user_agents import Dashboard, ExecutionTally

LENGTHS: Final[dict[Timeframe, timedelta]] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
RECENT: Final = 10


def metrics(told: Dashboard, recent: Sequence[Job]) -> DashboardMetrics:
    """The dashboard of a period, against the one before it."""
    estate, executions = told.estate, _count(told.tallies)
    frameworks = len(estate.agents_by_framework)
    overview = Overview(
        active_agents=trend(estate.active_agents, estate.active_agents_before),
        frameworks=Change(value=frameworks, change=frameworks - estate.frameworks_before),
        executions=trend(executions, told.executions_before),
        saved_configs=Change(value=estate.configurations, change=estate.configurations - estate.configurations_before),
    )
    charts = Charts(
        execution_trends=_days(told),
        framework_distribution=_frameworks(told, executions),
        performance=_performance(told.tallies),
    )
    return DashboardMetrics(overview=overview, charts=charts, recent_activity=[execution(job) for job in recent])


def trend(now: int, before: int) -> Trend:
    """A number and its change in percent; from nothing to something it is 100."""
    change = round(100 * (now - before) / before, 1) if before else 100.0 * bool(now)
    return Trend(value=now, change=change, trend="down" if change < 0 else "up")


def _days(told: Dashboard) -> list[dict[str, Any]]:
    first, last = told.since.date(), told.until.date()
    return [_day(first + timedelta(days=n), told.tallies) for n in range((last - first).days + 1)]


def _day(day: date, tallies: Sequence[ExecutionTally]) -> dict[str, Any]:
    here = [tally for tally in tallies if tally.day == day]
    return {"date": day.isoformat(), "executions": _count(here), **_sums(here)}


def _frameworks(told: Dashboard, executions: int) -> list[dict[str, Any]]:
    agents = told.estate.agents_by_framework
    names = sorted({*agents, *(tally.framework for tally in told.tallies)})
    counts = {name: _count([tally for tally in told.tallies if tally.framework == name]) for name in names}
    return [
        {
            "framework": str(name),
            "agents": agents.get(name, 0),
            "executions": counts[name],
            "percentage": round(100 * counts[name] / executions, 1) if executions else 0.0,
        }
        for name in names
    ]


def _performance(tallies: Sequence[ExecutionTally]) -> dict[str, Any]:
    sums = _sums(tallies)
    successful, ended = sums["successful"], sums["successful"] + sums["failed"]
    seconds = sum(tally.seconds for tally in tallies)
    return {
        "totalExecutions": _count(tallies),
        "successRate": round(100 * successful / ended, 1) if ended else 0.0,
        "avgExecutionTime": round(1000 * seconds / successful, 1) if successful else 0.0,
        **sums,
    }


def _sums(tallies: Sequence[ExecutionTally]) -> dict[str, Any]:
    """Counts, tokens and USD; without the cost when tokens were used whose price nobody knows."""
    tokens, costs = sum(tally.tokens for tally in tallies), [tally.cost for tally in tallies if tally.cost is not None]
    return {
        "successful": _count([tally for tally in tallies if tally.state.succeeded]),
        "failed": _count([tally for tally in tallies if tally.state.failed]),
        "cancelled": _count([tally for tally in tallies if tally.state is JobState.CANCELLED]),
        "tokensUsed": tokens,
        **({} if tokens and not costs else {"cost": round(sum(costs), 6)}),
    }


def _count(tallies: Sequence[ExecutionTally]) -> int:
    return sum(tally.total for tally in tallies)
