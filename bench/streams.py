"""Many readers of event streams on one API process: completeness of events, and memory."""

import asyncio
import json
from typing import Any, Final

from bench.connection import Connection
from bench.figures import Figure, at_least, at_most
from bench.prepared import event_ids, waiting_and_ended
from bench.processes import memory
from bench.scaled import Scaled

READERS: Final = 500
EACH: Final = 10


async def measure(at: Scaled) -> list[Figure]:
    """500 readers on 20 jobs. The open jobs continue after all readers listen."""
    port, key = at.port, at.key
    http = Connection(port, key)
    waiting, ended = await waiting_and_ended(http, EACH)
    jobs = [*waiting, *ended]
    listening = asyncio.Semaphore(0)
    readers = [asyncio.create_task(_read(port, key, jobs[number % len(jobs)], listening)) for number in range(READERS)]
    for _ in readers:
        await listening.acquire()
    resident = await memory(at.api.pid)
    for job_id in waiting:
        await http.call("POST", f"/v1/jobs/{job_id}/approve")
    received = await asyncio.gather(*readers)
    resident = max(resident, await memory(at.api.pid))
    expected = {job_id: await event_ids(http, job_id) for job_id in jobs}
    await http.close()
    complete = sum(ids == expected[job_id] for job_id, ids in received)
    return [
        at_least(f"{READERS} event streams on {len(jobs)} jobs, with every event", READERS, complete, "streams"),
        at_most("  API process, resident", 300, resident, "MB"),
    ]


async def _read(port: int, key: str, job_id: str, listening: asyncio.Semaphore) -> tuple[str, list[str]]:
    """The ids of a job's events. `listening` is released after all events so far."""
    ids: list[str] = []
    is_listening = False
    connection = Connection(port, key)
    async for name, data in connection.events(f"/v1/jobs/{job_id}/events"):
        body: dict[str, Any] = json.loads(data)
        if name != "snapshot" and "id" in body:
            ids.append(body["id"])
        if not is_listening and (name in ("job_completed", "job_failed") or body.get("name") == "step.waiting"):
            is_listening = True
            listening.release()
    await connection.close()
    return job_id, ids
