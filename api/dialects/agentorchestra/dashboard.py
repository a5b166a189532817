"""Pure mapping of an owner's metrics to the dashboard (O-042, C-05)."""

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


def metrics(figures: Dashboard, recent: Sequence[Job]) -> DashboardMetrics:
    """Return the dashboard of a period, compared with the period before it."""
    estate, executions = figures.estate, _count(figures.tallies)
    frameworks = len(estate.agents_by_framework)
    overview = Overview(
        active_agents=trend(estate.active_agents, estate.active_agents_before),
        frameworks=Change(value=frameworks, change=frameworks - estate.frameworks_before),
        executions=trend(executions, figures.executions_before),
        saved_configs=Change(value=estate.configurations, change=estate.configurations - estate.configurations_before),
    )
    charts = Charts(
        execution_trends=_days(figures),
        framework_distribution=_frameworks(figures, executions),
        performance=_performance(figures.tallies),
    )
    return DashboardMetrics(overview=overview, charts=charts, recent_activity=[execution(job) for job in recent])


def trend(now: int, before: int) -> Trend:
    """Return a number and its change in percent. A change from 0 to more is 100."""
    change = round(100 * (now - before) / before, 1) if before else 100.0 * bool(now)
    return Trend(value=now, change=change, trend="down" if change < 0 else "up")


def _days(figures: Dashboard) -> list[dict[str, Any]]:
    first, last = figures.since.date(), figures.until.date()
    return [_day(first + timedelta(days=n), figures.tallies) for n in range((last - first).days + 1)]


def _day(day: date, tallies: Sequence[ExecutionTally]) -> dict[str, Any]:
    of_day = [tally for tally in tallies if tally.day == day]
    return {"date": day.isoformat(), "executions": _count(of_day), **_sums(of_day)}


def _frameworks(figures: Dashboard, executions: int) -> list[dict[str, Any]]:
    agents = figures.estate.agents_by_framework
    names = sorted({*agents, *(tally.framework for tally in figures.tallies)})
    counts = {name: _count([tally for tally in figures.tallies if tally.framework == name]) for name in names}
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
    """Return counts, tokens and USD; without `cost` if tokens were used and no price is known."""
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
