"""The job index at `GET /metrics`: numbers of jobs that really ran, and an endpoint that answers without it."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.composition.backend import now
from orchestrator.domain.errors import Unavailable
from orchestrator.services.reports.figures import FiguresReader
from orchestrator.storage.database import Database
from orchestrator.storage.figures import FiguresRepository
from orchestrator.testing import TESTER, Engine, eventually
from tests.api.conftest import ADMIN, Fixed, over
from tests.api.test_errors import Broken

METRICS_KEY = "a-key-for-prometheus"
DRAFT = {"task_type": "prd", "context": "A library that lends tools"}
Samples = dict[tuple[str, ...], float]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def parsed(answer: httpx2.Response) -> Samples:
    """Every sample by its name and the values of its labels, in the order of their names."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (one.name, *(one.labels[label] for label in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


@pytest.fixture
def scrape(running: Engine, app_with: Callable[..., FastAPI]):
    """Reads the endpoint as one process that was just started: nothing is kept from before."""

    async def read() -> Samples:
        await running.services.reader.settle()
        figures = FiguresReader(FiguresRepository(running.parts.backend.reports), running.parts.catalogue, clock=now)
        async with over(app_with(figures=figures), **ADMIN) as admin:
            return parsed(await admin.get("/metrics"))

    return read


async def test_jobs_that_ran_are_counted(running: Engine, scrape):
    before = await scrape()
    await running.run("t_three", {})
    await running.run("t_flaky", {"failures": 1})
    await running.run("t_broken", {})
    drafted = await running.run("product_manager", DRAFT)
    after = await scrape()

    def grown(*sample: str) -> float:
        return after[sample] - before.get(sample, 0)

    # Labels in the order of their names: definition, kind, state.
    assert grown("orchestrator_jobs_total", "t_three", "workflow", "COMPLETED") == 1
    assert grown("orchestrator_jobs_total", "t_flaky", "workflow", "COMPLETED") == 1
    assert grown("orchestrator_jobs_total", "t_broken", "workflow", "FAILED") == 1
    assert grown("orchestrator_jobs_total", "product_manager", "agent", "COMPLETED") == 1
    assert grown("orchestrator_steps_total", "t_flaky", "completed") == 1
    assert grown("orchestrator_steps_total", "t_flaky", "failed") == 1
    assert grown("orchestrator_steps_total", "t_broken", "failed") == 1
    used = drafted.usage
    assert used.total_tokens > 0
    assert grown("orchestrator_tokens_total", "product_manager", "prompt") == used.prompt_tokens
    assert grown("orchestrator_tokens_total", "product_manager", "completion") == used.completion_tokens
    assert used.cost is not None
    assert grown("orchestrator_cost_usd_total", "product_manager") == pytest.approx(used.cost)
    for histogram in ("orchestrator_job_duration_seconds", "orchestrator_job_queue_wait_seconds"):
        assert grown(f"{histogram}_count", "workflow") == grown(f"{histogram}_bucket", "workflow", "+Inf") == 3
        assert grown(f"{histogram}_count", "agent") == 1
        assert grown(f"{histogram}_sum", "workflow") > 0
    assert drafted.duration == pytest.approx(grown("orchestrator_job_duration_seconds_sum", "agent"), abs=0.01)


async def test_open_jobs_are_gauges(running: Engine, scrape):
    before = await scrape()
    started = await running.start("t_slow", {})

    async def open_now() -> float:
        return (await scrape())["orchestrator_jobs_open", "RUNNING"]

    await eventually(open_now, lambda number: number > before["orchestrator_jobs_open", "RUNNING"])
    during = await scrape()
    assert during["orchestrator_oldest_open_job_seconds",] > 0
    assert during["orchestrator_jobs_stalled",] == before["orchestrator_jobs_stalled",]
    await running.services.controller.cancel(TESTER, started.job_id, "")
    await eventually(open_now, lambda number: number == before["orchestrator_jobs_open", "RUNNING"])


async def test_every_process_reports_the_same(running: Engine, scrape):
    await running.run("t_three", {})

    def of_the_index(samples: Samples) -> Samples:
        local = ("orchestrator_http", "orchestrator_oldest", "orchestrator_websocket", "orchestrator_limiter")
        return {
            sample: value
            for sample, value in samples.items()
            if sample[0].startswith("orchestrator_") and not sample[0].startswith(local)
        }

    first, second = of_the_index(await scrape()), of_the_index(await scrape())
    assert first == second
    assert ("orchestrator_jobs_total", "t_three", "workflow", "COMPLETED") in first


async def test_figures_of_everybody_need_the_key_of_prometheus_or_an_admins(
    running: Engine, app_with: Callable[..., FastAPI], key: Callable[..., Any]
):
    await running.run("t_three", {})
    await running.services.reader.settle()
    figures = FiguresReader(FiguresRepository(running.parts.backend.reports), running.parts.catalogue, clock=now)
    source = Fixed(replace(running.services, figures=figures))
    app = create_app(source, options=lambda: ApiOptions(metrics_key=SecretStr(METRICS_KEY)))
    business = re.compile(r"orchestrator_(jobs|steps|tokens|cost|index|webhook_deliver|oldest)")
    async with over(app) as client:
        for headers, status, shown in (
            ({}, 200, False),
            (await key(), 200, False),
            (bearer(METRICS_KEY), 200, True),
            (ADMIN, 200, True),
            (bearer(METRICS_KEY[:-1]), 401, False),
            (bearer("wrong"), 401, False),
        ):
            for accept in ("text/plain", "application/json"):
                answer = await client.get("/metrics", headers={**headers, "Accept": accept})
                assert (answer.status_code, bool(business.search(answer.text))) == (status, shown), headers


async def test_the_endpoint_answers_without_the_index(running: Engine, app_with: Callable[..., FastAPI]):
    gone = Database("postgresql+psycopg://nobody@127.0.0.1:1/gone")
    figures = FiguresReader(FiguresRepository(gone), running.parts.catalogue, clock=now)
    async with over(app_with(figures=figures), **ADMIN) as admin:
        await admin.get("/healthz")
        found = parsed(await admin.get("/metrics"))
    await gone.close()
    assert found["orchestrator_index_up",] == 0
    assert not any(sample[0].startswith("orchestrator_job") for sample in found)
    assert found["orchestrator_http_requests_total", "GET", "/healthz", "200"] == 1


async def test_the_endpoint_answers_while_nothing_could_be_opened():
    app = create_app(Broken(Unavailable("no database")), options=lambda: ApiOptions(metrics_key=SecretStr(METRICS_KEY)))
    async with over(app, **bearer(METRICS_KEY)) as prometheus:
        assert parsed(await prometheus.get("/metrics"))["orchestrator_index_up",] == 0
    async with over(app, **ADMIN) as admin:  # nobody can say who that is
        assert ("orchestrator_index_up",) not in parsed(await admin.get("/metrics"))
