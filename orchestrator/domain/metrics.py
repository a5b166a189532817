"""Counts over jobs and agent calls: one aggregate for every surface (C-05)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from math import inf
from typing import Final

# Upper bounds of the buckets of jobs' durations and of their waits for a worker, in seconds.
DURATIONS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, inf)
WAITS: Final = (0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, inf)


class Period(StrEnum):
    """The period of an agent's figures (D-056)."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    ALL = "all"

    @property
    def length(self) -> timedelta | None:
        """Its length, or None for all time."""
        lengths = {
            Period.HOUR: timedelta(hours=1),
            Period.DAY: timedelta(hours=24),
            Period.WEEK: timedelta(days=7),
            Period.MONTH: timedelta(days=30),
        }
        return lengths.get(self)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A period that includes `since` but not `until`. Without `since` it has no beginning."""

    since: datetime | None
    until: datetime

    @classmethod
    def last(cls, length: timedelta | None, now: datetime) -> "TimeSpan":
        """The period of that length that ends now; all time for None."""
        return cls(None if length is None else now - length, now)


@dataclass(frozen=True, slots=True)
class ExecutionCounts:
    """Executions that ended: of jobs, or of agents' attempts.

    A timed-out execution failed; a cancelled one is in neither number, while its tokens count. `seconds` is the time
    of the successful ones together; `known_cost` sums the known prices in USD, None where none is known.
    """

    successful: int = 0
    failed: int = 0
    seconds: float = 0.0
    tokens: int = 0
    known_cost: float | None = None

    @property
    def total(self) -> int:
        """Successful and failed ones (D-055, D-057)."""
        return self.successful + self.failed

    @property
    def success_rate(self) -> float:
        """Percent with one decimal; 0.0 when nothing ended."""
        return round(100 * self.successful / self.total, 1) if self.total else 0.0

    @property
    def mean_seconds(self) -> float:
        """Mean time of a successful one; 0.0 without any."""
        return self.seconds / self.successful if self.successful else 0.0

    @property
    def mean_tokens(self) -> int:
        """Tokens for each that ended, a whole number; 0 when nothing ended."""
        return round(self.tokens / self.total) if self.total else 0

    @property
    def cost(self) -> float | None:
        """USD; None when tokens were used and no price is known."""
        if self.known_cost is None:
            return None if self.tokens else 0.0
        return self.known_cost

    @property
    def mean_cost(self) -> float | None:
        """USD for each that ended; 0.0 when nothing ended, None like `cost`."""
        if self.cost is None:
            return None
        return self.cost / self.total if self.total else 0.0

    def plus(self, other: "ExecutionCounts") -> "ExecutionCounts":
        """The sum of both."""
        costs = [cost for cost in (self.known_cost, other.known_cost) if cost is not None]
        return ExecutionCounts(
            successful=self.successful + other.successful,
            failed=self.failed + other.failed,
            seconds=self.seconds + other.seconds,
            tokens=self.tokens + other.tokens,
            known_cost=sum(costs) if costs else None,
        )


@dataclass(frozen=True, slots=True)
class Day:
    """Executions that ended on one UTC day. The first and last day of a window may be partial."""

    date: date
    executions: ExecutionCounts


@dataclass(frozen=True, slots=True)
class Overview:
    """Every job that ended in a window; tokens and money are those of the attempts that ended in it (D-054).

    `agents` counts attempts of agent calls, `workflows` counts jobs with the tokens of all their attempts; both count
    only what ended in the window. `days` has every UTC day of the window.
    """

    window: TimeSpan
    jobs: ExecutionCounts
    agents: Mapping[str, ExecutionCounts]
    workflows: Mapping[str, ExecutionCounts]
    days: Sequence[Day]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Nearest-rank percentiles in seconds: each is the time of an actual call. 0.0 without calls."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentMetrics:
    """How one agent's attempts ended in a window, in total and by UTC day (D-056)."""

    agent_id: str
    window: TimeSpan
    executions: ExecutionCounts
    percentiles: Percentiles
    days: Sequence[Day]


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """The health of an agent (D-031): seconds per completed call, completed and failed attempts, and failed ones.

    `last_execution` is the start of the last attempt.
    """

    last_execution: datetime | None
    avg_response_time: float | None
    executions: int
    failures: int


@dataclass(frozen=True, slots=True)
class Gate:
    """An approval step of a workflow: the step, and the calls (step, agent) that come before it."""

    definition: str
    step: str
    calls: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class IndexTotals:
    """Totals that only grow: sums over ended jobs and attempts, by their labels.

    `durations` and `waits` count jobs by kind and upper bound of the bucket; buckets are not cumulative. Times are in
    whole milliseconds, known prices in whole millionths of a USD, so that the order of additions does not matter.
    """

    jobs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: Counter[tuple[str, float]] = field(default_factory=Counter)
    duration_ms: Counter[str] = field(default_factory=Counter)
    waits: Counter[tuple[str, float]] = field(default_factory=Counter)
    wait_ms: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    micro_usd: Counter[str] = field(default_factory=Counter)

    def plus(self, other: "IndexTotals") -> "IndexTotals":
        """The sum of both."""
        total = IndexTotals()
        for each in fields(IndexTotals):
            for part in (self, other):
                getattr(total, each.name).update(getattr(part, each.name))
        return total


@dataclass(frozen=True, slots=True)
class Standing:
    """Current counts: open jobs by state, webhook deliveries by event and state, their attempts by verdict.

    `stalled` open jobs made no progress for a while; `oldest` is the time at which the oldest open job was accepted.
    """

    open: Mapping[str, int]
    oldest: datetime | None
    stalled: int
    deliveries: Mapping[tuple[str, str], int]
    delivery_attempts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class IndexFigures:
    """The figures of the job index for operators, and the time at which they were read."""

    at: datetime
    ended: IndexTotals
    now: Standing
