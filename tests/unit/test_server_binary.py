"""Where the Temporal server comes from: order of the sources, refusals, and what the error says."""

import asyncio
import io
import re
import stat
from pathlib import Path

import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.engine import server_release
from orchestrator.engine.server_binary import cache_directory, inspect, locate
from orchestrator.engine.server_files import DEVSERVER_MODULE, server_file
from orchestrator.engine.server_release import CLI_VERSION

GOOD = "temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)"


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with an empty path, an empty cache and no network."""

    async def no_network(target: Path, out: io.StringIO) -> None:
        raise Unavailable("no network")

    monkeypatch.setattr(server_release, "download", no_network)
    path = tmp_path / "bin"
    path.mkdir()
    return {"PATH": str(path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_the_version_is_the_one_that_the_go_module_pins() -> None:
    module = (server_file(DEVSERVER_MODULE) / "go.mod").read_text()
    pinned = re.search(r"github.com/temporalio/cli v(\S+)", module)
    assert pinned is not None
    assert pinned[1] == CLI_VERSION


def test_the_cache_is_below_xdg_or_home() -> None:
    name = Path("orchestrator") / f"temporal-{CLI_VERSION}"
    assert cache_directory({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x") / name
    assert cache_directory({"HOME": "/h"}) == Path("/h/.cache") / name


async def test_a_binary_reports_its_server_version(tmp_path: Path) -> None:
    binary = await inspect(executable(tmp_path / "temporal", f"echo '{GOOD}'"))
    assert binary.server_version == "1.31.2"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'temporal version 1.0.0 (Server 1.24.2, UI 2.28.0)'", "older than 1.31"),
        ("echo hello", "printed no server version"),
        (f"echo '{GOOD}'; exit 3", "code 3"),
    ],
)
async def test_a_binary_that_does_not_fit_is_refused(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(Unavailable, match=says):
        await inspect(executable(tmp_path / "temporal", script))


async def test_a_damaged_binary_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "temporal"
    damaged.write_bytes(b"\x7fELF")
    damaged.chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be run"):
        await inspect(damaged)


async def test_the_path_comes_before_the_cache(environ: dict[str, str]) -> None:
    on_path = executable(Path(environ["PATH"]) / "temporal", f"echo '{GOOD}'")
    executable(cache_directory(environ) / "temporal", f"echo '{GOOD}'")
    assert (await locate(environ, out=io.StringIO())).path == on_path


async def test_an_old_one_on_the_path_is_passed_over(environ: dict[str, str]) -> None:
    executable(Path(environ["PATH"]) / "temporal", "echo 'temporal version 1.0.0 (Server 1.24.2, UI 2.28.0)'")
    cached = executable(cache_directory(environ) / "temporal", f"echo '{GOOD}'")
    assert (await locate(environ, out=io.StringIO())).path == cached


async def test_an_explicit_path_is_the_only_one_asked(environ: dict[str, str], tmp_path: Path) -> None:
    executable(Path(environ["PATH"]) / "temporal", f"echo '{GOOD}'")
    with pytest.raises(Unavailable, match=r"nowhere.*cannot be run"):
        await locate(environ, explicit=tmp_path / "nowhere", out=io.StringIO())


async def test_two_processes_build_once_and_the_build_is_announced(environ: dict[str, str], tmp_path: Path) -> None:
    """Two callers at once stand for two processes: a `flock` excludes by open file, not by process."""
    builds = tmp_path / "builds"
    while_building = f'echo built >> {builds}; for last; do :; done; shift $(($# - 2)); /bin/cp {tmp_path}/made "$1"'
    executable(Path(environ["PATH"]) / "go", while_building)
    executable(tmp_path / "made", f"echo '{GOOD}'")
    first, second = io.StringIO(), io.StringIO()

    found = await asyncio.gather(locate(environ, out=first), locate(environ, out=second))

    assert {binary.path for binary in found} == {cache_directory(environ) / "temporal"}
    assert builds.read_text() == "built\n"
    assert "Building the Temporal server" in first.getvalue() + second.getvalue()
    assert "waiting for it" in first.getvalue() + second.getvalue()


async def test_a_failed_build_leaves_no_binary_and_shows_its_last_lines(environ: dict[str, str]) -> None:
    executable(Path(environ["PATH"]) / "go", "echo 'go: no such module' >&2; exit 1")
    with pytest.raises(Unavailable, match="go: no such module"):
        await locate(environ, out=io.StringIO())
    assert not (cache_directory(environ) / "temporal").exists()


async def test_the_release_comes_before_the_build(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def release(target: Path, out: io.StringIO) -> None:
        executable(target, f"echo '{GOOD}'")

    monkeypatch.setattr(server_release, "download", release)
    executable(Path(environ["PATH"]) / "go", "exit 1")
    assert (await locate(environ, out=io.StringIO())).path == cache_directory(environ) / "temporal"


async def test_the_error_names_every_source_in_its_order_and_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(Unavailable) as raised:
        await locate(environ, out=io.StringIO())
    cached = cache_directory(environ) / "temporal"
    assert raised.value.message.splitlines() == [
        "No Temporal server was found, downloaded or built. Tried:",
        "  configured address: TEMPORAL_ADDRESS is not set",
        "  `temporal` on the path: not found",
        f"  cache: {cached} cannot be run: No such file or directory",
        "  Temporal's release: no network",
        "  build with Go: Go is not installed",
        "Do one of these:",
        "  name a running server: TEMPORAL_ADDRESS=host:port",
        "  put Temporal's own `temporal` command (server 1.31 or newer) on the path",
        "  allow this machine to download from github.com, through the proxy in HTTPS_PROXY if it needs one",
        "  install Go 1.26.4 or newer",
    ]


async def test_a_cache_that_cannot_be_written_is_reported(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written"):
        await locate({**environ, "XDG_CACHE_HOME": str(tmp_path / "file")}, out=io.StringIO())
