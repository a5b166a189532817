"""Probes, metrics, log lines, the OpenAPI document, start-up and shutdown."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from api.app import create_app
from orchestrator.domain.errors import CatalogueError, Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.testing import ADMIN_KEY, Engine, eventually
from tests.api.conftest import ADMIN, Fixed, over
from tests.api.test_errors import Broken
from tests.ledger import ledger

ROOT = Path(__file__).parents[2]


async def test_the_process_is_alive_whatever_else_is_down():
    async with over(create_app(Broken(Unavailable("no database")))) as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_when_every_part_answers(client: httpx2.AsyncClient, app: FastAPI):
    async with over(app) as anonymous:
        answer = await anonymous.get("/readyz")
    assert answer.status_code == 200, answer.text
    assert answer.json()["ready"] is True
    assert {check["name"] for check in answer.json()["checks"]} == {"temporal", "database", "worker"}


async def test_not_ready_says_which_part(app_with: Callable[..., FastAPI]):
    class Partly:
        async def checks(self) -> list[Finding]:
            return [
                Finding.of("temporal", ok=True, message="ok"),
                Finding.of("worker", ok=False, message="nobody there"),
            ]

    async with over(app_with(readiness=Partly())) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json() == {
        "ready": False,
        "checks": [
            {"name": "temporal", "ok": True, "message": "ok"},
            {"name": "worker", "ok": False, "message": "nobody there"},
        ],
    }


async def test_not_ready_while_nothing_could_be_opened():
    async with over(create_app(Broken(Unavailable("no database")))) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == [{"name": "start", "ok": False, "message": "no database"}]


async def test_requests_are_counted_by_route_not_by_path(app_with: Callable[..., FastAPI]):
    async with over(app_with(), **ADMIN) as client:
        for path in ("/v1/jobs/job_a", "/v1/jobs/job_b", "/v1/agents", "/nothing", "/nothing/else"):
            await client.get(path)
        await client.request("BREW", "/v1/agents")
        answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.text
    count = 'orchestrator_http_requests_total{method="%s",route="%s",status="%d"} %d.0'
    assert count % ("GET", "/v1/jobs/{job_id}", 404, 2) in text
    assert count % ("GET", "/v1/agents", 200, 1) in text
    assert count % ("GET", "(none)", 404, 2) in text
    assert count % ("OTHER", "/v1/agents", 405, 1) in text
    assert 'orchestrator_http_response_seconds_count{method="GET",route="/v1/agents",status="200"} 1.0' in text
    assert "orchestrator_http_requests_in_flight 1.0" in text, "the request for the metrics itself"


async def test_each_request_but_a_health_probe_leaves_one_log_line(client: httpx2.AsyncClient):
    with capture_logs(processors=[merge_contextvars]) as logs:
        for probe in ("/healthz", "/readyz"):
            assert (await client.get(probe)).status_code == 200
        answer = await client.post("/v1/agents/t_echo/execute", json={"input": {"secret": "hunter2"}})
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/agents/{agent_id}/execute", 200)
    assert line["job_id"] == answer.json()["job_id"]
    assert line["principal"] == "admin"
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["duration"] > 0
    assert "hunter2" not in repr(logs)
    assert ADMIN_KEY not in repr(logs)


@ledger("M-048", "C-08", "C-09")
async def test_the_document_names_the_product_and_every_answer(client: httpx2.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    info = document["info"]
    description, _, introduction = info.pop("description").partition("\n\n")
    assert description == "API for orchestrating AI agents in software development workflows"
    assert re.findall("^## (.*)$", introduction, re.MULTILINE) == [
        "Authentication",
        "Errors",
        "Idempotency",
        "Limits",
        "Lists",
        "Streams",
        "Webhooks",
    ]
    assert info == {
        "title": "Multi-Agent Orchestrator API",
        "version": "1.0.0",
        "x-logo": {"url": "https://example.com/logo.png"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1/"):
                answers = set(operation["responses"])
                assert {"400", "401", "403", "429", "500", "503"} <= answers, (method, path)
                assert answers & {"200", "201", "202", "204"}, (method, path)
                assert {name for entry in operation["security"] for name in entry} == {"HTTPBearer"}
    assert "HTTPValidationError" not in document["components"]["schemas"], "bad input is a 400 (D-097)"
    start = document["components"]["schemas"]["StartRequest"]
    assert set(start["properties"]) == {"input", "config", "async", "webhook_url", "labels", "start_at", "delay"}


@ledger("M-049")
@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_document_can_be_browsed(client: httpx2.AsyncClient, path: str):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert "Multi-Agent Orchestrator API" in answer.text


async def test_start_up_opens_and_shutdown_closes(running: Engine):
    source = Fixed(running.services)
    app = create_app(source)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with app.router.lifespan_context(app):
        assert not app.state.api.closing.is_set()
        assert not source.closed
    assert source.closed
    assert app.state.api.closing.is_set()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@ledger("S-014", "S-025")
async def test_no_request_waits_for_routes_to_be_built(running: Engine, monkeypatch: pytest.MonkeyPatch):
    built, build = [], TypeAdapter.__init__

    def counted(self: TypeAdapter[Any], *given: Any, **more: Any) -> None:
        built.append(given)
        build(self, *given, **more)

    monkeypatch.setattr(TypeAdapter, "__init__", counted)
    app = create_app(Fixed(running.services))
    async with app.router.lifespan_context(app), over(app, **ADMIN) as client:
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.get("/v1/agents")).status_code == 200
    assert not built  # The import has built them, and no application does so again.


async def test_start_up_goes_on_without_a_database_and_stops_at_a_broken_catalogue():
    unready = create_app(Broken(Unavailable("no database")))
    async with unready.router.lifespan_context(unready), over(unready) as client:
        assert (await client.get("/readyz")).status_code == 503
    broken = create_app(Broken(CatalogueError("plugin.py", "no such agent")))
    with pytest.raises(CatalogueError, match="no such agent"):
        async with broken.router.lifespan_context(broken):
            pass


def test_importing_the_application_reads_and_opens_nothing(tmp_path: Path):
    # M-006; a setting that cannot be read would fail here if it were read
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ORCHESTRATOR_RETENTION_DAYS": "never"}
    code = "from api.orchestrator_api import app; print(app.title); import os; os._exit(0 if app.openapi() else 1)"
    done = subprocess.run(
        [sys.executable, "-u", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Multi-Agent Orchestrator API"
    assert list(tmp_path.iterdir()) == []


async def test_a_plain_server_that_is_asked_to_stop_does_not_wait_for_its_streams(
    temporal_address: str, running: Engine, tmp_path: Path
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": temporal_address,
        "ORCHESTRATOR_DATA_DIR": str(tmp_path),
        "ORCHESTRATOR_ADMIN_API_KEY": ADMIN_KEY,
        "ORCHESTRATOR_PLUGINS": "tests.catalogue",
        "ORCHESTRATOR_TASK_QUEUE": "nobody-polls-this",
    }
    command = [sys.executable, "-m", "uvicorn", "api.orchestrator_api:app", "--port", str(port)]
    server = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=ADMIN, timeout=30) as client:

            async def alive() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await eventually(alive, bool, seconds=90)
            started = await client.post("/v1/agents/t_echo/execute", json={"input": {}, "async": True})
            events = started.json()["links"]["events"]
            async with client.stream("GET", events, headers={"Accept": "text/event-stream"}) as answer:
                lines = answer.aiter_lines()
                assert await anext(lines) == "event: snapshot"
                server.send_signal(signal.SIGTERM)
                rest = [line async for line in lines]  # ends; a cut connection would raise
            assert not any(line.startswith("event: job_completed") for line in rest)
        async with asyncio.timeout(30):
            _, errors = await server.communicate()
        assert b"Traceback" not in errors
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
