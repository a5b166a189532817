"""Metrics over HTTP: the numbers of jobs that really ran, to whom they are shown, and what is refused."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from structlog.testing import capture_logs

from orchestrator.composition.backend import now
from orchestrator.domain.access import Scope
from orchestrator.services.reports.metrics import MetricsReader
from orchestrator.storage.database import Database
from orchestrator.storage.metrics import MetricsRepository
from orchestrator.testing import Engine
from tests.api.conftest import over
from tests.catalogue import WASTED
from tests.ledger import ledger

Issue = Callable[..., Awaitable[dict[str, str]]]
AGENT = "/v1/metrics/agents/t_flaky"
NUMBERS = (int, float)
DRAFT = {"task_type": "prd", "context": "A library that lends tools"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worked(app: FastAPI, key: Issue) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """A caller who has run jobs of every end, and those jobs as they were reported."""
    mine = await key()
    async with over(app, **mine) as client:

        async def run(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = await client.post(path, json={"input": body})
            assert answer.status_code == 200, answer.text
            return dict((await client.get(f"/v1/jobs/{answer.json()['job_id']}")).json())

        jobs = [
            await run("/v1/workflows/t_three/run", {}),
            await run("/v1/workflows/t_three/run", {}),
            await run("/v1/workflows/t_flaky/run", {"failures": 1}),
            await run("/v1/agents/t_broken/execute", {}),
            await run("/v1/agents/product_manager/execute", DRAFT),
        ]
        started = await client.post("/v1/agents/t_slow/execute", json={"input": {}, "async": True})
        cancelled = await client.post(f"/v1/jobs/{started.json()['job_id']}/cancel")
        assert cancelled.status_code == 200, cancelled.text
    return mine, jobs


def mean(jobs: list[dict[str, Any]]) -> float:
    times = [job["metrics"]["execution_time"] for job in jobs]
    return sum(times) / len(times)


@ledger("D-054", "D-055")
async def test_metrics_are_those_of_the_jobs_that_ran(
    app: FastAPI, worked: tuple[dict[str, str], list[dict[str, Any]]]
):
    mine, jobs = worked
    completed = [job for job in jobs if job["status"] == "completed"]
    assert len(completed) == 4
    async with over(app, **mine) as client:
        answer = await client.get("/v1/metrics")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    drafted = jobs[-1]["metrics"]

    assert set(body) == {"period", "summary", "by_agent", "by_workflow"}
    assert body["period"] == "last_24h"
    assert drafted["total_tokens"] > 0
    assert body["summary"] == {
        "total_jobs": 5,
        "completed_jobs": 4,
        "failed_jobs": 1,
        "success_rate": 80.0,
        "total_tokens": drafted["total_tokens"] + WASTED.total_tokens,
        "total_cost": drafted["cost"],
        "avg_execution_time": pytest.approx(mean(completed), abs=0.005),
    }
    agents = {name: (each["executions"], each["success_rate"]) for name, each in body["by_agent"].items()}
    assert agents == {"t_echo": (6, 100.0), "t_flaky": (2, 50.0), "t_broken": (1, 0.0), "product_manager": (1, 100.0)}
    assert body["by_agent"]["product_manager"]["avg_tokens"] == drafted["total_tokens"]
    workflows = {name: (each["executions"], each["success_rate"]) for name, each in body["by_workflow"].items()}
    assert workflows == {"t_three": (2, 100.0), "t_flaky": (1, 100.0)}
    assert body["by_workflow"]["t_three"]["avg_time"] == pytest.approx(mean(jobs[:2]), abs=0.005)


@ledger("D-056", "D-057")
@pytest.mark.parametrize("period", ["1h", "24h", "7d", "30d", "all"])
async def test_agent_metrics_over_every_period(
    app: FastAPI, worked: tuple[dict[str, str], list[dict[str, Any]]], period: str
):
    async with over(app, **worked[0]) as client:
        answer = await client.get(AGENT, params={"period": period})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    metrics, timeline = body.pop("metrics"), body.pop("timeline")

    assert body == {"agent_id": "t_flaky", "period": period}
    assert (metrics["total_executions"], metrics["successful"], metrics["failed"]) == (2, 1, 1)
    assert metrics["success_rate"] == 50.0
    assert all(isinstance(value, NUMBERS) for value in metrics.values())
    assert metrics["p50_execution_time"] == metrics["p99_execution_time"] == metrics["avg_execution_time"]
    assert sum(day["executions"] for day in timeline) == 2
    today = datetime.now(UTC).date()
    days = {"1h": 1, "24h": 2, "7d": 8, "30d": 31, "all": 1}[period]
    assert len(timeline) in (days, days + 1), "midnight may lie between"
    assert timeline[-1]["date"] in (today.isoformat(), (today - timedelta(days=1)).isoformat())
    assert all(set(day) == {"date", "executions", "tokens", "cost"} for day in timeline)


@ledger("D-056")
async def test_period_is_a_day_by_default(app: FastAPI, worked: tuple[dict[str, str], list[dict[str, Any]]]):
    async with over(app, **worked[0]) as client:
        body = (await client.get("/v1/metrics/agents/product_manager")).json()
    drafted = worked[1][-1]["metrics"]
    assert body["period"] == "24h"
    assert body["metrics"]["total_tokens"] == body["metrics"]["avg_tokens_per_execution"] == drafted["total_tokens"]
    assert body["metrics"]["total_cost"] == body["metrics"]["avg_cost_per_execution"] == drafted["cost"]
    assert sum(day["tokens"] for day in body["timeline"]) == drafted["total_tokens"]


@ledger("D-014", "D-015")
async def test_metrics_show_the_caller_their_own(
    app: FastAPI, client: httpx2.AsyncClient, key: Issue, worked: tuple[dict[str, str], list[dict[str, Any]]]
):
    async with over(app, **await key([Scope.METRICS_READ])) as stranger:
        nothing = (await stranger.get("/v1/metrics")).json()
        no_runs = (await stranger.get(AGENT)).json()
    assert (nothing["summary"]["total_jobs"], nothing["summary"]["total_cost"]) == (0, 0.0)
    assert nothing["by_agent"] == nothing["by_workflow"] == {}
    assert set(no_runs["metrics"].values()) == {0}
    everything = (await client.get("/v1/metrics")).json()
    assert everything["summary"]["total_jobs"] >= 5
    assert everything["by_workflow"]["t_three"]["executions"] >= 2


@ledger("D-015")
@pytest.mark.parametrize("path", ["/v1/metrics", AGENT])
async def test_metrics_need_their_scope(app: FastAPI, key: Issue, path: str):
    others = set(Scope) - {Scope.METRICS_READ, Scope.ADMIN}
    async with over(app) as anonymous, over(app, **await key(others)) as scoped:
        assert (await anonymous.get(path)).status_code == 401
        refused = await scoped.get(path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


@ledger("D-056", "D-096")
async def test_a_period_that_does_not_exist_is_refused(client: httpx2.AsyncClient):
    answer = await client.get(AGENT, params={"period": "8d"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["details"]["field"], error["details"]["provided"]) == (
        "invalid_request",
        "period",
        "8d",
    )
    for period in ("1h", "24h", "7d", "30d", "all"):
        assert repr(period) in error["details"]["expected"]


@ledger("D-056")
async def test_metrics_of_an_unknown_agent(client: httpx2.AsyncClient):
    answer = await client.get("/v1/metrics/agents/nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_metrics_without_the_index_are_unavailable(running: Engine, app_with: Callable[..., FastAPI], key: Issue):
    gone = Database("postgresql+psycopg://nobody@127.0.0.1:1/gone")
    broken = MetricsReader(MetricsRepository(gone), running.parts.catalogue, clock=now)
    async with over(app_with(metrics=broken), **await key()) as client:
        answers = [await client.get("/v1/metrics"), await client.get(AGENT)]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    await gone.close()


@ledger("D-106")
async def test_each_call_is_logged_with_tokens_and_cost(client: httpx2.AsyncClient):
    with capture_logs() as logs:
        answer = await client.post("/v1/agents/product_manager/execute", json={"input": DRAFT})
    metrics = answer.json()["metrics"]
    line = next(line for line in logs if line["event"] == "agent_call_ended")
    assert (line["tokens"], line["cost"]) == (metrics["total_tokens"], metrics["cost"])
    assert line["tokens"] > 0
