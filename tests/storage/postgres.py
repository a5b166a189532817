"""A PostgreSQL server of the suite's own, from Debian's packages, on a free port of 127.0.0.1."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

_SETTINGS = "fsync=off synchronous_commit=off full_page_writes=off unix_socket_directories= listen_addresses=127.0.0.1"


class PostgresServer:
    """One cluster in a folder of its own; trust authentication, reachable from this machine only."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self.data = folder / "data"
        self._log = folder / "server.log"
        self.port = _free_port()
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in [*_SETTINGS.split(), f"port={self.port}"])
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(self._log), "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def freeze(self) -> None:
        """Stop it from answering: connections stay open, new ones are taken, nothing comes back."""
        os.kill(self.pid, signal.SIGSTOP)  # first, so that it makes no more processes
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        for pid in [*self._processes(), self.pid]:
            os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    @property
    def pid(self) -> int:
        """Process id of the server's first process."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def new_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"index_{uuid4().hex}"
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    @property
    def conninfo(self) -> str:
        """How the superuser connects."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=10"

    def _run(self, program: str, *arguments: str) -> None:
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_postgres, str(self._binaries / program), "-D", str(self.data), *arguments]
        # The server inherits the output of pg_ctl: a pipe would never end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False, cwd=self.data.parent)
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode()}"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A started server, gone with its files at the end. Skips where there is none; fails there when CI is set."""
    binaries = _binaries()
    if binaries is None:
        reason = "PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/postgres, no postgres on the path)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-postgres-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        server = PostgresServer(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
