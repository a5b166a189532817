"""Finds, downloads or builds the Temporal development server."""

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from orchestrator.domain.errors import Unavailable
from orchestrator.engine import child, server_release
from orchestrator.engine.file_lock import FileLock
from orchestrator.engine.server_files import DEVSERVER_MODULE, server_file
from orchestrator.engine.server_release import CLI_VERSION

MINIMUM_SERVER: Final = (1, 31)

_PACKAGE = "github.com/temporalio/cli/cmd/temporal"
_VERSION = re.compile(r"temporal version \S+ \(Server (\d+)\.(\d+)(\S*?)[,)]")
_ADVICE = """\
Do one of these:
  name a running server: TEMPORAL_ADDRESS=host:port
  put Temporal's own `temporal` command (server 1.31 or newer) on the path
  allow this machine to download from github.com, through the proxy in HTTPS_PROXY if it needs one
  install Go 1.26.4 or newer"""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A `temporal` executable and the version of its server."""

    path: Path
    server_version: str


def cache_directory(environ: Mapping[str, str]) -> Path:
    """The folder for the built or downloaded server of this version, below `XDG_CACHE_HOME` or `~/.cache`."""
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(root) / "orchestrator" / f"temporal-{CLI_VERSION}"


def _cached(environ: Mapping[str, str]) -> Path:
    return cache_directory(environ) / "temporal"


async def inspect(path: Path) -> ServerBinary:
    """Read the server version of an executable. Raises `Unavailable` if it is not a usable Temporal server."""
    path = _absolute(path)
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as fault:
        raise Unavailable(f"{path} cannot be run: {fault.strerror}") from fault
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    except TimeoutError as fault:
        raise Unavailable(f"{path} --version did not answer within 30 s") from fault
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    match = _VERSION.search(output.decode(errors="replace"))
    if process.returncode != 0 or match is None:
        raise Unavailable(f"{path} --version ended with code {process.returncode} and printed no server version")
    major, minor, rest = match.groups()
    if (int(major), int(minor)) < MINIMUM_SERVER:
        raise Unavailable(f"{path} has server {major}.{minor}{rest}, older than {'.'.join(map(str, MINIMUM_SERVER))}")
    return ServerBinary(path=path, server_version=f"{major}.{minor}{rest}")


async def found(environ: Mapping[str, str]) -> ServerBinary | None:
    """A usable server that is on this machine already: on the path, or in the cache."""
    with suppress(Unavailable):
        return await _on_path(environ)
    with suppress(Unavailable):
        return await inspect(_cached(environ))
    return None


async def locate(environ: Mapping[str, str], *, explicit: Path | None = None, out: TextIO = sys.stderr) -> ServerBinary:
    """Return a usable server: the `explicit` one, or one on the path, in the cache, from Temporal's release, or built.

    `environ` is the process environment. Progress goes to `out`. Raises `Unavailable`, which names every source that
    failed and what to do.
    """
    if explicit is not None:
        return await inspect(explicit)
    cached = _cached(environ)
    sources: list[tuple[str, Callable[[], Awaitable[ServerBinary]]]] = [
        ("`temporal` on the path", lambda: _on_path(environ)),
        ("cache", lambda: inspect(cached)),
        ("Temporal's release", lambda: _under_lock(cached, out, lambda: server_release.download(cached, out))),
        ("build with Go", lambda: _under_lock(cached, out, lambda: _build(cached, environ, out))),
    ]
    failures = (
        [] if environ.get("TEMPORAL_ADDRESS", "").strip() else ["  configured address: TEMPORAL_ADDRESS is not set"]
    )
    for name, source in sources:
        try:
            return await source()
        except Unavailable as fault:
            failures.append(f"  {name}: {fault.message}")
    raise Unavailable("\n".join(["No Temporal server was found, downloaded or built. Tried:", *failures, _ADVICE]))


async def _on_path(environ: Mapping[str, str]) -> ServerBinary:
    path = shutil.which("temporal", path=environ.get("PATH", ""))
    if path is None:
        raise Unavailable("not found")
    return await inspect(Path(path))


async def _under_lock(target: Path, out: TextIO, make: Callable[[], Awaitable[None]]) -> ServerBinary:
    """Download or build the cached server, unless another process has done so meanwhile."""
    lock = FileLock(target.with_name("build.lock"))
    try:
        is_waiting = False
        while not lock.acquire():
            if not is_waiting:
                _write(out, "Another process is downloading or building the Temporal server; waiting for it.\n")
            is_waiting = True
            await asyncio.sleep(0.5)
    except OSError as fault:
        raise Unavailable(f"{target.parent} cannot be written: {fault.strerror}") from fault
    try:
        with suppress(Unavailable):
            return await inspect(target)
        await make()
        return await inspect(target)
    finally:
        lock.release()


async def _build(target: Path, environ: Mapping[str, str], out: TextIO) -> None:
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise Unavailable("Go is not installed")
    partial, log = target.with_name("temporal.partial"), target.with_name("build.log")
    flags = f"-s -w -X github.com/temporalio/cli/internal/temporalcli.Version={CLI_VERSION}"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *child.tied_command(go, "build", "-trimpath", "-ldflags", flags, "-o", str(partial), _PACKAGE),
            cwd=server_file(DEVSERVER_MODULE),
            env={**environ, "CGO_ENABLED": "0"},
            stdin=asyncio.subprocess.DEVNULL if sys.platform == "linux" else asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            await _wait_with_progress(process, "Building the Temporal server with Go (once; takes a few minutes)", out)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        lines = log.read_text(errors="replace").splitlines()
        raise Unavailable(f"go build ended with code {process.returncode} ({log}): " + " | ".join(lines[-5:]))
    partial.replace(target)


async def _wait_with_progress(process: asyncio.subprocess.Process, label: str, out: TextIO) -> None:
    """Wait for a process, and show the elapsed seconds: in place on a terminal, else in a line every 15 s."""
    start, terminal = time.monotonic(), out.isatty()
    _write(out, label if terminal else f"{label}\n")
    task = asyncio.ensure_future(process.wait())
    while not (await asyncio.wait([task], timeout=1 if terminal else 15))[0]:
        elapsed = round(time.monotonic() - start)
        _write(out, f"\r{label}: {elapsed} s" if terminal else f"  still building, {elapsed} s\n")
    if terminal:
        _write(out, "\n")


def _absolute(path: Path) -> Path:
    return path.absolute()


def _write(out: TextIO, text: str) -> None:
    out.write(text)
    out.flush()


def main() -> None:
    """`python -m orchestrator.engine.server_binary`: provide a server and print its path."""
    try:
        line, code, stream = str(asyncio.run(locate(os.environ)).path), 0, sys.stdout
    except Unavailable as fault:
        line, code, stream = fault.message, 1, sys.stderr
    _write(stream, line + "\n")
    os._exit(code)


if __name__ == "__main__":
    main()
