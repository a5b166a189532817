"""Many waiting jobs at rest: the processor time of all processes, without any request."""

import asyncio
from functools import partial
from typing import Final, NamedTuple

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
_READ_PER_SECOND: Final = 5  # The reconciler reads each new job once, 50 in each pass of ten seconds.


async def measure(at: Embedded) -> list[Figure]:
    """Percent of a core: before the first job, then while the reconciler reads the new jobs, then over a minute."""
    jobs, seconds = (200, 20) if at.quick else (1000, 60)
    await asyncio.sleep(_SETTLE)  # A new process loads the libraries of models in the background.
    without = await _share(at, seconds)
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
    read = await _share(at, jobs / _READ_PER_SECOND)
    rest = await _share(at, seconds)
    memory = f"Temporal {resident(at.temporal):.0f} MB"
    return [
        at_most(f"{jobs} waiting jobs at rest, all processes", 5, rest.all, "% of a core", rest.note),
        Figure("  while the reconciler reads them once", read.all, "% of a core", note=read.note),
        Figure("  without jobs", without.all, "% of a core", note=without.note),
        Figure("  the product with API and worker, resident", resident(at.dev.pid), "MB", note=memory),
    ]


class _Share(NamedTuple):
    """Percent of a core, of all processes and of Temporal."""

    all: float
    temporal: float

    @property
    def note(self) -> str:
        """Temporal's part."""
        return f"{self.temporal:.1f} % in Temporal"


async def _share(at: Embedded, seconds: float) -> _Share:
    used, temporal = ProcessorTime([at.dev.pid]), ProcessorTime([at.temporal])
    await asyncio.sleep(seconds)
    return _Share(used.seconds() / seconds * 100, temporal.seconds() / seconds * 100)
