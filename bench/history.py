"""Status reads of an open job while its history grows."""

import asyncio
from functools import partial
from statistics import median
from typing import Final

from temporalio.client import Client

from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_most
from bench.jobs import started
from bench.load import one_at_a_time
from bench.plugin import WAIT
from bench.prepared import waits

EVENTS: Final = (10, 500, 5000)
_READS: Final = 100


async def measure(at: Embedded) -> list[Figure]:
    """The time of a read for each length. A reader follows the job; pauses and their ends make its history long."""
    http, follower = Connection(at.port, at.key), Connection(at.port, at.key)
    client = await Client.connect(at.address)
    job_id = await started(http, WAIT)
    await waits(http, job_id)
    following = asyncio.create_task(_follow(follower, job_id))
    times = []
    length = _Length(client, job_id)
    for events in EVENTS:
        while await length.now() < events:
            for signal in ("pause", "resume") * 5:
                await client.get_workflow_handle(job_id).signal(signal)
        await waits(http, job_id)
        read = partial(http.call, "GET", f"/v1/jobs/{job_id}")
        await one_at_a_time(read, 10)  # the first read is linear
        times.append(median(await one_at_a_time(read, _READS)))
    await http.call("POST", f"/v1/jobs/{job_id}/cancel")
    await following
    for connection in (http, follower):
        await connection.close()
    name = f"status read of a followed job, p50 with {EVENTS[-1]} events ÷ with {EVENTS[0]}"
    note = ", ".join(f"{events}: {time:.1f} ms" for events, time in zip(EVENTS, times, strict=True))
    return [at_most(name, 2, times[-1] / times[0], "×", note)]


class _Length:
    """The number of events of a job's history, over all its runs: a long job continues as a new run."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._handle = client.get_workflow_handle(job_id)
        self._lengths: dict[str, int] = {}

    async def now(self) -> int:
        run = await self._handle.describe()
        self._lengths[run.run_id] = run.history_length
        return sum(self._lengths.values())


async def _follow(connection: Connection, job_id: str) -> None:
    async for _ in connection.events(f"/v1/jobs/{job_id}/events"):
        pass
