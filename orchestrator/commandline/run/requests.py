"""Runs the requests of one command with a client of the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.commandline.run.client import ApiClient, NoAnswer
from orchestrator.commandline.terminal.exits import FAILED, INTERRUPTED, Refused

C = TypeVar("C", bound=ApiClient)
T = TypeVar("T")


def with_client(client: C, request: Callable[[C], Awaitable[T]], interrupted: str = "interrupted") -> T:
    """The result of a request; the client is closed then. Raises `Refused`."""

    async def work() -> T:
        try:
            return await request(client)
        finally:
            await client.aclose()

    try:
        return asyncio.run(work())
    except NoAnswer as fault:
        raise Refused(str(fault), FAILED) from fault
    except KeyboardInterrupt:
        raise Refused(interrupted, INTERRUPTED) from None
