"""The servers of the peers: PostgreSQL from its own cluster, and the server of Prefect."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from bench.processes import BenchFailed, free_port

_READY_SECONDS = 120


@asynccontextmanager
async def postgres(folder: Path, logs: Path) -> AsyncIterator[tuple[int, str]]:
    """A new cluster in an empty folder, with PostgreSQL's own durability. Yields its process id and its URL."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("postgres") or "").parent]
    if not (programs[-1] / "initdb").exists():
        raise BenchFailed("PostgreSQL is not installed: DBOS needs it")
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL does not run as root, and reads no folder of root's.
        as_postgres = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    data, port = folder / "data", free_port()
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300"

    async def run(program: str, *arguments: str) -> None:
        log = (logs / f"{program}.log").open("wb")
        command = [*as_postgres, str(programs[-1] / program), "-D", str(data), *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=folder)
        if await process.wait():
            raise BenchFailed(f"`{program}` ended with code {process.returncode}")

    await run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8")
    await run("pg_ctl", "start", "-w", "-o", options)
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        yield pid, f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        await run("pg_ctl", "stop", "-w", "-m", "fast")


@asynccontextmanager
async def prefect_server(python: Path, folder: Path, database_url: str) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """Prefect's server on an empty database of PostgreSQL. Yields its process id and the environment of its clients.

    Its documentation recommends SQLite for light use only.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url.replace("postgresql:", "postgresql+asyncpg:"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    log = (folder / "server.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | environment,
    )
    try:
        async with asyncio.timeout(_READY_SECONDS), httpx2.AsyncClient(trust_env=False) as http:
            while not await _answers(http, f"{url}/health"):
                if process.returncode is not None:
                    raise BenchFailed(f"Prefect's server ended: {(folder / 'server.log').read_text()[-2000:]}")
                await asyncio.sleep(0.2)
        yield process.pid, environment
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx2.TransportError:
        return False
