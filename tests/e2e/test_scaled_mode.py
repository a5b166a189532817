"""Scaled mode without Docker, by the very lines of `docs/scaled-mode.md`: it starts, works, and survives its parts.

Needs `make temporal-postgres`; `make scaled-test` does that and then runs this.
"""

import asyncio
import json
import os
import random
import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from orchestrator.testing import eventually
from tests.redis_server import RedisServer
from tests.scaled_mode import PAGE, ROOT, Supervisor, page, variables
from tests.storage.postgres import running_postgres

BUILT = all((ROOT / ".tools" / "bin" / name).exists() for name in ("temporal-server", "temporal-sql-tool"))
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not BUILT and "SCALED_TEST" not in os.environ, reason="make temporal-postgres was not run"),
]

STOCK_CONNECTIONS = 100
AGENT = "/v1/agents/product_manager/execute"
BODY = {"input": {"task_type": "prd", "context": "A meal delivery app"}, "async": True}


def free_ports(count: int) -> list[int]:
    """Free ports that Temporal can store: below 32768."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def moved(folder: Path, postgres: int, redis: int) -> dict[str, str]:
    """The page's places, and those of the test."""
    files = page().files
    temporal = [value for name, value in variables(files["/etc/orchestrator/temporal.env"]).items() if "_PORT" in name]
    apis = [name.partition("@")[2] for name in page().units if name.startswith("orchestrator-api@")]
    stock = [port for port in [*temporal, *apis] if port != "5432"]
    ports = {theirs: str(ours) for theirs, ours in zip(stock, free_ports(len(stock)), strict=True)}
    return {
        "/opt/orchestrator": str(ROOT),
        "/etc/orchestrator": str(folder / "etc"),
        "/var/lib/orchestrator": str(folder / "var"),
        "/etc/systemd/system": str(folder / "units"),
        "6379/0": f"{redis}/0",
        "5432": str(postgres),
        **ports,
    }


async def test_the_page_as_it_stands(tmp_path: Path, redis_server: RedisServer) -> None:
    (tmp_path / "var").mkdir()
    with running_postgres() as postgres:
        server = f"host=127.0.0.1 port={postgres.port} user=postgres dbname=postgres"
        with psycopg.connect(server, autocommit=True) as admin:
            for role in ("temporal", "orchestrator"):
                admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'change-me'".encode())
            for line in re.findall(r"createdb --owner (\w+) (\w+)", PAGE.read_text()):
                admin.execute(f"CREATE DATABASE {line[1]} OWNER {line[0]}".encode())
                admin.execute(f"REVOKE ALL ON DATABASE {line[1]} FROM PUBLIC".encode())
        supervisor = Supervisor(page(), moved(tmp_path, postgres.port, redis_server.port), tmp_path)
        try:
            await _lived_through(supervisor, server)
        except BaseException:
            for name in supervisor.starts:
                print(f"--- {name}\n{supervisor.log(name)}")
            raise
        finally:
            await supervisor.stop()


async def _lived_through(supervisor: Supervisor, server: str) -> None:
    databases, namespace, doctor = supervisor.page.lines
    temporal, *others = supervisor.page.units
    supervisor.install()
    await supervisor.run(databases)
    await supervisor.run(databases)  # it may run again at any time
    supervisor.enable(temporal)
    await supervisor.run(namespace)
    await supervisor.run(namespace)
    for name in others:
        supervisor.enable(name)
    apis = [name for name in others if name.startswith("orchestrator-api@")]
    workers = [name for name in others if name.startswith("orchestrator-worker@")]
    key = variables(supervisor.page.files["/etc/orchestrator/orchestrator.env"])["ORCHESTRATOR_ADMIN_API_KEY"]
    ports = [supervisor.here(name.partition("@")[2]) for name in apis]
    clients = [
        httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        for port in ports
    ]
    for client in clients:
        await eventually(lambda client=client: _status(client, "/readyz"), lambda status: status == 200, 300)
    await eventually(lambda: supervisor.run(doctor), lambda report: f"{len(workers)} on task queue" in report, 120)

    connections: list[int] = []
    await _works(clients, connections, server)
    for name in (workers[0], apis[0], temporal):
        before = supervisor.starts[name]
        killed = asyncio.create_task(_works(clients, connections, server))
        await supervisor.kill(name)

        async def starts(name: str = name) -> int:
            return supervisor.starts[name]

        await eventually(starts, lambda count, before=before: count > before, 60)
        await killed
    await eventually(lambda: supervisor.run(doctor), lambda report: f"{len(workers)} on task queue" in report, 120)
    assert max(connections) < STOCK_CONNECTIONS, connections
    print(f"connections to PostgreSQL, at most: {max(connections)}")
    for client in clients:
        await client.aclose()


async def _works(clients: list[httpx2.AsyncClient], connections: list[int], server: str) -> None:
    """Jobs over every API, each read at another one; all complete, whatever is killed meanwhile."""
    keys = [{"Idempotency-Key": os.urandom(8).hex()} for _ in range(20)]
    started = await asyncio.gather(*(_start(clients, number, key) for number, key in enumerate(keys)))
    connections.append(_connections(server))
    for number, job_id in enumerate(started):
        at = clients[(number + 1) % len(clients)]
        await eventually(lambda at=at, job_id=job_id: _job(at, job_id), lambda status: status == "completed", 240)
        if number % 5 == 0:
            connections.append(_connections(server))


async def _start(clients: list[httpx2.AsyncClient], number: int, key: dict[str, str]) -> str:
    """A job's id, once it is accepted: a start that got no answer is repeated with its key, at the next API."""
    answers: list[dict[str, Any]] = []

    async def attempt() -> int:
        nonlocal number
        number += 1
        try:
            answer = await clients[number % len(clients)].post(AGENT, json=BODY, headers=key)
        except httpx2.TransportError:
            return 0
        answers.append(json.loads(answer.text))
        return answer.status_code

    await eventually(attempt, lambda status: status in (200, 202), 240)
    return str(answers[-1]["job_id"])


async def _job(client: httpx2.AsyncClient, job_id: str) -> str:
    try:
        answer = await client.get(f"/v1/jobs/{job_id}")
    except httpx2.TransportError:
        return "no answer"
    return str(answer.json().get("status"))


async def _status(client: httpx2.AsyncClient, path: str) -> int:
    try:
        return (await client.get(path)).status_code
    except httpx2.TransportError:
        return 0


def _connections(server: str) -> int:
    with psycopg.connect(server) as admin:
        counted = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchone()
        assert counted is not None
        return int(counted[0])
