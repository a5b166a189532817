"""Tasks of workflow code."""

import asyncio
from collections.abc import Sequence
from typing import Any


async def stop(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel the running tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
