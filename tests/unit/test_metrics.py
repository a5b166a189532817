"""What is made of the sums: rates, days, periods, labels, and the text that Prometheus reads."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.v1.metrics import agent_metrics_body, metrics_body
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.metrics import (
    DURATIONS,
    AgentMetrics,
    ExecutionCounts,
    Gate,
    IndexFigures,
    IndexTotals,
    Overview,
    Percentiles,
    Period,
    Standing,
    TimeSpan,
)
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.services.reports.figures import OTHER, FiguresReader, gates
from orchestrator.services.reports.metrics import MetricsReader
from orchestrator.services.reports.prometheus import index_metrics
from orchestrator.storage.metrics import Sum, Sums
from tests.catalogue import TEST_PLUGIN
from tests.ledger import ledger

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
TODAY = NOW.date()
CATALOGUE = build_catalogue([BUILT_IN, TEST_PLUGIN])
ALICE = Principal("alice", frozenset({Scope.METRICS_READ}))
ADMIN = Principal("admin", frozenset({Scope.ADMIN}))
NOTHING = Sums(jobs=[], workflows=[], workflow_usage=[], agents=[])
STANDING = Standing(open={}, oldest=None, stalled=0, deliveries={}, delivery_attempts={})


@ledger("D-055")
def test_success_rate_has_one_decimal() -> None:
    assert ExecutionCounts(successful=1198, failed=47).success_rate == 96.2
    assert ExecutionCounts(successful=1198, failed=47).total == 1245


@ledger("D-057")
def test_success_rate_of_the_documented_agent() -> None:
    assert ExecutionCounts(successful=842, failed=14).success_rate == 98.4


def test_rates_and_means_of_nothing_are_zero() -> None:
    none = ExecutionCounts()
    assert (none.success_rate, none.mean_seconds, none.mean_tokens, none.cost, none.mean_cost) == (0, 0, 0, 0, 0)


def test_times_are_of_successful_executions_and_tokens_of_all() -> None:
    some = ExecutionCounts(successful=2, failed=1, seconds=5, tokens=100, known_cost=0.3)
    assert (some.mean_seconds, some.mean_tokens) == (2.5, 33)
    assert some.mean_cost == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("left", "right", "cost"),
    [
        (ExecutionCounts(tokens=5), ExecutionCounts(tokens=7), None),
        (ExecutionCounts(tokens=5), ExecutionCounts(tokens=7, known_cost=0.5), 0.5),
        (ExecutionCounts(known_cost=0.25, tokens=1), ExecutionCounts(known_cost=0.5, tokens=1), 0.75),
        (ExecutionCounts(), ExecutionCounts(tokens=7), None),
        (ExecutionCounts(), ExecutionCounts(), 0.0),
    ],
)
def test_unknown_cost_is_not_zero(left: ExecutionCounts, right: ExecutionCounts, cost: float | None) -> None:
    assert left.plus(right).cost == right.plus(left).cost == cost
    assert left.plus(right).mean_cost == (0.0 if cost is not None else None), "nothing ended"


class Stored:
    """Stands in for the repository of metrics: the same sums for every window that is asked for."""

    def __init__(self, sums: Sums = NOTHING, of_agent: Sequence[Sum] = ()) -> None:
        self._sums = sums
        self._of_agent = of_agent
        self.asked: list[tuple[TimeSpan, str | None]] = []

    async def overview(self, window: TimeSpan, *, owner: str | None) -> Sums:
        self.asked.append((window, owner))
        return self._sums

    async def agent(self, agent_id: str, window: TimeSpan, *, owner: str | None) -> tuple[Sequence[Sum], Percentiles]:
        self.asked.append((window, owner))
        return self._of_agent, Percentiles()


def reader(stored: Stored, now: datetime = NOW) -> MetricsReader:
    return MetricsReader(stored, CATALOGUE, clock=lambda: now)  # type: ignore[arg-type]


def ran(day: date = TODAY, name: str = "t_echo", **more: Any) -> Sum:
    return Sum(name, day, ExecutionCounts(**more))


@ledger("D-054")
async def test_overview_puts_tokens_of_calls_beside_the_jobs() -> None:
    yesterday = TODAY - timedelta(days=1)
    sums = Sums(
        jobs=[ran(yesterday, "t_three", successful=2, seconds=4), ran(name="t_three", failed=1), ran(successful=1)],
        workflows=[ran(yesterday, "t_three", successful=2, seconds=4), ran(name="t_three", failed=1)],
        workflow_usage=[ran(name="t_three", tokens=90, known_cost=0.2), ran(name="t_cancelled", tokens=1)],
        agents=[
            ran(yesterday, successful=3, seconds=6, tokens=60),
            ran(failed=1, tokens=40, known_cost=0.1),
            ran(name="t_slow", tokens=7),
        ],
    )
    overview = await reader(Stored(sums)).overview(ALICE)

    assert overview.jobs == ExecutionCounts(successful=3, failed=1, seconds=4, tokens=107, known_cost=0.1)
    assert overview.workflows == {
        "t_three": ExecutionCounts(successful=2, failed=1, seconds=4, tokens=90, known_cost=0.2)
    }
    assert overview.agents == {"t_echo": ExecutionCounts(successful=3, failed=1, seconds=6, tokens=100, known_cost=0.1)}
    assert [(day.date, day.executions.total, day.executions.tokens) for day in overview.days] == [
        (yesterday, 2, 60),
        (TODAY, 2, 47),
    ]


async def test_trend_compares_with_the_same_length_before() -> None:
    stored = Stored()
    recent, before = await reader(stored).trend(ADMIN, timedelta(days=7))
    assert recent.window == TimeSpan(NOW - timedelta(days=7), NOW)
    assert before.window == TimeSpan(NOW - timedelta(days=14), NOW - timedelta(days=7))
    assert stored.asked == [(recent.window, None), (before.window, None)]


@pytest.mark.parametrize(("principal", "owner"), [(ALICE, "alice"), (ADMIN, None)])
async def test_only_an_admin_sees_everybody(principal: Principal, owner: str | None) -> None:
    stored = Stored()
    await reader(stored).overview(principal)
    await reader(stored).agent(principal, "t_echo", Period.DAY)
    assert [asked for _, asked in stored.asked] == [owner, owner]


@ledger("D-056")
@pytest.mark.parametrize(
    ("period", "since"),
    [
        (Period.HOUR, NOW - timedelta(hours=1)),
        (Period.DAY, NOW - timedelta(days=1)),
        (Period.WEEK, NOW - timedelta(days=7)),
        (Period.MONTH, NOW - timedelta(days=30)),
        (Period.ALL, None),
    ],
)
async def test_period_goes_back_from_now(period: Period, since: datetime | None) -> None:
    stored = Stored()
    await reader(stored).agent(ALICE, "t_echo", period)
    assert stored.asked == [(TimeSpan(since, NOW), "alice")]


@ledger("D-056")
async def test_timeline_has_every_day_of_the_period() -> None:
    busy = [ran(TODAY - timedelta(days=2), successful=1, tokens=3), ran(TODAY, failed=1)]
    week = await reader(Stored(of_agent=busy)).agent(ALICE, "t_echo", Period.WEEK)
    assert [day.date for day in week.days] == [TODAY - timedelta(days=n) for n in range(7, -1, -1)]
    assert [day.executions.total for day in week.days] == [0, 0, 0, 0, 0, 1, 0, 1]
    assert week.executions == ExecutionCounts(successful=1, failed=1, tokens=3)

    ever = await reader(Stored(of_agent=busy)).agent(ALICE, "t_echo", Period.ALL)
    assert [day.executions.total for day in ever.days] == [1, 0, 1], "from the first day on"
    assert (await reader(Stored()).agent(ALICE, "t_echo", Period.ALL)).days == []


async def test_timeline_of_a_period_that_ends_at_midnight() -> None:
    midnight = NOW.replace(hour=0)
    day = await reader(Stored(), now=midnight).agent(ALICE, "t_echo", Period.DAY)
    assert [each.date for each in day.days] == [TODAY - timedelta(days=1)]


async def test_unknown_agent_is_not_found() -> None:
    with pytest.raises(NotFound):
        await reader(Stored()).agent(ALICE, "nobody", Period.DAY)


@ledger("D-054")
async def test_overview_on_the_wire() -> None:
    sums = Sums(
        jobs=[ran(name="t_three", successful=2, failed=1, seconds=3.00049)],
        workflows=[ran(name="t_three", successful=2, failed=1, seconds=3.00049)],
        workflow_usage=[ran(name="t_three", tokens=100)],
        agents=[ran(successful=3, seconds=1, tokens=100, known_cost=0.12345678)],
    )
    overview: Overview = await reader(Stored(sums)).overview(ADMIN)
    assert metrics_body(overview).model_dump(mode="json") == {
        "period": "last_24h",
        "summary": {
            "total_jobs": 3,
            "completed_jobs": 2,
            "failed_jobs": 1,
            "success_rate": 66.7,
            "total_tokens": 100,
            "total_cost": 0.123457,
            "avg_execution_time": 1.5,
        },
        "by_agent": {"t_echo": {"executions": 3, "avg_tokens": 33, "avg_time": 0.333, "success_rate": 100.0}},
        "by_workflow": {"t_three": {"executions": 3, "avg_tokens": 33, "avg_time": 1.5, "success_rate": 66.7}},
    }


@ledger("D-056", "D-057")
async def test_agent_on_the_wire() -> None:
    sums = [ran(successful=3, failed=1, seconds=6, tokens=41)]
    agent: AgentMetrics = await reader(Stored(of_agent=sums)).agent(ALICE, "t_echo", Period.HOUR)
    body = agent_metrics_body(agent, Period.HOUR).model_dump(mode="json")
    assert body == {
        "agent_id": "t_echo",
        "period": "1h",
        "metrics": {
            "total_executions": 4,
            "successful": 3,
            "failed": 1,
            "success_rate": 75.0,
            "total_tokens": 41,
            "avg_tokens_per_execution": 10,
            "total_cost": None,
            "avg_cost_per_execution": None,
            "avg_execution_time": 2.0,
            "p50_execution_time": 0.0,
            "p95_execution_time": 0.0,
            "p99_execution_time": 0.0,
        },
        "timeline": [{"date": "2026-11-20", "executions": 4, "tokens": 41, "cost": None}],
    }


class Index:
    """Stands in for the repository of figures: one ended job of every window that has a beginning, two of all time."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[TimeSpan] = []

    async def tally(self, window: TimeSpan) -> IndexTotals:
        if self.down:
            raise Unavailable("gone")
        self.asked.append(window)
        tally = IndexTotals()
        number = 2 if window.since is None else 1
        for definition in ("t_three", "chat_coding_team_lite", "t_retired", "t_forgotten"):
            tally.jobs["workflow", definition, "COMPLETED"] += number
        tally.durations["workflow", 1.0] += number
        tally.duration_ms["workflow"] += 500 * number
        for agent in ("t_echo", "t_retired"):
            tally.steps[agent, "completed"] += number
            tally.tokens[agent, "prompt"] += 10 * number
            tally.micro_usd[agent] += 50 * number
        return tally

    async def standing(self, waits: Sequence[Gate], *, quiet_since: datetime) -> Standing:
        assert quiet_since == self.asked[-1].until - timedelta(minutes=15)
        return STANDING


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def watched() -> tuple[FiguresReader, Index, Clock]:
    index, clock = Index(), Clock()
    return FiguresReader(index, CATALOGUE, clock=clock), index, clock  # type: ignore[arg-type]


async def test_figures_are_kept_for_ten_seconds() -> None:
    figures, index, clock = watched()
    first = await figures.read()
    clock.now += timedelta(seconds=9)
    assert await figures.read() is first
    assert len(index.asked) == 2
    clock.now += timedelta(seconds=1)
    assert await figures.read() is not first


async def test_what_ended_long_ago_is_counted_once_an_hour() -> None:
    figures, index, clock = watched()
    await figures.read()
    settled = NOW - timedelta(minutes=5)
    assert index.asked == [TimeSpan(None, settled), TimeSpan(settled, NOW)]
    clock.now += timedelta(minutes=59)
    await figures.read()
    assert index.asked[2:] == [TimeSpan(settled, clock.now)]
    clock.now += timedelta(minutes=1)
    await figures.read()
    assert index.asked[3:] == [
        TimeSpan(None, NOW + timedelta(minutes=55)),
        TimeSpan(NOW + timedelta(minutes=55), clock.now),
    ]


async def test_figures_hold_only_names_of_the_catalogue() -> None:
    figures, _, _ = watched()
    read = await figures.read()
    assert read is not None
    assert read.ended.jobs == {
        ("workflow", "t_three", "COMPLETED"): 3,
        ("workflow", "chat_coding_team_lite", "COMPLETED"): 3,
        ("workflow", OTHER, "COMPLETED"): 6,
    }
    assert read.ended.steps == {("t_echo", "completed"): 3, (OTHER, "completed"): 3}
    assert read.ended.tokens == {("t_echo", "prompt"): 30, (OTHER, "prompt"): 30}
    assert read.ended.micro_usd == {"t_echo": 150, OTHER: 150}
    assert read.ended.durations == {("workflow", 1.0): 3}
    assert read.ended.duration_ms == {"workflow": 1500}


async def test_index_that_is_down_is_not_asked_more_often() -> None:
    figures, index, clock = watched()
    index.down = True
    assert await figures.read() is None
    index.down = False
    assert await figures.read() is None
    clock.now += timedelta(seconds=10)
    assert await figures.read() is not None


def test_gates_are_the_approval_steps_with_what_comes_before() -> None:
    found = {gate.definition: gate for gate in gates(CATALOGUE) if gate.definition.startswith("t_approval")}
    assert found == {
        "t_approval": Gate("t_approval", "b", (("a", "t_echo"),)),
        "t_approval_soon": Gate("t_approval_soon", "a", ()),
    }
    assert "cloud_migration" in {gate.definition for gate in gates(CATALOGUE)}


def samples(figures: IndexFigures | None) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    families = text_string_to_metric_families(index_metrics(figures).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_an_index_that_is_down_says_so_and_nothing_else() -> None:
    assert samples(None) == {("orchestrator_index_up",): 0}


def test_histograms_cumulate() -> None:
    tally = IndexTotals()
    tally.durations["agent", 0.5] += 2
    tally.durations["agent", 60.0] += 1
    tally.durations["agent", math.inf] += 1
    tally.duration_ms["agent"] += 20_000_500
    tally.micro_usd["t_echo"] += 1_250
    found = samples(IndexFigures(NOW, tally, STANDING))
    name = "orchestrator_job_duration_seconds"
    counts = {
        bound: found[f"{name}_bucket", "agent", "+Inf" if bound == math.inf else str(bound)] for bound in DURATIONS
    }
    assert (counts[0.1], counts[0.5], counts[30.0], counts[60.0], counts[14400.0], counts[math.inf]) == (
        0,
        2,
        2,
        3,
        3,
        4,
    )
    assert found[f"{name}_count", "agent"] == 4
    assert found[f"{name}_sum", "agent"] == 20_000.5
    assert found["orchestrator_cost_usd_total", "t_echo"] == 0.00125


def test_standing_as_gauges_and_deliveries_as_counters() -> None:
    standing = Standing(
        open={"RUNNING": 3},
        oldest=NOW - timedelta(seconds=90),
        stalled=2,
        deliveries={("job.completed", "pending"): 4, ("job.failed", "pending"): 1, ("job.failed", "delivered"): 5},
        delivery_attempts={"retry": 7},
    )
    found = samples(IndexFigures(NOW, IndexTotals(), standing))
    assert found == {
        ("orchestrator_index_up",): 1,
        ("orchestrator_jobs_open", "PAUSED"): 0,
        ("orchestrator_jobs_open", "PENDING"): 0,
        ("orchestrator_jobs_open", "RUNNING"): 3,
        ("orchestrator_jobs_stalled",): 2,
        ("orchestrator_oldest_open_job_seconds",): 90,
        ("orchestrator_webhook_deliveries_total", "job.failed", "delivered"): 5,
        ("orchestrator_webhook_deliveries_pending",): 5,
        ("orchestrator_webhook_attempts_total", "retry"): 7,
    }


def test_every_metric_is_documented_and_every_rule_names_one() -> None:
    page = (Path(__file__).parents[2] / "docs/operating.md").read_text()
    section = page.partition("### Metrics of the job index")[2].partition("\n## ")[0]
    tally = IndexTotals()
    tally.duration_ms["agent"] += 1
    tally.wait_ms["agent"] += 1
    text = index_metrics(IndexFigures(NOW, tally, STANDING)).decode()
    exported = set(re.findall(r"^# HELP (\w+)", text, re.MULTILINE))
    assert set(re.findall(r"^\| `(orchestrator_\w+)`", section, re.MULTILINE)) == exported
    rules = section.partition("```yaml")[2].partition("```")[0]
    in_rules = {name.removesuffix("_bucket") for name in re.findall(r"orchestrator_\w+", rules)}
    assert in_rules == exported
