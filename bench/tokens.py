"""One agent call that streams 4,000 tokens: processor time of the product with and without readers."""

import asyncio
from statistics import median
from typing import Final

from bench.agent_names import TOKENS
from bench.agents import run_job
from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_most
from bench.jobs import started
from bench.plugin import TEXT
from bench.prepared import completed
from bench.processes import BenchFailed
from bench.programs import ProcessorTime

READERS: Final = 20


async def measure(at: Embedded) -> list[Figure]:
    """The same call in turns. The readers are not part of the processor time."""
    http = Connection(at.port, at.key)
    alone, followed = [], []
    frames = 0.0
    for _ in range(1 if at.quick else 3):
        used = ProcessorTime([at.dev.pid])
        await run_job(http, TEXT, {})
        alone.append(used.seconds())
        used = ProcessorTime([at.dev.pid])
        frames = await _followed(at, http)
        followed.append(used.seconds())
    await http.close()
    note = f"{median(followed):.2f} ÷ {median(alone):.2f} s; {frames:.0f} frames for each reader"
    name = f"a call that streams {TOKENS} tokens, processor time with {READERS} readers ÷ without"
    return [at_most(name, 2, median(followed) / median(alone), "×", note)]


async def _followed(at: Embedded, http: Connection) -> float:
    """Run the job with readers. Returns the number of frames that each got."""
    job_id = await started(http, TEXT)
    readers = [Connection(at.port, at.key) for _ in range(READERS)]
    counts = await asyncio.gather(*(_frames(reader, job_id) for reader in readers))
    await completed(http, job_id)
    for reader in readers:
        await reader.close()
    return median(counts)


async def _frames(reader: Connection, job_id: str) -> int:
    names: list[str] = [name async for name, _ in reader.events(f"/v1/jobs/{job_id}/events")]
    if names[-1] != "job_completed":
        raise BenchFailed(f"a reader's last event is {names[-1]}, not job_completed")
    return len(names)
