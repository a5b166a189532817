"""A local server that speaks a provider's protocol and answers from scripts, and the models that ask it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, unquote

import uvicorn
from pydantic_ai.models import Model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.domain.agents import Agent
from orchestrator.domain.commands import AgentTask
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.testing.scripts import Failure, Reply, ScriptOver, Scripts, Silence, chunks, document, offered

_REJECTED: Final = 400


class ScriptedModels(ModelSource):
    """Models that answer from scripts; an agent without a script keeps the offline drafter."""

    def __init__(self, scripts: Scripts, server: "ModelServer", bulkhead: Bulkhead) -> None:
        super().__init__(ModelConfig(), bulkhead)
        self._scripts = scripts
        self._server = server

    def model_for(self, agent: Agent, task: AgentTask) -> Model:
        """A model whose address names the call, so that the server knows which script answers it."""
        call = str(task.call_id._replace(path=""))
        if self._scripts.of(agent.id, call) is None:
            return super().model_for(agent, task)
        from orchestrator.runtime.openai_models import OpenAIModels  # noqa: PLC0415

        url = f"{self._server.url()}/{quote(agent.id, safe='')}/{quote(call, safe='')}"
        name = task.config.model or "scripted"
        return OpenAIModels.of_compatible(url, None, self._http).model(name)


def import_client() -> None:
    """Import what a scripted call needs: half a second, and ten on a busy machine.

    In the first call, the import would hold up the signs of life of every attempt until Temporal repeats them.
    """
    import orchestrator.runtime.openai_models  # noqa: F401, PLC0415


class ModelServer:
    """Serves the replies of scripts at `/<agent>/<call>/chat/completions`."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._url = ""
        self._serving: asyncio.Task[None] | None = None
        app = Starlette(routes=[Route("/{agent}/{call:path}/chat/completions", self._complete, methods=["POST"])])
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

    def url(self) -> str:
        """The address of the server, which the first call starts. Call it in the event loop of the test."""
        if self._serving is None:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self._url

    async def aclose(self) -> None:
        """Stop the server."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def _complete(self, request: Request) -> Response:
        agent, call = (unquote(request.path_params[name]) for name in ("agent", "call"))
        script, body = self._scripts.of(agent, call), await request.json()
        if script is None:
            return _error(_REJECTED, f"{call} has no script")
        try:
            reply = script.next(call, body)
        except ScriptOver as error:
            return _error(_REJECTED, str(error))
        if isinstance(reply, Failure):
            headers = {} if reply.retry_after is None else {"retry-after": str(reply.retry_after)}
            return _error(reply.status, reply.message, headers)
        if not body.get("stream") and not isinstance(reply, Silence):
            return JSONResponse(document(reply, offered(body)))
        return StreamingResponse(_stream(reply, offered(body)), media_type="text/event-stream")


async def _stream(reply: Reply, tools: list[str]) -> AsyncIterator[str]:
    if isinstance(reply, Silence):
        await asyncio.Event().wait()
    for chunk in chunks(reply, tools):
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)
