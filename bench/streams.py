"""Many readers of event streams on one API process: whether each gets every event, and what they take."""

import asyncio
import json
from typing import Any, Final

from bench.connection import Connection
from bench.figures import Figure, at_least, at_most
from bench.prepared import event_ids, waiting_and_ended
from bench.processes import Command, memory

READERS: Final = 500
EACH: Final = 10


async def measure(api: Command, *, port: int, key: str) -> list[Figure]:
    """500 readers, each on one of 20 jobs; those that are open go on once all readers listen."""
    http = Connection(port, key)
    waiting, ended = await waiting_and_ended(http, EACH)
    jobs = [*waiting, *ended]
    listening = asyncio.Semaphore(0)
    readers = [asyncio.create_task(_read(port, key, jobs[number % len(jobs)], listening)) for number in range(READERS)]
    for _ in readers:
        await listening.acquire()
    resident = await memory(api.pid)
    for job_id in waiting:
        await http.call("POST", f"/v1/jobs/{job_id}/approve")
    told = await asyncio.gather(*readers)
    resident = max(resident, await memory(api.pid))
    whole = {job_id: await event_ids(http, job_id) for job_id in jobs}
    await http.close()
    right = sum(ids == whole[job_id] for job_id, ids in told)
    return [
        at_least(f"{READERS} event streams on {len(jobs)} jobs, with every event", READERS, right, "streams"),
        at_most("  API process, resident", 300, resident, "MB"),
    ]


async def _read(port: int, key: str, job_id: str, listening: asyncio.Semaphore) -> tuple[str, list[str]]:
    """The ids of a job's events; `listening` is released once all that has happened so far was told."""
    ids: list[str] = []
    heard = False
    connection = Connection(port, key)
    async for name, data in connection.events(f"/v1/jobs/{job_id}/events"):
        body: dict[str, Any] = json.loads(data)
        if name != "snapshot" and "id" in body:
            ids.append(body["id"])
        if not heard and (name in ("job_completed", "job_failed") or body.get("name") == "step.waiting"):
            heard = True
            listening.release()
    await connection.close()
    return job_id, ids
