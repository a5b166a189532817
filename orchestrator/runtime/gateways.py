"""Finds error responses of gateways: an error or a web page with HTTP 200 in place of an answer."""

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
_NO_ANSWER: Final = 422  # Not retryable: the gateway would respond and bill in the same way again.


async def refuse_other_than_answers(response: httpx2.Response) -> None:
    """Set the status of an error response from its body, so that the provider's client raises it like any other error.

    This is a response hook of the HTTP client. Event streams of every content type pass unchanged if the request was
    for a stream, else documents with an answer.
    """
    is_stream = response.headers.get("content-type", "").startswith(_STREAM)
    asks_for_stream = _ASKS_FOR_STREAM.search(response.request.content) is not None
    if response.status_code != httpx2.codes.OK or (is_stream and asks_for_stream):
        return
    raw = await _body(response, limit=_MAX_BYTES if asks_for_stream else None)
    content = httpx2.Response(response.status_code, headers=response.headers, content=raw).content
    if _starts_stream(content) if asks_for_stream else _has_answer(content):
        response.stream = httpx2.ByteStream(raw)
        return
    text = httpx2.Response(response.status_code, headers=_type_of(response), content=content).text.strip()
    response.status_code, body = _refusal(text, asks_for_stream=asks_for_stream)
    for header in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(header, None)
    response.headers["content-type"] = "application/json"
    response.stream = httpx2.ByteStream(json.dumps(body).encode())


async def _body(response: httpx2.Response, *, limit: int | None) -> bytes:
    """The body of a response, or about its first `limit` bytes."""
    stream, chunks, size = response.stream, [], 0
    if not isinstance(stream, httpx2.AsyncByteStream):
        raise TypeError("the HTTP client is not asynchronous")
    try:
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if limit is not None and size > limit:
                break
    finally:
        await stream.aclose()
    return b"".join(chunks)


def _type_of(response: httpx2.Response) -> dict[str, str]:
    return {"content-type": response.headers.get("content-type", "")}


def _starts_stream(content: bytes) -> bool:
    return content.lstrip().startswith((b"data:", b"event:", b"id:", b":"))


def _has_answer(raw: bytes) -> bool:
    """Whether a document has an answer in OpenAI's or Anthropic's format, and not an error beside it."""
    try:
        body = json.loads(raw)  # Like the provider's client, it accepts half a surrogate pair.
    except ValueError:
        return False
    if not isinstance(body, dict) or body.get("error"):
        return False
    choices = body.get("choices")
    if isinstance(choices, list):
        return bool(choices) and isinstance(choices[0], dict) and isinstance(choices[0].get("message"), dict)
    return isinstance(body.get("content"), list)


def _refusal(text: str, *, asks_for_stream: bool) -> tuple[int, dict[str, Any]]:
    """The status and the body of an error, in the format that clients of providers read."""
    if _starts_stream(text.encode(errors="replace")):  # The next attempt is for a stream.
        message = "it responds with a stream, although the request was for one document"
        return _UNAVAILABLE, {"error": {"message": message}}
    try:
        body = from_json(text)
    except ValueError:
        title = _TITLE.search(text)
        page = f"a web page, {name(unescape(title[1]))!r}" if title else "a web page" if "<" in text else "no answer"
        return _UNAVAILABLE, {"error": {"message": f"its address responds with {page}; is the base URL right?"}}
    if isinstance(body, dict) and body.get("error"):
        error = body["error"]
        return _status(error, body), {"error": error if isinstance(error, dict) else {"message": str(error)}}
    answer = (
        "one document, although the request was for a stream" if asks_for_stream else "a document without an answer"
    )
    return _NO_ANSWER, {"error": {"message": f"it responds with {answer}"}}


def _status(error: Any, body: dict[str, Any]) -> int:
    places = (error, body) if isinstance(error, dict) else (body,)
    for place in places:
        for key in ("code", "status", "status_code"):
            value = str(place.get(key, ""))
            if re.fullmatch(r"[45]\d\d", value):
                return int(value)
    return _UNAVAILABLE
