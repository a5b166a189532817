"""The commands as their users run them: real processes, real exit codes."""

import asyncio
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from orchestrator.engine.data_lock import Holder
from tests.e2e.processes import Command, free_port

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
INPUT = '{"api_name": "Todo", "description": "A list of tasks", "api_type": "rest"}'


@dataclass
class Ended:
    code: int
    out: str
    err: str


async def orchestrator(*arguments: str) -> Ended:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class Dev:
    """`orchestrator dev` on free ports."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        ports = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")
        self.command = Command(folder, "dev", *ports, "--data-dir", str(self.data), TEMPORAL_ADDRESS="")

    @property
    def url(self) -> str:
        ready = next(line for line in self.command.text().splitlines() if line.startswith("ready "))
        return ready.split()[1]

    @property
    def ui(self) -> str:
        ready = next(line for line in self.command.text().splitlines() if line.startswith("ready "))
        return ready.split("temporal-ui ")[1].split("/namespaces")[0]

    def temporal(self) -> int:
        """The process id of the Temporal server."""
        return Holder.model_validate_json((self.data / "temporal.lock").read_text()).server

    async def run(self, *arguments: str) -> Ended:
        """It finds the API and its key in the data directory."""
        return await orchestrator("run", *arguments, "--data-dir", str(self.data))


@asynccontextmanager
async def dev(folder: Path) -> AsyncIterator[Dev]:
    running = Dev(folder)
    await running.command.start()
    try:
        await running.command.ready()
        yield running
    finally:
        await running.command.kill()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_job_from_start_to_files_and_a_clean_stop(tmp_path: Path) -> None:
    async with dev(tmp_path) as running:
        assert stat.S_IMODE(running.data.stat().st_mode) == 0o700
        key = running.data / "admin-api-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert f"admin key {key.read_text().strip()}" in running.command.text().splitlines()
        assert "/namespaces/default/workflows?query=JobKind+IS+NOT+NULL\n" in running.command.text()

        page = running.ui
        async with httpx2.AsyncClient(trust_env=False) as http:
            for url in (f"{running.url}/v1/agents", f"{running.url}/docs", f"{page}/", f"{page}/api/v1/namespaces"):
                stranger = await http.get(url, headers={"Host": "evil.example"})
                assert (url, stranger.status_code) == (url, 400)
            assert "defaultnamespace" in (await http.get(f"{page}/api/v1/settings")).text.lower()
            assert (await http.get(f"{page}/")).headers["content-type"].startswith("text/html")

        files = tmp_path / "files"
        ended = await running.run("api_development", "--input", INPUT, "--output-dir", str(files))
        assert ended.code == 0, ended.err
        assert (files / "api" / "openapi.yaml").stat().st_size > 0
        assert "completed in" in ended.out
        assert "\x1b" not in ended.out

        kept = {re.sub(r"-[\d.]+\.sqlite3", "-VERSION.sqlite3", file.name) for file in running.data.iterdir()}
        named = OPERATING.read_text()
        assert [name for name in kept if not name.endswith(("-wal", "-shm")) and f"`{name}`" not in named] == []

        wrong = await running.run("api_development", "--input", '{"api_name": "x"}')
        assert (wrong.code, wrong.out) == (2, "")
        assert "Missing required field" in wrong.err

        temporal = running.temporal()
        assert lives(temporal)
        assert await running.command.kill(signal.SIGTERM) == 0, running.command.text()
        assert not lives(temporal)
        assert running.command.ready_lines() == 1


async def test_a_killed_temporal_server_comes_back_and_jobs_complete(tmp_path: Path) -> None:
    async with dev(tmp_path) as running:
        first = running.temporal()
        os.kill(first, signal.SIGKILL)
        ended = await running.run("api_development", "--input", INPUT, "--json")
        assert ended.code == 0, ended.err + running.command.text()
        assert '"status":"completed"' in ended.out
        assert running.temporal() != first
        assert await running.command.kill(signal.SIGINT) == 0


@pytest.mark.parametrize("name", ["two words", "Größe?mode=memory", "a#b%41&c;d"])
async def test_a_data_directory_of_any_name_keeps_every_file_inside_and_private(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    running = Dev(folder)
    running.data = folder / name
    running.data.mkdir(mode=0o755)  # not even where the folder existed
    running.command.arguments = (*running.command.arguments[:-1], name)
    try:
        await running.command.start(umask=0o022, cwd=folder)
        await running.command.ready()
        ended = await running.run("api_development", "--input", INPUT)
        assert ended.code == 0, ended.err
    finally:
        await running.command.kill(signal.SIGTERM)
    assert {path.name for path in folder.iterdir()} == {name, "dev.log"}
    names = {path.name for path in running.data.iterdir()}
    assert {"admin-api-key", "secret-key", "index.sqlite3", "temporal.log", "temporal.lock"} <= names
    assert any(re.fullmatch(r"temporal-[\d.]+\.sqlite3", name) for name in names)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in running.data.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700


@pytest.mark.parametrize("flag", ["--port", "--temporal-port", "--ui-port"])
async def test_a_taken_port_is_named_with_its_flag(tmp_path: Path, flag: str) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ports = dict.fromkeys(("--port", "--temporal-port", "--ui-port"), "0") | {flag: str(port)}
        options = [part for pair in ports.items() for part in pair]
        ended = await orchestrator("dev", *options, "--data-dir", str(tmp_path))
    assert ended.code == 2, ended.err
    assert f"port {port} on 127.0.0.1 is taken; choose another with {flag}" in ended.err


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid"])
async def test_a_host_of_another_machine_is_named_with_its_flag(tmp_path: Path, host: str) -> None:
    ended = await orchestrator("dev", "--host", host, "--port", "0", "--data-dir", str(tmp_path))
    assert ended.code == 2, ended.err
    assert f"{host} is not an address of this machine; choose another with --host" in ended.err


async def test_a_data_directory_that_cannot_be_written_is_named_with_its_flag(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("no directory")
    ended = await orchestrator("temporal", "--port", "0", "--ui-port", "0", "--data-dir", str(file))
    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert f"the data directory {file} cannot be written (File exists); choose another with --data-dir" in ended.err


async def test_api_and_worker_start_without_temporal_and_stop_when_asked(tmp_path: Path) -> None:
    port = free_port()
    nowhere = {"TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}", "ORCHESTRATOR_ADMIN_API_KEY": "dvr_sk_test_cli_key"}
    api = Command(tmp_path, "api", "--port", str(port), "--data-dir", str(tmp_path), **nowhere)
    worker = Command(tmp_path, "worker", "--data-dir", str(tmp_path), **nowhere)
    try:
        await worker.start()
        await (await api.start()).ready()
        async with asyncio.timeout(60):
            while "does not answer" not in worker.text():  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.1)
        assert worker.ready_lines() == 0
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            readiness = await http.get("/readyz")
            start = await http.post(
                "/v1/agents/product_manager/execute",
                json={"input": {"task_type": "prd", "context": "x"}, "async": True},
                headers={"Authorization": "Bearer dvr_sk_test_cli_key"},
            )
        assert (readiness.status_code, start.status_code) == (503, 503)
        assert await worker.kill(signal.SIGTERM) == 0
        assert await api.kill(signal.SIGTERM) == 0
    finally:
        for command in (api, worker):
            await command.kill()


@pytest.mark.parametrize(
    "text", ["import sys\nsys.exit(0)\n", "import argparse\nargparse.ArgumentParser().parse_args()\n"]
)
@pytest.mark.parametrize("command", ["worker", "api", "dev", "doctor"])
async def test_a_plugin_that_ends_the_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, text: str
) -> None:
    (tmp_path / "acme_exits.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    monkeypatch.setenv("ORCHESTRATOR_PLUGINS", "acme_exits")
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    ended = await orchestrator(command, "--data-dir", str(tmp_path / "data"))
    assert ended.code == 1
    report = " ".join((ended.out + ended.err).split())
    assert "acme_exits: cannot be imported: SystemExit: " in report
    assert "Traceback" not in report


LEFT = """
import asyncio, sys
from orchestrator.commandline.server import process
from orchestrator.settings import Settings

async def main(stop):
    async def leave():
        sys.exit(0)
    waiting = asyncio.create_task(asyncio.Event().wait())
    async def shields():
        await asyncio.shield(waiting)
    await asyncio.gather(shields(), leave())

sys.exit(process.serve(Settings(data_dir=sys.argv[1]), main))
"""


async def test_a_process_that_lost_its_event_loop_ends_with_a_code(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LEFT, str(tmp_path)), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"event_loop_left" in err


HELD = """
import asyncio, sys, threading
from orchestrator.commandline.server import process
from orchestrator.settings import Settings

async def main(stop):
    async def stays():
        while True:
            try:
                await asyncio.to_thread(threading.Event().wait)
            except BaseException:
                pass
    task = asyncio.create_task(stays())
    await asyncio.sleep(0.1)
    sys.stdout = None
    return 4

process.CLOSE_SECONDS = 0.5
sys.exit(process.serve(Settings(data_dir=sys.argv[1]), main))
"""


async def test_what_never_ends_does_not_keep_a_process_that_is_to_end(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-c", HELD, str(tmp_path)))
    async with asyncio.timeout(60):
        assert await process.wait() == 4
