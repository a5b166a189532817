"""Runs the Temporal development server as a child process that ends with this one."""

import asyncio
import json
import socket
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog
from temporalio.service import ConnectConfig, RPCError, ServiceClient

from orchestrator.domain.errors import Unavailable
from orchestrator.engine import child, data_lock
from orchestrator.engine.file_lock import FileLock
from orchestrator.engine.server_binary import ServerBinary
from orchestrator.engine.server_files import dynamic_config, search_attributes
from orchestrator.network.loopback import HOST_NAMES
from orchestrator.security.data_files import make_private

log = structlog.get_logger(__name__)

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_POLL: Final = 0.1
_TAIL_LINES: Final = 20
_LOG_LIMIT: Final = 10 * 1024 * 1024
# The server's HTTP API, on its own port, accepts requests to names of this machine only.
_OWN_HOSTS: Final = {"frontend.httpAllowedHosts": [pattern for name in HOST_NAMES for pattern in (name, f"{name}:*")]}
_PRAGMAS: Final = {"journal_mode": "WAL", "synchronous": "NORMAL", "busy_timeout": "5000"}


@dataclass(frozen=True, slots=True)
class UiAddress:
    """The address on which the web UI listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL of the web UI."""
        return f"http://{self.host}:{self.port}"


class DevServer:
    """One Temporal server on one data directory. Use it as an async context manager, or with `start` and `stop`.

    `port` 0 selects a free port and keeps it over restarts. `ui` None switches off the web UI, which accepts any host
    name. `in_memory` stores nothing on disk. `settings` are added to those of `temporal/dynamicconfig.yaml`.
    `port_flag` is the option that the error about a taken port names. On Linux the server ends with the thread that
    started it: start it from a thread that lasts.
    """

    def __init__(
        self,
        binary: ServerBinary,
        data_dir: Path,
        *,
        port: int = 7233,
        ui: UiAddress | None = None,
        namespace: str = "default",
        in_memory: bool = False,
        log_file: Path | None = None,
        settings: Mapping[str, bool | int | float | str] | None = None,
        port_flag: str = "--port",
    ) -> None:
        self._binary = binary
        self._data_dir = data_dir.absolute()
        self._port = port
        self._ui = ui
        self._namespace = namespace
        self._database = None if in_memory else self._data_dir / f"temporal-{binary.server_version}.sqlite3"
        self._log_file = (log_file or self._data_dir / "temporal.log").absolute()
        self._settings = dynamic_config() | _OWN_HOSTS | dict(settings or {})
        self._port_flag = port_flag
        self._lock = FileLock(self._data_dir / "temporal.lock")
        self._process: asyncio.subprocess.Process | None = None
        self._log_offset = 0
        self._answered = False

    @property
    def address(self) -> str:
        """`host:port` to connect to."""
        return f"{HOST}:{self._port}"

    @property
    def ui_url(self) -> str:
        """The URL of the web UI, or an empty text without one."""
        return self._ui.url if self._ui else ""

    @property
    def log_file(self) -> Path:
        """The path of the server's log."""
        return self._log_file

    @property
    def pid(self) -> int | None:
        """The process id, or None while the server does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def begin(self) -> None:
        """Start the server without waiting for it. If something is in its way, do nothing: `start` reports it."""
        with suppress(Unavailable, OSError):
            if self.pid is None and self._lock.acquire():
                await self._started()

    async def start(self) -> None:
        """Start the server and wait until it answers its health check. Call it again to restart after a crash.

        Raises `Unavailable` if a port or the data directory is in use, or the server does not start.
        """
        if self.pid is None:
            await data_lock.acquire(self._lock, self._data_dir)
            await self._started()
        if self._answered:
            return
        try:
            await self._until_healthy()
        except BaseException:
            await self.stop()
            raise
        self._answered = True
        log.info("temporal_server_started", address=self.address, version=self._binary.server_version)

    async def stop(self) -> None:
        """Stop the server: it may shut down for 10 s, then it is killed. Does nothing if it does not run."""
        process = self._process
        try:
            if process is not None and process.returncode is None:
                process.terminate()
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
        except TimeoutError:
            log.warning("temporal_server_killed", pid=process.pid if process else None)
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
            self._lock.release()

    async def wait(self) -> int:
        """Wait for the end of the server, and return its exit code, negative for a signal.

        Raises `Unavailable` if the server was not started.
        """
        if self._process is None:
            raise Unavailable("the Temporal server was not started")
        return await self._process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _started(self) -> None:
        """Start the process. Needs the lock, and releases it after an error."""
        try:
            self._check_ports()
            self._check_database()
            await self._spawn()
        except BaseException:
            await self.stop()
            raise

    async def _spawn(self) -> None:
        self._answered = False
        self._log_offset = self._rotated_log_size()
        make_private(self._log_file)
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *child.tied_command(*self._command()),
                stdin=asyncio.subprocess.DEVNULL if sys.platform == "linux" else asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock.fileno,),
                cwd=self._data_dir,
                start_new_session=True,  # Ctrl-C in a terminal reaches only this process, which stops the server last.
            )
        data_lock.record(self._lock, server=self._process.pid, port=self._port)

    async def _until_healthy(self) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._healthy():
                    if self._process is not None and self._process.returncode is not None:
                        raise self._failure(f"ended with code {self._process.returncode}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise self._failure(f"did not answer within {_START_SECONDS:.0f} s") from None

    def _command(self) -> list[str]:
        flags = [
            str(self._binary.path.absolute()),
            "server",
            "start-dev",
            "--disable-config-env",
            "--disable-config-file",
        ]
        flags += ["--ip", HOST, "--port", str(self._port), "--namespace", self._namespace, "--log-level", "warn"]
        if self._ui is None:
            flags.append("--headless")
        else:
            flags += ["--ui-ip", self._ui.host, "--ui-port", str(self._ui.port), "--ui-disable-news-fetch"]
        if self._database is not None:
            flags += [
                "--db-filename",
                self._database.name,
            ]  # Not the whole path: the server puts it into a URI without escapes.
            flags += [part for pragma, value in _PRAGMAS.items() for part in ("--sqlite-pragma", f"{pragma}={value}")]
        # For a new namespace: attributes that are added later are refused until the server renews its copy.
        for name, kind in search_attributes().items():
            flags += ["--search-attribute", f"{name}={kind}"]
        for key, value in self._settings.items():
            flags += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
        return flags

    async def _healthy(self) -> bool:
        try:
            service = await ServiceClient.connect(
                ConnectConfig(target_host=self.address, connect_timeout=timedelta(seconds=2))
            )
            return await service.check_health(timeout=timedelta(seconds=2))
        except (RPCError, RuntimeError):  # The SDK raises RuntimeError if it cannot connect.
            return False

    def _failure(self, problem: str) -> Unavailable:
        with self._log_file.open("rb") as output:
            output.seek(self._log_offset)
            lines = output.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return Unavailable("\n".join([f"the Temporal server {problem}; its log {self._log_file} ends with:", *lines]))

    def _rotated_log_size(self) -> int:
        """The bytes already in the log. A large log is renamed first."""
        size = self._log_file.stat().st_size if self._log_file.exists() else 0
        if size < _LOG_LIMIT:
            return size
        self._log_file.replace(self._log_file.with_suffix(".previous.log"))
        return 0

    def _check_ports(self) -> None:
        if self._port == 0:
            self._port = _free_port()
        if not _is_free(self._port):
            raise Unavailable(f"port {self._port} on {HOST} is taken; choose another with {self._port_flag}")

    def _check_database(self) -> None:
        """Delete a database whose first start was interrupted, and log the databases of other versions."""
        if self._database is None:
            return
        if not self._database.exists():
            others = sorted(path.name for path in self._data_dir.glob("temporal-*.sqlite3"))
            if others:
                log.warning("temporal_database_of_another_version", found=others, starts_empty=self._database.name)
        elif not _has_namespace(self._database):
            log.warning("unfinished_temporal_database_removed", file=str(self._database))
            for suffix in ("", "-wal", "-shm"):
                self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)


def _has_namespace(database: Path) -> bool:
    """Whether the server finished to set up a database: namespaces come last, and no job can exist before them."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'namespaces'").fetchone()
            return bool(tables) and connection.execute("SELECT 1 FROM namespaces LIMIT 1").fetchone() is not None
    except sqlite3.DatabaseError as fault:
        raise Unavailable(
            f"{database} cannot be read ({fault}); move it away to start with an empty database"
        ) from fault


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
