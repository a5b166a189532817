"""The figures of the job index as Prometheus metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import TypeVar

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.domain.metrics import DURATIONS, WAITS, IndexFigures, IndexTotals, Standing
from orchestrator.domain.webhooks import DeliveryState

Labels = TypeVar("Labels", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IndexCollector(Collector):
    """Yields the figures of one read. Without figures it yields only that the index is down."""

    figures: IndexFigures | None

    def collect(self) -> Iterable[Metric]:
        """The metric families."""
        up = GaugeMetricFamily("orchestrator_index_up", "Whether the job index answered: what follows is read from it.")
        up.add_metric([], 0.0 if self.figures is None else 1.0)
        yield up
        if self.figures is not None:
            yield from _jobs(self.figures.ended)
            yield from _calls(self.figures.ended)
            yield from _open_jobs(self.figures.now, self.figures.at)
            yield from _webhooks(self.figures.now)


def index_metrics(figures: IndexFigures | None) -> bytes:
    """The figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(IndexCollector(figures))
    return generate_latest(registry)


def _jobs(ended: IndexTotals) -> Iterable[Metric]:
    labels = ("kind", "definition", "state")
    yield _counter("orchestrator_jobs", "Jobs that ended, by what they ran and how they ended.", labels, ended.jobs)
    yield _histogram(
        "orchestrator_job_duration_seconds",
        "Seconds from a job's first task to its end, whatever the end.",
        DURATIONS,
        ended.durations,
        ended.duration_ms,
    )
    yield _histogram(
        "orchestrator_job_queue_wait_seconds",
        "Seconds from the acceptance of a job that has ended to its first task.",
        WAITS,
        ended.waits,
        ended.wait_ms,
    )


def _calls(ended: IndexTotals) -> Iterable[Metric]:
    yield _counter("orchestrator_steps", "Attempts of agent calls that ended.", ("agent", "status"), ended.steps)
    yield _counter("orchestrator_tokens", "Tokens of attempts that ended.", ("agent", "kind"), ended.tokens)
    costs = {(agent,): micro_usd / 1_000_000 for agent, micro_usd in ended.micro_usd.items()}
    yield _counter("orchestrator_cost_usd", "Cost of attempts that ended, where the price is known.", ("agent",), costs)


def _open_jobs(now: Standing, at: datetime) -> Iterable[Metric]:
    states = GaugeMetricFamily("orchestrator_jobs_open", "Jobs that have not ended, by state.", labels=["state"])
    for state in sorted(OPEN_STATES):
        states.add_metric([state], now.open.get(state, 0))
    yield states
    yield _gauge(
        "orchestrator_jobs_stalled",
        "Open jobs to which nothing has happened for 15 minutes, but those that are paused or wait for an approval.",
        now.stalled,
    )
    age = max(0.0, (at - now.oldest).total_seconds()) if now.oldest else 0.0
    yield _gauge("orchestrator_oldest_open_job_seconds", "Age of the oldest open job; 0 without one.", age)


def _webhooks(now: Standing) -> Iterable[Metric]:
    ended = {key: count for key, count in now.deliveries.items() if key[1] != DeliveryState.PENDING}
    pending = sum(count for (_, state), count in now.deliveries.items() if state == DeliveryState.PENDING)
    yield _counter("orchestrator_webhook_deliveries", "Deliveries that ended.", ("event", "state"), ended)
    yield _gauge("orchestrator_webhook_deliveries_pending", "Deliveries under way or waiting for an attempt.", pending)
    attempts = {(verdict,): count for verdict, count in now.delivery_attempts.items()}
    yield _counter("orchestrator_webhook_attempts", "Attempts of deliveries, by verdict.", ("verdict",), attempts)


def _counter(name: str, description: str, labels: Sequence[str], counts: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, description, labels=labels)
    for key in sorted(counts):
        family.add_metric(key, counts[key])
    return family


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)


def _histogram(
    name: str,
    description: str,
    bounds: Sequence[float],
    counts: Mapping[tuple[str, float], int],
    milliseconds: Mapping[str, int],
) -> Metric:
    family = HistogramMetricFamily(name, description, labels=["kind"])
    for kind in sorted(milliseconds):
        below, buckets = 0, []
        for bound in bounds:
            below += counts.get((kind, bound), 0)
            buckets.append(("+Inf" if bound == inf else str(bound), below))
        family.add_metric([kind], buckets, milliseconds[kind] / 1000)
    return family
