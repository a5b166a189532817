"""A small HTTP client, whose own cost must not affect the figures."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic_core import from_json, to_json

from bench.processes import BenchFailed

_LIMIT: Final = 4 * 1024 * 1024


class Connection:
    """One kept-alive connection to the API."""

    def __init__(self, port: int, api_key: str) -> None:
        self._port = port
        self._headers = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {api_key}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the JSON response. Raises `BenchFailed` for any status but 200, 201 and 202."""
        reader = await self._send(method, path, body)
        headers = await self._head(reader, method, path)
        return from_json(await reader.readexactly(int(headers["content-length"])))

    async def events(self, path: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield name and data of each server-sent event. A stream has its own connection."""
        reader = await self._send("GET", path, None, "Accept: text/event-stream\r\n")
        await self._head(reader, "GET", path)
        name = ""
        while size := int(await reader.readline() or b"0", 16):
            for line in (await reader.readexactly(size)).splitlines():
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: "):
                    yield name, line[6:]
            await reader.readline()
        await reader.readline()

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _send(self, method: str, path: str, body: Any, more: str = "") -> asyncio.StreamReader:
        if self._streams is None or self._streams[0].at_eof():  # The server closes idle connections.
            await self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_LIMIT)
        reader, writer = self._streams
        data = b"" if body is None else to_json(body)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self._headers}{more}{kind}\r\n".encode() + data)
        return reader

    async def _head(self, reader: asyncio.StreamReader, method: str, path: str) -> dict[str, str]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(head[0].split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if status not in (200, 201, 202):
            text = (await reader.readexactly(int(headers.get("content-length", 0)))).decode(errors="replace")
            raise BenchFailed(f"{method} {path} answered {status}: {text[:500]}")
        return headers
