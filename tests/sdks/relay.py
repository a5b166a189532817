"""A relay of whole connections, for sockets: it can cut the first ones after so many bytes of the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Relay:
    url: str = ""
    connections: int = 0


@asynccontextmanager
async def relay(upstream: str, *, cut_after: list[int]) -> AsyncIterator[Relay]:
    """A relay. Each connection takes the next number of `cut_after`; the others are not cut."""
    state = Relay()
    host, _, port = upstream.removeprefix("http://").partition(":")
    numbers = iter(cut_after)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        left = next(numbers, 2**62)
        theirs, ours = await asyncio.open_connection(host, int(port))
        sending = asyncio.create_task(_copy(reader, ours, 2**62))
        try:
            await _copy(theirs, writer, left)
        finally:
            sending.cancel()
            ours.close()
            writer.transport.abort()
            tasks.discard(task)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listening:
        state.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield state
        for task in tasks:
            task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
    while left > 0 and (piece := await reader.read(min(left, 4096))):
        left -= len(piece)
        writer.write(piece)
        await writer.drain()
