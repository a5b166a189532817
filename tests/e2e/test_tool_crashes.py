"""A worker dies in the middle of a tool call: no finished call is repeated, and no finished request is billed again."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.domain.agents import AgentOutput
from orchestrator.testing import calls, eventually, tool
from orchestrator.testing.scripts import chunks, document
from tests.e2e.processes import installation
from tests.e2e.tool_plugin import GO, SLOW

PIECES = 10


@asynccontextmanager
async def model() -> AsyncIterator[tuple[str, list[int]]]:
    """A model that asks for the next piece of work until it has ten results: its address, and the results it had."""
    requests: list[int] = []

    async def complete(request: Request) -> Response:
        body = await request.json()
        done = sum(message["role"] == "tool" for message in body["messages"])
        requests.append(done)
        reply = calls(tool("work", number=done + 1)) if done < PIECES else AgentOutput(summary="Done.", output="Done.")
        tools = [offer["function"]["name"] for offer in body["tools"]]
        if not body.get("stream"):
            return JSONResponse(document(reply, tools))

        async def stream() -> AsyncIterator[str]:
            for chunk in chunks(reply, tools):
                yield f"data: {json.dumps(chunk)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", requests
    finally:
        server.should_exit = True
        await serving


async def test_a_worker_killed_in_the_seventh_of_ten_tool_calls_repeats_only_that_one(tmp_path: Path) -> None:
    async with (
        model() as (url, requests),
        installation(tmp_path, ORCHESTRATOR_PLUGINS="tests.e2e.tool_plugin", ORCHESTRATOR_LLM_BASE_URL=url) as running,
    ):
        answer = await running.client.post("/v1/workflows/e_tools/run", json={"input": {}, "async": True})
        job_id = answer.json()["job_id"]
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == SLOW, 60)
        await running.worker.kill()
        (tmp_path / GO).touch()
        await (await running.worker.start()).ready()
        job = await eventually(lambda: running.job(job_id), lambda job: job["status"] == "completed", 120)

        effects = [f"{job_id}/work/e_toolsmith/t{turn}.1" for turn in range(1, PIECES + 1)]
        assert running.ran("start") == [*effects[:SLOW], *effects[SLOW - 1 :]]
        assert running.ran("end") == effects
        assert requests == list(range(PIECES + 1))
        [call] = job["steps"]
        assert [each["attempts"] for each in call["tool_calls"]] == [1] * (SLOW - 1) + [2] + [1] * (PIECES - SLOW)
        assert call["tokens"] == (PIECES + 1) * 120 == job["metrics"]["total_tokens"]
