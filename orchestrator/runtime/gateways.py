"""Finds error responses of gateways: an error or a web page with HTTP 200 in place of a stream."""

import json
import re
from html import unescape
from typing import Any, Final

import httpx2
from pydantic_core import from_json

from orchestrator.domain.text import name

_STREAM: Final = "text/event-stream"
_ASKS_FOR_STREAM: Final = re.compile(rb'"stream"\s*:\s*true')
_MAX_BYTES: Final = 256 * 1024
_TITLE: Final = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_UNAVAILABLE: Final = 502
_NO_STREAM: Final = 422  # Not retryable: the gateway would respond and bill in the same way again.


async def refuse_other_than_events(response: httpx2.Response) -> None:
    """Set the status of an error response from its body, so that the provider's client raises it like any other error.

    This is a response hook of the HTTP client. Event streams of every content type pass unchanged.
    """
    content_type = response.headers.get("content-type", "")
    if response.status_code != httpx2.codes.OK or content_type.startswith(_STREAM):
        return
    if not _ASKS_FOR_STREAM.search(response.request.content):
        return
    raw = await _beginning(response)
    text = httpx2.Response(response.status_code, headers=response.headers, content=raw).text.strip()
    if text.startswith(("data:", "event:", "id:", ":")):
        response.stream = httpx2.ByteStream(raw)
        return
    response.status_code, body = _refusal(text)
    for header in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(header, None)
    response.headers["content-type"] = "application/json"
    response.stream = httpx2.ByteStream(json.dumps(body).encode())


async def _beginning(response: httpx2.Response) -> bytes:
    stream, chunks, size = response.stream, [], 0
    if not isinstance(stream, httpx2.AsyncByteStream):
        raise TypeError("the HTTP client is not asynchronous")
    try:
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_BYTES:
                break
    finally:
        await stream.aclose()
    return b"".join(chunks)


def _refusal(text: str) -> tuple[int, dict[str, Any]]:
    """The status and the body of an error, in the format that clients of providers read."""
    try:
        body = from_json(text)
    except ValueError:
        title = _TITLE.search(text)
        page = f"a web page, {name(unescape(title[1]))!r}" if title else "a web page" if "<" in text else "no stream"
        return _UNAVAILABLE, {"error": {"message": f"its address responds with {page}; is the base URL right?"}}
    if isinstance(body, dict) and body.get("error"):
        error = body["error"]
        return _status(error, body), {"error": error if isinstance(error, dict) else {"message": str(error)}}
    return _NO_STREAM, {"error": {"message": "it responds with one document, although the request was for a stream"}}


def _status(error: Any, body: dict[str, Any]) -> int:
    places = (error, body) if isinstance(error, dict) else (body,)
    for place in places:
        for key in ("code", "status", "status_code"):
            value = str(place.get(key, ""))
            if re.fullmatch(r"[45]\d\d", value):
                return int(value)
    return _UNAVAILABLE
