"""The download of Temporal's released server, from an HTTP server of the test: what is accepted, what is refused."""

import asyncio
import hashlib
import io
import os
import platform
import re
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.engine import server_release
from orchestrator.engine.server_binary import inspect
from orchestrator.engine.server_release import CHECKSUMS, CLI_VERSION, download

MACHINE = "linux_amd64"
NAME = f"temporal_cli_{CLI_VERSION}_{MACHINE}.tar.gz"
SCRIPT = b"#!/bin/sh\necho 'temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)'\n"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def archive(name: str = "temporal") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as files:
        member = tarfile.TarInfo(name)
        member.size = len(SCRIPT)
        files.addfile(member, io.BytesIO(SCRIPT))
    return file.getvalue()


def response(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return answer


@pytest.fixture(autouse=True)
def _on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "temporal"


@asynccontextmanager
async def releases(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer], checksum: str) -> AsyncIterator[None]:
    """Where the releases lie for one test: a path that is asked for gets its answer, then the connection ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        await answers[request.split()[1].decode()](writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(server_release, "RELEASES", f"http://127.0.0.1:{port}")
    monkeypatch.setitem(CHECKSUMS, MACHINE, checksum)
    try:
        yield
    finally:
        server.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def released(answer: Answer) -> dict[str, Answer]:
    return {f"/v{CLI_VERSION}/{NAME}": answer}


def test_every_machine_that_has_a_release_has_a_checksum() -> None:
    assert set(CHECKSUMS) == {"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"}
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in CHECKSUMS.values())


async def test_the_release_becomes_an_executable_server(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    moved = response(b"", "302 Found", "Location: /stored")
    answers = {**released(moved), "/stored": response(archive())}
    out = io.StringIO()
    async with releases(monkeypatch, answers, sha256(archive())):
        await download(target, out)
    assert (await inspect(target)).server_version == "1.31.2"
    assert os.listdir(target.parent) == ["temporal"]
    assert out.getvalue().startswith(f"Downloading Temporal's server {CLI_VERSION} from http://127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (response(archive("other")), r"has the SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}; the download was deleted"),
        (response(archive()[:-9]), "has the SHA-256"),
        (response(archive(), length=100_000), "closed connection|incomplete"),
        (response(b"gone", "404 Not Found"), "answered 404"),
    ],
)
async def test_another_content_than_the_released_one_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, target: Path, answer: Answer, message: str
) -> None:
    async with releases(monkeypatch, released(answer), sha256(archive())):
        with pytest.raises(Unavailable, match=message):
            await download(target, io.StringIO())
    assert os.listdir(target.parent) == []


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(server_release, "_SIZE_LIMIT", 100)
    async with releases(monkeypatch, released(response(archive())), sha256(archive())):
        with pytest.raises(Unavailable, match="is larger than"):
            await download(target, io.StringIO())
    assert os.listdir(target.parent) == []


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(server_release, "CONNECT_SECONDS", 0.1)
    asked, over = asyncio.Event(), asyncio.Event()

    async def silence(_writer: asyncio.StreamWriter) -> None:
        asked.set()
        await over.wait()

    async with releases(monkeypatch, released(silence), sha256(archive())):
        with pytest.raises(Unavailable, match="did not answer within"):
            await download(target, io.StringIO())
        over.set()
    assert asked.is_set()


async def test_a_refused_connection_is_named(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    async with releases(monkeypatch, {}, sha256(archive())):
        pass
    with pytest.raises(Unavailable, match=rf"{NAME}: .*"):
        await download(target, io.StringIO())


async def test_a_machine_without_a_release_is_named(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(Unavailable, match="no release for linux_riscv64"):
        await download(target, io.StringIO())
