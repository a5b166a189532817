"""`python -m bench.model_server`: a model server of OpenAI's protocol that answers after exactly one second.

The name of the model can ask for something else: `bench-0ms` answers at once, `bench-tools10-0ms` calls the first tool
ten times before it answers, `bench-tokens4000-10000ms` streams an answer of 4,000 pieces over ten seconds. An answer
fits the JSON Schema of the offered answer tool. `GET /count` returns the number of requests so far.
"""

import argparse
import asyncio
import json
import re
import signal
from typing import Any, Final

_PARAGRAPH: Final = "The measured parts fit together, and each has a name, an owner and a test of its own. "
_TEXT: Final = _PARAGRAPH * 24  # 2 KB
_ANSWER: Final = "answer"  # the tool that offers the schema of the answer
_PIECES: Final = 40  # of a streamed answer, without a number in the model's name
_HEAD: Final = "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}\r\n"


class ModelServer:
    """Answers chat completions, whole or streamed, and counts them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.requests = 0

    async def serve(self, port: int) -> None:
        """Serve until the process is stopped."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1000)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        print("ready", flush=True)  # noqa: T201 - the parent process waits for it
        await stopped.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = re.search(r"content-length: (\d+)", head)
                body = await reader.readexactly(int(length.group(1))) if length else b""
                if head.startswith("get /count"):
                    _send(writer, {"requests": self.requests})
                else:
                    await self._complete(json.loads(body), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # The client has closed the connection, or the server stops.
        finally:
            writer.close()

    async def _complete(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        model = body["model"]
        seconds = _number(r"(\d+)ms", model, self._seconds * 1000) / 1000
        name, arguments = _reply(body, _number(r"tools(\d+)", model, 0))
        if body.get("stream"):
            await _stream(writer, model, name, arguments, tokens=_number(r"tokens(\d+)", model, 0), seconds=seconds)
            return
        await asyncio.sleep(seconds)
        message: dict[str, Any] = {"role": "assistant", "content": None if name else arguments}
        if name:
            call = {
                "id": f"call_{self.requests}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            message["tool_calls"] = [call]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if name else "stop"}
        _send(writer, _envelope(model, "chat.completion") | {"choices": [choice], "usage": _usage(arguments)})


async def _stream(
    writer: asyncio.StreamWriter, model: str, name: str, arguments: str, *, tokens: int, seconds: float
) -> None:
    """The first piece comes after the time of the answer. With a number of tokens, the time is spread over them."""
    count = tokens or _PIECES
    size = max(1, -(-len(arguments) // count))
    pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    writer.write(_HEAD.format(kind="text/event-stream", more="Transfer-Encoding: chunked\r\n").encode())
    if not tokens:
        await asyncio.sleep(seconds)
    began = asyncio.get_running_loop().time()
    for number, piece in enumerate(pieces):
        if tokens and (due := began + seconds * number / count - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(due)
        delta: dict[str, Any] = {"content": piece}
        if name:
            first = {"id": "call_1", "type": "function"} if number == 0 else {}
            named = {"name": name} if number == 0 else {}
            delta = {"tool_calls": [{"index": 0, **first, "function": {**named, "arguments": piece}}]}
        _event(writer, model, [{"index": 0, "delta": delta, "finish_reason": None}])
    _event(writer, model, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if name else "stop"}])
    _event(writer, model, [], usage=_usage(arguments))
    _chunk(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")


def _reply(body: dict[str, Any], calls: int) -> tuple[str, str]:
    """The name of the called tool, or "" for plain text, and its arguments or the text."""
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", [])}
    size = _number(r"tokens(\d+)", body["model"], 0) * 4 or len(_TEXT)
    text = (_TEXT * (size // len(_TEXT) + 1))[:size]
    made = sum(message["role"] == "tool" for message in body["messages"])
    others = [name for name in tools if name != _ANSWER]
    if others and made < calls:
        return others[0], json.dumps(sample(tools[others[0]], tools[others[0]], "item"))
    if _ANSWER in tools:
        return _ANSWER, json.dumps(sample(tools[_ANSWER], tools[_ANSWER], "text") | {"output": text})
    return "", text


def sample(schema: dict[str, Any], root: dict[str, Any], name: str) -> Any:
    """A value that fits a JSON Schema. `root` has its definitions; `name` becomes part of the texts."""
    if reference := schema.get("$ref"):
        return sample(root["$defs"][reference.rpartition("/")[2]], root, name)
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return sample(schema[choices][0], root, name)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {
                field: sample(fields[field], root, field) for field in schema.get("required", []) if field in fields
            }
        case "array":
            return [
                sample(schema.get("items", {}), root, f"{name}-{i}") for i in range(max(1, schema.get("minItems", 0)))
            ]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return f"{name} {_PARAGRAPH}"[: schema.get("maxLength", 60)]


def _envelope(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-bench", "object": kind, "created": 1, "model": model}


def _usage(text: str) -> dict[str, int]:
    completion = len(text) // 4
    return {"prompt_tokens": 500, "completion_tokens": completion, "total_tokens": 500 + completion}


def _number(pattern: str, text: str, default: float) -> Any:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else default


def _send(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    writer.write(_HEAD.format(kind="application/json", more=f"Content-Length: {len(body)}\r\n").encode() + body)


def _event(writer: asyncio.StreamWriter, model: str, choices: list[Any], **more: Any) -> None:
    value = _envelope(model, "chat.completion.chunk") | {"choices": choices} | more
    _chunk(writer, b"data: " + json.dumps(value).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1.0, help="the time of an answer")
    options = parser.parse_args()
    asyncio.run(ModelServer(options.seconds).serve(options.port))
