"""Many WebSockets on one API process: completeness of events, delay, and memory."""

import asyncio
import json
import time
from typing import Any, Final

from websockets.asyncio.client import connect

from bench.connection import Connection
from bench.figures import Figure, at_least
from bench.prepared import event_ids, waiting_and_ended
from bench.processes import memory
from bench.scaled import Scaled

SOCKETS: Final = 500
EACH: Final = 10


async def measure(at: Scaled) -> list[Figure]:
    """500 sockets on 20 jobs. The open jobs continue after all sockets listen."""
    port, key = at.port, at.key
    http = Connection(port, key)
    waiting, ended = await waiting_and_ended(http, EACH)
    jobs = [*waiting, *ended]
    before = await memory(at.api.pid)
    listening, measured = asyncio.Semaphore(0), asyncio.Event()
    readers = [
        asyncio.create_task(_read(port, key, jobs[number % len(jobs)], listening, measured))
        for number in range(SOCKETS)
    ]
    for _ in readers:
        await listening.acquire()
    resident = await memory(at.api.pid)
    measured.set()
    start = time.perf_counter()
    for job_id in waiting:
        await http.call("POST", f"/v1/jobs/{job_id}/approve")
    received = await asyncio.gather(*readers)
    seconds = time.perf_counter() - start
    expected = {job_id: await event_ids(http, job_id) for job_id in jobs}
    complete = sum(ids == expected[job_id] for job_id, ids in received)
    await http.close()
    note = f"{before:.0f} MB before, {(resident - before) * 1024 / SOCKETS:.0f} KB each"
    return [
        at_least(f"{SOCKETS} WebSockets on {len(jobs)} jobs, with every event", SOCKETS, complete, "sockets"),
        Figure("  API process, resident", resident, "MB", note=note),
        Figure("  10 approvals → the end of the job at the last of 500 sockets", seconds, "s"),
    ]


async def _read(
    port: int, key: str, job_id: str, listening: asyncio.Semaphore, measured: asyncio.Event
) -> tuple[str, list[str]]:
    """The ids of a job's events. `listening` is released after all events so far. The socket stays open until
    `measured` is set."""
    ids: list[str] = []
    is_listening = False
    async with connect(f"ws://127.0.0.1:{port}/v1/ws", proxy=None, open_timeout=60) as socket:
        await socket.send(json.dumps({"type": "auth", "token": key}))
        await socket.send(json.dumps({"type": "subscribe", "channel": "job", "job_id": job_id}))
        async for text in socket:
            frame: dict[str, Any] = json.loads(text)
            if "id" in frame:
                ids.append(frame["id"])
            last = frame["type"] == "unsubscribed"
            if not is_listening and (last or frame.get("name") == "step.waiting"):
                is_listening = True
                listening.release()
            if last:
                await measured.wait()
                break
    return job_id, ids
