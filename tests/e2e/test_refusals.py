"""A process that is set up wrongly says so in a sentence, and takes no work."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest
from temporalio.api.workflowservice.v1 import ListNamespacesRequest
from temporalio.client import Client

from orchestrator.testing import eventually
from tests.e2e.processes import Command, free_port
from tests.storage.postgres import running_postgres


def arguments(command: str, data: Path) -> list[str]:
    ports = {"api": ["--port", str(free_port())]}
    return [command, *ports.get(command, []), "--data-dir", str(data)]


async def ended(command: Command, seconds: float = 150) -> int:
    assert command.process is not None
    try:
        async with asyncio.timeout(seconds):
            return await command.process.wait()
    finally:
        await command.kill()


async def namespaces(address: str) -> set[str]:
    client = await Client.connect(address)
    answer = await client.workflow_service.list_namespaces(ListNamespacesRequest())
    return {one.namespace_info.name for one in answer.namespaces}


async def ready_and_stopped(command: Command) -> None:
    try:
        await (await command.start()).ready(150)
    finally:
        assert await command.kill(signal.SIGTERM) == 0, command.text()


@pytest.mark.parametrize("command", ["worker", "api"])
async def test_a_namespace_that_does_not_exist_is_not_made(tmp_path: Path, temporal_address: str, command: str) -> None:
    settings = {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_NAMESPACE": f"typo-{command}"}
    process = Command(tmp_path, *arguments(command, tmp_path / "data"), **settings)
    assert await ended(await process.start()) == 1
    output = process.text()
    assert f"orchestrator: Temporal at {temporal_address} has no namespace 'typo-{command}'. Correct TEMPORAL" in output
    assert "Traceback" not in output
    assert process.ready_lines() == 0
    assert f"typo-{command}" not in await namespaces(temporal_address)


async def test_a_namespace_is_made_on_request_and_another_one_is_refused_then(
    tmp_path: Path, temporal_address: str
) -> None:
    data = tmp_path / "data"
    ours = {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_NAMESPACE": "made-on-request"}
    await ready_and_stopped(Command(tmp_path, *arguments("worker", data), "--create-namespace", **ours))
    for command in ("worker", "api"):
        process = Command(tmp_path, *arguments(command, data), TEMPORAL_ADDRESS=temporal_address, TEMPORAL_NAMESPACE="")
        assert await ended(await process.start()) == 1
        output = process.text()
        assert "are in the Temporal namespace 'made-on-request' (id " in output
        assert "and this process uses 'default' (id " in output
        assert "orchestrator bind --namespace" in output
        assert "Traceback" not in output
    bind = Command(tmp_path, "bind", "--namespace", "--data-dir", str(data), TEMPORAL_ADDRESS=temporal_address)
    assert await ended(await bind.start()) == 0, bind.text()
    assert "now belongs to the Temporal namespace 'default'" in bind.text()


async def test_processes_that_do_not_share_the_secret_key_are_refused(tmp_path: Path, temporal_address: str) -> None:
    with running_postgres() as postgres:
        shared = {"ORCHESTRATOR_DATABASE_URL": postgres.new_database(), "TEMPORAL_ADDRESS": temporal_address}
        await ready_and_stopped(Command(tmp_path, *arguments("api", tmp_path / "one"), **shared))
        for command in ("api", "worker", "keys"):
            folder = tmp_path / f"another-{command}"
            line = ["keys", "create", "--name", "x"] if command == "keys" else arguments(command, folder)
            process = Command(tmp_path, *line, **shared, ORCHESTRATOR_DATA_DIR=str(folder))
            assert await ended(await process.start()) == 1
            output = process.text()
            assert f"belongs to another secret key than that of the file {folder}/secret-key" in output
            assert "Give every process the same ORCHESTRATOR_SECRET_KEY" in output
            assert "Traceback" not in output


async def test_an_api_that_cannot_know_yet_waits_and_ends_once_it_does(tmp_path: Path, temporal_address: str) -> None:
    """The index comes up after the API, and is another installation's."""
    with running_postgres() as postgres:
        url = postgres.new_database()
        shared = {"ORCHESTRATOR_DATABASE_URL": url, "TEMPORAL_ADDRESS": temporal_address}
        await ready_and_stopped(Command(tmp_path, *arguments("api", tmp_path / "one"), **shared))
        postgres.stop()
        port = free_port()
        line = ("api", "--port", str(port), "--data-dir", str(tmp_path / "two"))
        process = await Command(tmp_path, *line, **shared).start()
        try:
            await process.ready()
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
                answer = await http.get("/readyz")
                assert answer.status_code == 503
                assert "Connection refused" in answer.text

                async def text() -> str:
                    return process.text()

                await eventually(text, lambda report: "Connection refused" in report)
        finally:
            postgres.start()
        assert await ended(process) == 1
        assert "belongs to another secret key" in process.text()


async def test_the_shipped_example_of_settings_starts_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((Path(__file__).parents[2] / ".env.example").read_text())
    ports = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")
    process = Command(tmp_path, "dev", *ports, TEMPORAL_ADDRESS="")
    process.environment["PYTHONPATH"] = os.getcwd()
    try:
        await (await process.start(cwd=tmp_path)).ready()
    finally:
        assert await process.kill(signal.SIGTERM) == 0, process.text()


@pytest.mark.parametrize("package", ["workflows", "activities", "api"])
async def test_a_package_of_the_authors_with_one_of_our_names_is_refused_before_any_import(
    tmp_path: Path, package: str
) -> None:
    folder = tmp_path / "acme"
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("raise SystemExit('imported')")
    # The author's folder first, then ours.
    path = os.pathsep.join((str(folder), os.getcwd()))
    lines = {"dev": [], "worker": [], "api": [], "doctor": ["--json"], "run": ["x", "--input", "{}"]}
    for command, more in lines.items():
        process = Command(tmp_path, command, *more, PYTHONPATH=path, ORCHESTRATOR_DATA_DIR=str(tmp_path / "data"))
        assert await ended(await process.start(cwd=tmp_path)) == 1
        output = process.text()
        assert f"orchestrator: Python finds the package `{package}` in {folder}, not in {os.getcwd()}. " in output
        assert "rename that package" in output
        assert "Traceback" not in output
        assert "imported" not in output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("statement", "report"), [("raise SystemExit('ACME_TOKEN is not set')", "ACME_TOKEN"), ("exit(0)", "0")]
)
@pytest.mark.parametrize("command", ["worker", "api", "doctor"])
async def test_a_plugin_that_ends_the_program_is_named(
    tmp_path: Path, command: str, statement: str, report: str
) -> None:
    (tmp_path / "acme_exits.py").write_text(f"import sys\nfrom sys import exit\n{statement}\n")
    path = os.pathsep.join((str(tmp_path), os.getcwd()))
    process = Command(
        tmp_path, *arguments(command, tmp_path / "data"), PYTHONPATH=path, ORCHESTRATOR_PLUGINS="acme_exits"
    )
    assert await ended(await process.start()) == 1
    assert "acme_exits" in process.text()
    assert report in process.text()
    assert "Traceback" not in process.text()
