"""Many waiting jobs at rest: the processor time of all processes, without any request."""

import asyncio
from functools import partial
from typing import Final

from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_most
from bench.jobs import started
from bench.load import per_second
from bench.plugin import WAIT
from bench.prepared import waits
from bench.programs import ProcessorTime, resident

_LANES: Final = 8
_SETTLE: Final = 10.0


async def measure(at: Embedded) -> list[Figure]:
    """Percent of a core, over a minute."""
    jobs, seconds = (200, 20) if at.quick else (1000, 60)
    connections = [Connection(at.port, at.key) for _ in range(_LANES)]
    ids: list[str] = []

    async def start(connection: Connection) -> None:
        ids.append(await started(connection, WAIT))

    await per_second([partial(start, connection) for connection in connections], jobs)
    for job_id in ids:
        await waits(connections[0], job_id)
    for connection in connections:
        await connection.close()
    await asyncio.sleep(_SETTLE)
    used, temporal = ProcessorTime([at.dev.pid]), ProcessorTime([at.temporal])
    await asyncio.sleep(seconds)
    share = used.seconds() / seconds * 100
    note = f"{temporal.seconds() / seconds * 100:.1f} % in Temporal"
    memory = f"Temporal {resident(at.temporal):.0f} MB"
    return [
        at_most(f"{jobs} waiting jobs at rest, all processes", 5, share, "% of a core", note),
        Figure("  the product with API and worker, resident", resident(at.dev.pid), "MB", note=memory),
    ]
