"""The end of what a program writes to its standard error: it says why the program ended."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TextIO

_BYTES: Final = 4096
_SECONDS: Final = 1.0


class _Tail(asyncio.Protocol):
    """Keeps the end of what it reads."""

    def __init__(self) -> None:
        self.tail = b""
        self.over = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()


class LastWords:
    """What one program wrote last. `file` is its standard error."""

    def __init__(self, file: TextIO, tail: _Tail) -> None:
        self.file = file
        self._tail = tail

    async def text(self) -> str:
        """The end of what it wrote, on one line. Waits a moment for what a program that has ended wrote last."""
        self.file.close()
        try:
            async with asyncio.timeout(_SECONDS):
                await self._tail.over.wait()
        except TimeoutError:  # The program runs.
            pass
        return " ".join(self._tail.tail.decode(errors="replace").split())


@asynccontextmanager
async def last_words() -> AsyncIterator[LastWords]:
    """The standard error of a program that is about to start. However much it writes, only the end is kept."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        transport, tail = await asyncio.get_running_loop().connect_read_pipe(_Tail, os.fdopen(reading, "rb"))
        try:
            yield LastWords(file, tail)
        finally:
            transport.close()
