"""Sums over ended jobs and attempts, on both databases."""

import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, insert, make_url

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.metrics import DURATIONS, WAITS, ExecutionCounts, Gate, Percentiles, TimeSpan
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.database import Database
from orchestrator.storage.figures import FiguresRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.metrics import MetricsRepository, Sum
from orchestrator.storage.tables import attempts, deliveries, delivery_attempts
from tests.ledger import ledger
from tests.storage.ended import attempt_row, job_row, write
from tests.storage.rows import T0, at, closed

HOUR = TimeSpan(at(-3600), at(1))
EVER = TimeSpan(None, at(1))
TODAY = date(2026, 11, 20)
AGENT = "backend_developer"


@pytest.fixture
def metrics(database: Database) -> MetricsRepository:
    return MetricsRepository(database)


@pytest.fixture
def figures(database: Database) -> FiguresRepository:
    return FiguresRepository(database)


def by_name(sums: list[Sum]) -> dict[str, ExecutionCounts]:
    assert len({each.name for each in sums}) == len(sums)
    return {each.name: each.executions for each in sums}


@ledger("D-054", "D-055")
async def test_jobs_are_counted_when_they_end_and_cancelled_ones_are_not(
    database: Database, metrics: MetricsRepository
):
    agent = {"kind": JobKind.AGENT, "definition": AGENT}
    rows = [
        job_row("wf_job_1", seconds=4),
        job_row("wf_job_2", seconds=6),
        job_row("wf_job_3", JobState.FAILED),
        job_row("wf_job_4", JobState.TIMEOUT),
        job_row("wf_job_5", JobState.CANCELLED),
        job_row("wf_job_6", JobState.RUNNING),
        job_row("wf_job_7", definition="data_platform", seconds=1),
        job_row("job_8", seconds=3, **agent),
        job_row("job_9", closed_at=at(-3601), **agent),
        job_row("job_10", closed_at=at(1), **agent),
        job_row("job_11", closed_at=at(-3600), seconds=1, **agent),
    ]
    await write(database, job_rows=rows)

    sums = await metrics.overview(HOUR, owner=None)

    assert by_name(sums.workflows) == {
        "api_development": ExecutionCounts(successful=2, failed=2, seconds=pytest.approx(10, abs=0.002)),
        "data_platform": ExecutionCounts(successful=1, seconds=pytest.approx(1, abs=0.002)),
    }
    assert by_name(sums.jobs) == {
        **by_name(sums.workflows),
        AGENT: ExecutionCounts(successful=2, seconds=pytest.approx(4, abs=0.002)),
    }


@ledger("D-054", "D-056")
async def test_attempts_are_billed_whatever_became_of_them(database: Database, metrics: MetricsRepository):
    states = [
        AttemptStatus.COMPLETED,
        AttemptStatus.FAILED,
        AttemptStatus.TIMED_OUT,
        AttemptStatus.CANCELLED,
        AttemptStatus.UNKNOWN,
    ]
    rows = [attempt_row("wf_job_1", status, attempt=number) for number, status in enumerate(states, 1)]
    running = attempt_row("wf_job_1", AttemptStatus.RUNNING, attempt=6, completed_at=None)
    unpriced = attempt_row("wf_job_1", agent="api_designer", cost=None)
    unbilled = {"prompt_tokens": None, "completion_tokens": None, "cost": None}
    lost = attempt_row("wf_job_1", AttemptStatus.TIMED_OUT, agent="data_engineer", **unbilled)
    await write(database, attempt_rows=[*rows, running, unpriced, lost])

    found = by_name((await metrics.overview(HOUR, owner=None)).agents)

    one = pytest.approx(1, abs=0.002)
    assert found == {
        AGENT: ExecutionCounts(successful=1, failed=2, seconds=one, tokens=100, known_cost=pytest.approx(0.05)),
        "api_designer": ExecutionCounts(successful=1, seconds=one, tokens=20, known_cost=None),
        "data_engineer": ExecutionCounts(failed=1),
    }
    assert found["api_designer"].cost is None, "unknown, not 0"
    assert found["data_engineer"].cost == 0.0, "no tokens were used"


@ledger("D-054")
async def test_a_workflow_has_the_tokens_of_all_its_attempts(database: Database, metrics: MetricsRepository):
    await write(
        database,
        job_rows=[
            job_row("wf_job_1"),
            job_row("wf_job_2", JobState.FAILED),
            job_row("wf_job_3", JobState.CANCELLED),
            job_row("wf_job_4", closed_at=at(-7200)),
            job_row("job_5", kind=JobKind.AGENT, definition=AGENT),
        ],
        attempt_rows=[
            attempt_row("wf_job_1", AttemptStatus.FAILED),
            attempt_row("wf_job_1", attempt=2),
            attempt_row("wf_job_1", agent="api_designer", completed_at=at(-3700)),
            attempt_row("wf_job_2", AttemptStatus.FAILED, cost=None),
            *(attempt_row(f"wf_job_{n}") for n in (3, 4)),
            attempt_row("job_5"),
        ],
    )

    usage = by_name((await metrics.overview(HOUR, owner=None)).workflow_usage)

    assert usage == {"api_development": ExecutionCounts(tokens=80, known_cost=pytest.approx(0.03))}


@ledger("D-054", "D-056")
async def test_an_owner_sees_only_their_own(database: Database, metrics: MetricsRepository):
    await write(
        database,
        job_rows=[job_row("wf_job_1"), job_row("wf_job_2", owner="bob")],
        attempt_rows=[
            attempt_row("wf_job_1"),
            attempt_row("wf_job_2", owner="bob", seconds=9),
            attempt_row("wf_job_3", owner=None, seconds=99),
        ],
    )
    mine = await metrics.overview(HOUR, owner="alice")
    all_of_them = await metrics.overview(HOUR, owner=None)

    for part in ("jobs", "workflows", "agents"):
        assert [each.executions.total for each in getattr(mine, part)] == [1], part
    assert [each.executions.total for each in all_of_them.jobs] == [2]
    assert [each.executions.tokens for each in mine.workflow_usage] == [20]
    assert [each.executions.tokens for each in all_of_them.workflow_usage] == [40]
    sums, ranks = await metrics.agent(AGENT, HOUR, owner="alice")
    assert (sums[0].executions.total, ranks.p99) == (1, pytest.approx(1, abs=0.002))
    sums, ranks = await metrics.agent(AGENT, HOUR, owner=None)
    assert (sums[0].executions.total, ranks.p99) == (3, pytest.approx(99, abs=0.002))


@ledger("D-056")
async def test_days_are_utc_days(database: Database, metrics: MetricsRepository):
    midnight = T0.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=23, minutes=59)]
    await write(
        database,
        job_rows=[job_row(f"wf_job_{n}", closed_at=moment) for n, moment in enumerate(moments)],
        attempt_rows=[attempt_row(f"wf_job_{n}", completed_at=moment) for n, moment in enumerate(moments)],
    )
    window = TimeSpan(None, midnight + timedelta(days=1))

    days = {TODAY - timedelta(days=1): 1, TODAY: 2}
    sums, _ = await metrics.agent(AGENT, window, owner=None)
    assert {each.day: each.executions.total for each in sums} == days
    overview = await metrics.overview(window, owner=None)
    assert {each.day: each.executions.total for each in overview.jobs} == days
    assert {each.day: each.executions.tokens for each in overview.workflow_usage} == {
        day: 20 * count for day, count in days.items()
    }


@ledger("D-056", "D-057")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(milliseconds=st.lists(st.integers(0, 400_000), max_size=120))
async def test_percentiles_are_those_of_the_sorted_times(
    database: Database, metrics: MetricsRepository, milliseconds: list[int]
):
    done = [attempt_row("job_1", attempt=n, seconds=each / 1000) for n, each in enumerate(milliseconds, 1)]
    failed = attempt_row("job_2", AttemptStatus.FAILED, seconds=1000)
    others = attempt_row("job_3", agent="api_designer", seconds=1000)
    await database.transaction(lambda connection: connection.execute(delete(attempts)).close())
    await write(database, attempt_rows=[*done, failed, others])

    _, ranks = await metrics.agent(AGENT, EVER, owner=None)

    ordered = sorted(milliseconds)
    expected = [ordered[math.ceil(share * len(ordered) / 100) - 1] / 1000 if ordered else 0 for share in (50, 95, 99)]
    assert [ranks.p50, ranks.p95, ranks.p99] == pytest.approx(expected, abs=0.0015)
    assert ranks.p50 <= ranks.p95 <= ranks.p99


async def test_nothing_at_all_is_no_fault(metrics: MetricsRepository, figures: FiguresRepository):
    sums = await metrics.overview(HOUR, owner=None)
    assert [*sums.jobs, *sums.agents, *sums.workflows, *sums.workflow_usage] == []
    assert await metrics.agent(AGENT, EVER, owner="alice") == ([], Percentiles())
    tally = await figures.tally(EVER)
    assert not any((tally.jobs, tally.durations, tally.waits, tally.steps, tally.tokens, tally.micro_usd))
    standing = await figures.standing([], quiet_since=T0)
    assert (standing.open, standing.oldest, standing.stalled) == ({}, None, 0)


async def test_tally_sorts_jobs_into_buckets(database: Database, figures: FiguresRepository):
    agent = {"kind": JobKind.AGENT, "definition": AGENT}
    rows = [
        job_row("job_1", seconds=0.05, **agent),
        job_row("job_2", seconds=0.4, **agent),
        job_row("job_3", seconds=100_000, **agent),
        job_row("job_4", JobState.CANCELLED, started_at=None, **agent),
        job_row("wf_job_5", JobState.FAILED, seconds=20),
        job_row("wf_job_6", JobState.RUNNING),
        job_row("wf_job_7", closed_at=at(1)),
    ]
    await write(database, job_rows=rows)

    tally = await figures.tally(EVER)

    assert tally.jobs == {
        ("agent", AGENT, "COMPLETED"): 3,
        ("agent", AGENT, "CANCELLED"): 1,
        ("workflow", "api_development", "FAILED"): 1,
    }
    assert tally.durations == {
        ("agent", 0.1): 1,
        ("agent", 0.5): 1,
        ("agent", math.inf): 1,
        ("workflow", 30.0): 1,
    }
    assert tally.duration_ms == {"agent": pytest.approx(100_000_450, abs=5), "workflow": pytest.approx(20_000, abs=2)}
    assert tally.wait_ms == {"agent": pytest.approx(1500, abs=5), "workflow": pytest.approx(500, abs=2)}
    assert {kind for kind, _ in tally.waits} == {"agent", "workflow"}
    assert sum(tally.waits.values()) == 4, "one never began"
    assert {bound for _, bound in tally.waits} <= {0.5, 1.0}, "half a second, give or take"
    assert set(DURATIONS) >= {bound for _, bound in tally.durations}
    assert set(WAITS) >= {0.5, 1.0}


async def test_tally_waits_for_the_final_snapshot(database: Database, figures: FiguresRepository, jobs: JobRepository):
    await write(database, job_rows=[job_row("wf_job_1", JobState.COMPLETED, snapshot=None), job_row("wf_job_2")])
    assert (await figures.tally(EVER)).jobs.total() == 1

    assert await closed(jobs, "wf_job_1", JobState.FAILED, at=at(-7))

    tally = await figures.tally(EVER)
    assert {state: number for (*_, state), number in tally.jobs.items()} == {"COMPLETED": 1, "FAILED": 1}


async def test_clocks_that_disagree_make_no_negative_time(database: Database, figures: FiguresRepository):
    early = {"created_at": at(-10), "started_at": at(-12), "closed_at": at(-13)}
    await write(database, job_rows=[job_row("wf_job_1", **early)])
    tally = await figures.tally(EVER)
    assert (tally.duration_ms, tally.wait_ms) == ({"workflow": 0}, {"workflow": 0})
    assert (tally.durations, tally.waits) == ({("workflow", 0.1): 1}, {("workflow", 0.05): 1})


async def test_tally_counts_calls_that_ended(database: Database, figures: FiguresRepository):
    await write(
        database,
        attempt_rows=[
            attempt_row("job_1"),
            attempt_row("job_2"),
            attempt_row("job_3", AttemptStatus.FAILED, cost=None),
            attempt_row("job_4", AttemptStatus.RUNNING, completed_at=None),
            attempt_row("job_5", agent="api_designer", cost=None),
        ],
    )

    tally = await figures.tally(EVER)

    assert tally.steps == {(AGENT, "completed"): 2, (AGENT, "failed"): 1, ("api_designer", "completed"): 1}
    assert tally.tokens[AGENT, "prompt"] == 45
    assert tally.tokens[AGENT, "completion"] == 15
    assert tally.micro_usd == {AGENT: 20_000}, "an unknown price is none"


@pytest.mark.parametrize(
    ("split", "window"), [(0, TimeSpan(None, at(-60))), (1, TimeSpan(at(-60), at(1)))], ids=["before", "since"]
)
async def test_windows_of_a_tally_do_not_overlap(
    database: Database, figures: FiguresRepository, split: int, window: TimeSpan
):
    await write(
        database,
        job_rows=[job_row("wf_job_1", closed_at=at(-61)), job_row("wf_job_2", closed_at=at(-60)), job_row("wf_job_3")],
        attempt_rows=[attempt_row("wf_job_1", completed_at=at(-61)), attempt_row("wf_job_2", completed_at=at(-60))],
    )
    tally = await figures.tally(window)
    assert (tally.jobs.total(), tally.steps.total()) == ((1, 1), (2, 1))[split]


OLD = at(-3600)
GATE = Gate("cloud_migration", "cutover", (("plan", "cloud_architect"), ("plan", "security_auditor")))
CALLS = {
    "both done": [("cloud_architect", AttemptStatus.COMPLETED), ("security_auditor", AttemptStatus.FAILED)],
    "one running": [("cloud_architect", AttemptStatus.COMPLETED), ("security_auditor", AttemptStatus.RUNNING)],
    "one missing": [("cloud_architect", AttemptStatus.COMPLETED)],
}


def opened(job_id: str, state: JobState = JobState.RUNNING, **more: Any) -> dict[str, Any]:
    """A job that was accepted and begun an hour ago and is open."""
    return job_row(job_id, state, **{"created_at": OLD, "started_at": OLD, **more})


@pytest.mark.parametrize(
    ("job", "last", "stalled"),
    [
        (opened("wf_job_1"), [], 1),
        (opened("wf_job_1", JobState.PENDING, started_at=None), [], 1),
        (opened("wf_job_1", JobState.PENDING, started_at=None, created_at=at(-60)), [], 0),
        (opened("wf_job_1", started_at=at(-60)), [], 0),
        (opened("wf_job_1", JobState.PAUSED), [], 0),
        (job_row("wf_job_1", created_at=OLD, started_at=OLD), [], 0),
        (opened("wf_job_1"), [attempt_row("wf_job_1", completed_at=at(-1000))], 1),
        (opened("wf_job_1"), [attempt_row("wf_job_1", completed_at=at(-60), seconds=2000)], 0),
        (opened("wf_job_1"), [attempt_row("wf_job_1", AttemptStatus.RUNNING, completed_at=None, started_at=OLD)], 1),
        (opened("wf_job_1"), [attempt_row("wf_job_1", AttemptStatus.RUNNING, completed_at=None, started_at=T0)], 0),
        (opened("wf_job_1"), [attempt_row("wf_job_2", completed_at=at(-60))], 1),
    ],
    ids=[
        "nothing since the start",
        "never taken",
        "accepted lately",
        "begun lately",
        "paused",
        "ended",
        "call ended long ago",
        "call ended lately",
        "call runs for long",
        "call began lately",
        "call of another job",
    ],
)
async def test_stalled_is_open_and_without_progress(
    database: Database, figures: FiguresRepository, job: dict[str, Any], last: list[dict[str, Any]], stalled: int
):
    await write(database, job_rows=[job], attempt_rows=last)
    assert (await figures.standing([], quiet_since=at(-900))).stalled == stalled


@pytest.mark.parametrize(
    ("definition", "calls", "begun", "stalled"),
    [
        ("cloud_migration", "both done", False, 0),
        ("cloud_migration", "both done", True, 1),
        ("cloud_migration", "one running", False, 1),
        ("cloud_migration", "one missing", False, 1),
        ("api_development", "both done", False, 1),
    ],
)
async def test_a_job_that_waits_for_a_person_is_not_stalled(
    database: Database, figures: FiguresRepository, *, definition: str, calls: str, begun: bool, stalled: int
):
    rows = [
        attempt_row("wf_job_1", status, step="plan", agent=agent, completed_at=OLD) for agent, status in CALLS[calls]
    ]
    if begun:
        rows.append(attempt_row("wf_job_1", AttemptStatus.UNKNOWN, step="cutover", completed_at=OLD))
    await write(database, job_rows=[opened("wf_job_1", definition=definition)], attempt_rows=rows)

    assert (await figures.standing([GATE], quiet_since=at(-900))).stalled == stalled


async def test_open_jobs_by_state_and_the_oldest(database: Database, figures: FiguresRepository):
    rows = [
        opened("wf_job_1", JobState.PAUSED, created_at=at(-50)),
        opened("wf_job_2", created_at=at(-70)),
        opened("wf_job_3", created_at=at(-60)),
        job_row("wf_job_4", created_at=at(-9000)),
    ]
    await write(database, job_rows=rows)

    standing = await figures.standing([], quiet_since=at(-900))

    assert standing.open == {"PAUSED": 1, "RUNNING": 2}
    assert standing.oldest == at(-70)


async def test_deliveries_by_event_and_state(database: Database, figures: FiguresRepository):
    states = [DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DELIVERED, DeliveryState.FAILED]
    common = {"owner": "alice", "url": "https://a.example", "started": True, "attempts": 1, "created_at": T0}
    rows = [
        {"id": f"d{n}", "event": "job.completed", "message_id": f"m{n}", "state": state, **common}
        for n, state in enumerate(states)
    ]
    tries = [
        {"delivery_id": "d1", "number": n, "at": T0, "verdict": verdict, "duration": 0.1}
        for n, verdict in enumerate(["retry", "retry", "delivered"])
    ]

    def fill(connection):
        connection.execute(insert(deliveries), rows)
        connection.execute(insert(delivery_attempts), tries)

    await database.transaction(fill)
    standing = await figures.standing([], quiet_since=T0)

    assert standing.deliveries == {
        ("job.completed", "pending"): 1,
        ("job.completed", "delivered"): 2,
        ("job.completed", "failed"): 1,
    }
    assert standing.delivery_attempts == {"retry": 2, "delivered": 1}


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every SELECT that is run meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(connection, cursor, statement, parameters, *_):
        if statement.startswith(("SELECT", "WITH")):
            seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("owner", [None, "alice"])
async def test_sqlite_reads_metrics_by_time_and_never_a_whole_table(
    url: str, metrics: MetricsRepository, figures: FiguresRepository, owner: str | None
):
    with statements() as seen:
        await metrics.overview(HOUR, owner=owner)
        await metrics.agent(AGENT, HOUR, owner=owner)
        await figures.tally(HOUR)
        await figures.standing([GATE], quiet_since=T0)
    assert len(seen) == 11
    file = sqlite3.connect(make_url(url).database)
    for statement, parameters in seen:
        for *_, line in file.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
            walk = re.match(r"(SCAN|SEARCH) (jobs|attempts|deliveries|delivery_attempts)\b", line)
            if walk is None:
                continue
            assert walk[1] == "SEARCH" or re.search("COVERING INDEX|ix_jobs_unfinished", line), (statement, line)
            if walk[2] == "jobs":
                assert re.search(r"ix_jobs_(closed|owner_closed|state_created|unfinished)\b", line), (statement, line)
    file.close()
