"""The Temporal server as a child process: it comes up, keeps its data, and never outlives who started it."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx2
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from orchestrator.commandline.server.ports import free_port
from orchestrator.commandline.server.temporal_ui import hidden_host
from orchestrator.domain.errors import Misconfigured, Unavailable
from orchestrator.engine import child
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.data_lock import Holder
from orchestrator.engine.devserver import DevServer, UiAddress
from orchestrator.engine.file_lock import FileLock
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.namespace import create_namespace, ensure_namespace
from orchestrator.engine.server_binary import ServerBinary, locate
from orchestrator.engine.server_files import search_attributes
from tests.storage.rows import job_input

ROOT = Path(__file__).parents[2]
STARTER = """
import asyncio, os, sys
from pathlib import Path
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate

async def main():
    server = DevServer(await locate(os.environ), Path(sys.argv[1]), port=0)
    await server.start()
    print("ready", server.address, flush=True)
    await server.wait()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
async def binary() -> ServerBinary:
    return await locate(os.environ, out=io.StringIO())


@pytest.fixture
async def server(binary: ServerBinary, tmp_path: Path) -> AsyncIterator[DevServer]:
    async with DevServer(binary, tmp_path, port=0) as running:
        yield running


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.05)


def answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def described(client: Client) -> tuple[timedelta, set[str]]:
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    attributes = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return namespace.config.workflow_execution_retention_ttl.ToTimedelta(), set(attributes.custom_attributes)


async def test_a_restart_on_the_same_file_keeps_retention_and_attributes(binary: ServerBinary, tmp_path: Path) -> None:
    server = DevServer(binary, tmp_path, port=0)
    wanted = (timedelta(days=30), set(search_attributes()))
    async with server:
        client = await Client.connect(server.address)
        await ensure_namespace(client, retention_days=30, attributes=search_attributes())
        await ensure_namespace(client, retention_days=30, attributes=search_attributes())
        assert await described(client) == wanted
    assert (tmp_path / f"temporal-{binary.server_version}.sqlite3").exists()
    assert not answers(server.address)
    async with server:
        assert await described(await Client.connect(server.address)) == wanted


async def test_a_missing_namespace_is_made_on_request_by_two_starters_at_once(server: DevServer) -> None:
    clients = [await Client.connect(server.address, namespace="fresh", lazy=True) for _ in range(2)]
    with pytest.raises(Misconfigured) as caught:
        await ensure_namespace(clients[0], retention_days=7, attributes=search_attributes())
    assert f"Temporal at {server.address} has no namespace 'fresh'." in caught.value.for_operators
    await asyncio.gather(*(create_namespace(client, retention_days=7) for client in clients))
    await asyncio.gather(
        *(ensure_namespace(client, retention_days=7, attributes=search_attributes()) for client in clients)
    )
    assert await described(clients[0]) == (timedelta(days=7), set(search_attributes()))


async def test_a_job_starts_where_no_worker_has_prepared_the_namespace(server: DevServer) -> None:
    options = {**connect_options(address=server.address), "namespace": "fresh"}
    client = await connect(options, lazy=True)
    await create_namespace(client, retention_days=30)
    prepare = partial(ensure_namespace, client, retention_days=30, attributes=search_attributes())
    gateway = TemporalGateway(client, "nobody", prepare=prepare)
    assert await gateway.start(job_input())
    assert await described(client) == (timedelta(days=30), set(search_attributes()))


async def test_a_new_server_accepts_our_search_attributes_at_once(server: DevServer) -> None:
    client = await connect(connect_options(address=server.address), lazy=True)

    async def prepare() -> None:
        pytest.fail("the namespace lacks the search attributes")

    assert await TemporalGateway(client, "nobody", prepare=prepare).start(job_input())


def listening(pid: int) -> set[tuple[str, int]]:
    """Where a process listens, by Linux's own account."""
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found: set[tuple[str, int]] = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in sockets:
            host, port = local.split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_strangers_host_name_gets_no_jobs_from_any_port_that_can_be_guessed(
    binary: ServerBinary, tmp_path: Path
) -> None:
    hidden = UiAddress(hidden_host(), free_port())
    async with (
        DevServer(binary, tmp_path, port=0, ui=hidden, in_memory=True) as running,
        httpx2.AsyncClient(trust_env=False, timeout=5) as http,
    ):
        await until(lambda: answers(f"{hidden.host}:{hidden.port}"))
        assert running.pid is not None
        found = listening(running.pid)
        assert (hidden.host, hidden.port) in found
        read = []
        for name in ("evil.example", "localhost"):
            for host, port in found - {(hidden.host, hidden.port)}:
                with contextlib.suppress(httpx2.TransportError):  # it speaks no HTTP
                    url = f"http://{host}:{port}/api/v1/namespaces"
                    answer = await http.get(url, headers={"Host": name})
                    read += [name] if answer.status_code == 200 and "namespaces" in answer.text else []
        assert read == ["localhost"]  # Temporal's own HTTP API, which a stranger's name does not open
    assert {name for name in os.listdir(tmp_path) if "sqlite3" in name} == set()


async def test_an_attribute_of_another_type_is_reported(server: DevServer) -> None:
    client = await Client.connect(server.address)
    await ensure_namespace(client, retention_days=30, attributes={"Priority": "Int"})
    with pytest.raises(Unavailable, match="Priority"):
        await ensure_namespace(client, retention_days=30, attributes={"Priority": "Keyword"})


async def test_the_server_dies_with_a_starter_that_is_killed(binary: ServerBinary, tmp_path: Path) -> None:
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    try:
        await starter.stdout.readuntil(b"ready ")
        address = (await starter.stdout.readline()).decode().strip()
        assert answers(address)
    finally:
        starter.kill()
        await starter.wait()
    await until(lambda: not answers(address))
    port = int(address.rpartition(":")[2])
    async with DevServer(binary, tmp_path, port=port) as again:
        assert again.address == address


async def test_a_build_dies_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    go, building = tmp_path / "go", tmp_path / "building"
    go.write_text(f"#!/bin/sh\necho $$ > {building}.new; mv {building}.new {building}; exec sleep 600\n")
    go.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HTTPS_PROXY": "http://127.0.0.1:1",  # no download
    }
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.engine.server_binary"), env=environment, cwd=ROOT
    )
    try:
        await until(building.exists)
    finally:
        starter.kill()
        await starter.wait()
    await until(lambda: not lives(int(building.read_text())))


async def test_a_crashed_server_is_reported_and_started_again(server: DevServer) -> None:
    address, pid = server.address, server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    await server.start()
    assert server.address == address
    assert answers(address)


async def test_a_taken_port_names_the_flag(binary: ServerBinary, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"port {port} .* --temporal-port"):
            await DevServer(binary, tmp_path, port=port, port_flag="--temporal-port").start()
    assert FileLock(tmp_path / "temporal.lock").acquire()


async def test_a_second_live_start_on_the_directory_is_refused(
    server: DevServer, binary: ServerBinary, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=rf"in use by process {os.getpid()} .*--data-dir"):
        await DevServer(binary, tmp_path, port=0).start()
    assert answers(server.address)


async def test_a_leftover_server_of_a_dead_starter_gives_way(binary: ServerBinary, tmp_path: Path) -> None:
    """Where the kernel cannot tie the server to its starter, the next start ends it."""
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    lock = FileLock(tmp_path / "temporal.lock")
    assert lock.acquire()
    leftover = await asyncio.create_subprocess_exec("sleep", "600", pass_fds=(lock.fileno,))
    lock.write(Holder(starter=dead.pid, server=leftover.pid, port=1).model_dump_json())
    lock.release()
    async with DevServer(binary, tmp_path, port=0) as running:
        assert answers(running.address)
    assert await leftover.wait() == -signal.SIGKILL


async def test_a_first_start_that_was_cut_short_is_begun_again(binary: ServerBinary, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / f"temporal-{binary.server_version}.sqlite3") as unfinished:
        unfinished.execute("CREATE TABLE half (id)")
    unfinished.close()
    async with DevServer(binary, tmp_path, port=0) as running:
        assert await described(await Client.connect(running.address))


async def test_a_server_that_does_not_come_up_shows_its_log(tmp_path: Path) -> None:
    broken = DevServer(ServerBinary(Path("/bin/ls"), "0"), tmp_path, port=0)
    with pytest.raises(Unavailable, match=r"(?s)ended with code 2; its log .*temporal.log ends with:.*ls: "):
        await broken.start()
    assert FileLock(tmp_path / "temporal.lock").acquire()


async def test_without_prctl_a_pipe_ties_the_command_to_its_starter(tmp_path: Path) -> None:
    """The way of systems other than Linux, seen through a lock that the command holds while it lives."""
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    launcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", child.__file__, "pipe", str(os.getpid()), "/bin/sleep", "600"),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=(lock.fileno,),
    )
    lock.release()
    assert not FileLock(tmp_path / "lock").acquire()
    assert launcher.stdin is not None
    launcher.stdin.close()
    await until(FileLock(tmp_path / "lock").acquire)
    assert await launcher.wait() == 128 + signal.SIGKILL
