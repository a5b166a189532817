"""A local server that speaks the OpenAI chat completions protocol, streaming included, from a script of replies.

Failures are also served at Anthropic's path.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "served-model-2026-01"


@dataclass(frozen=True)
class Answer:
    """A streamed answer: a dict becomes the arguments of the first offered tool, a string plain text.

    `then` says what follows the last piece: `end` finishes properly, `break` cuts the connection in the middle,
    `stop` ends the response without a word, `hang` keeps it open until the client goes away.
    """

    body: dict[str, Any] | str
    as_text: bool = False
    pieces: int = 4
    then: str = "end"
    finish_reason: str | None = None
    prompt_tokens: int = 450
    completion_tokens: int = 3092
    usage: bool = True
    model: str = MODEL


@dataclass(frozen=True)
class Page:
    """HTTP 200 with any body instead of a stream, as gateways and login pages answer."""

    body: str
    media_type: str = "application/json"


@dataclass(frozen=True)
class Failure:
    """An HTTP error with a JSON body and headers."""

    status: int
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """One request as the server saw it."""

    path: str
    authorization: str
    body: dict[str, Any]


class OpenAIServer:
    """Serves the scripted replies in order; the last one is served again when the script has ended."""

    def __init__(self, *script: Answer | Failure | Page) -> None:
        self.script = list(script)
        self.received: list[Received] = []
        self.disconnected = asyncio.Event()
        self.url = ""
        paths = ("/v1/chat/completions", "/v1/messages")
        app = Starlette(routes=[Route(path, self._complete, methods=["POST"]) for path in paths])
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        )

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.listen()
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.received.append(
            Received(path=request.url.path, authorization=request.headers.get("authorization", ""), body=body)
        )
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(reply, Page):
            return Response(reply.body, media_type=reply.media_type)
        if isinstance(reply, Failure):
            return JSONResponse({"error": reply.error}, status_code=reply.status, headers=reply.headers)
        if body.get("stream"):
            return StreamingResponse(self._stream(reply, body), media_type="text/event-stream")
        return StreamingResponse(self._document(reply, body), media_type="application/json")

    async def _document(self, reply: Answer, request: dict[str, Any]) -> AsyncIterator[str]:
        try:
            document = _document(reply, request)
            yield document[:20]
            if reply.then in ("break", "stop"):
                raise ConnectionResetError("scripted")
            if reply.then == "hang":
                await asyncio.Event().wait()
            yield document[20:]
        except asyncio.CancelledError:
            self.disconnected.set()
            raise

    async def _stream(self, reply: Answer, request: dict[str, Any]) -> AsyncIterator[str]:
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        tools = request.get("tools", [])
        as_tool = bool(tools) and not reply.as_text
        size = max(1, -(-len(text) // reply.pieces))
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        try:
            for index, piece in enumerate(pieces):
                delta = _delta(piece, index, tools[0]["function"]["name"] if as_tool else None)
                yield _event(reply, {"delta": delta})
            if reply.then == "break":
                raise ConnectionResetError("scripted")
            if reply.then == "stop":
                return
            if reply.then == "hang":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.disconnected.set()
            raise
        yield _event(
            reply, {"delta": {}, "finish_reason": reply.finish_reason or ("tool_calls" if as_tool else "stop")}
        )
        if reply.usage:
            yield _usage(reply)
        yield "data: [DONE]\n\n"


def _document(reply: Answer, request: dict[str, Any]) -> str:
    text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
    tools = request.get("tools", [])
    as_tool = bool(tools) and not reply.as_text
    message: dict[str, Any] = {"role": "assistant", "content": None if as_tool else text}
    if as_tool:
        function = {"name": tools[0]["function"]["name"], "arguments": text}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    finish_reason = reply.finish_reason or ("tool_calls" if as_tool else "stop")
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }
    return json.dumps(document | ({"usage": _tokens(reply)} if reply.usage else {}))


def _delta(piece: str, index: int, tool: str | None) -> dict[str, Any]:
    if tool is None:
        return {"content": piece}
    call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
    if index == 0:
        call |= {"id": "call_1", "type": "function"}
        call["function"]["name"] = tool
    return {"tool_calls": [call]}


def _event(reply: Answer, choice: dict[str, Any]) -> str:
    return _chunk(reply, choices=[{"index": 0, "finish_reason": None, **choice}])


def _usage(reply: Answer) -> str:
    return _chunk(reply, choices=[], usage=_tokens(reply))


def _tokens(reply: Answer) -> dict[str, int]:
    tokens = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    return {**tokens, "total_tokens": sum(tokens.values())}


def _chunk(reply: Answer, **more: Any) -> str:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": reply.model}
    return f"data: {json.dumps({**head, **more})}\n\n"
