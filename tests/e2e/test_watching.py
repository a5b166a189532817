"""A job that is watched on the command line while the API is killed and started again."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.e2e.processes import KEY, installation


async def test_a_watched_job_is_followed_whole_over_a_restart_of_the_api(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        started = await running.client.post(
            "/v1/workflows/e_eighteen/run", json={"input": {"seconds": 1}, "async": True}
        )
        job_id = started.json()["job_id"]
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", "jobs", "watch", job_id, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "ORCHESTRATOR_API_URL": f"http://127.0.0.1:{running.port}",
                "ORCHESTRATOR_API_KEY": KEY,
            },
        )
        assert watching.stdout is not None
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while sum(event["name"] == "agent.completed" for event in seen) < 3:
                seen.append(json.loads(await watching.stdout.readline()))
        await running.api.kill()
        await asyncio.sleep(1)  # long enough for calls to end that nobody reported
        await running.api.start()
        async with asyncio.timeout(60):
            out, err = await watching.communicate()
        seen += [json.loads(line) for line in out.splitlines()]
        assert watching.returncode == 0, err.decode()
        await running.up("/readyz")
        events = (await running.client.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})).json()["events"]
        assert [event["id"] for event in seen] == [event["id"] for event in events]
        assert seen[-1]["type"] == "job_completed"
        assert err.decode().count("trying again") == 1
