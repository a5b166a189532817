"""Performs the calls of `sdks/conformance` with the Python library: see the README there.

python conformance_runner.py [--async]
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from devora import (
    APIConnectionError,
    APITimeoutError,
    AsyncDevoraClient,
    ConfigurationError,
    DevoraClient,
    DevoraError,
    JobCancelled,
    JobFailed,
    JobTimeoutError,
    WebhookVerificationError,
    errors,
)

KINDS: list[tuple[type[Exception], str]] = [
    (JobCancelled, "JobCancelled"),
    (JobFailed, "JobFailed"),
    (JobTimeoutError, "Timeout"),
    (APITimeoutError, "Timeout"),
    (APIConnectionError, "Connection"),
    (WebhookVerificationError, "WebhookVerification"),
    (ConfigurationError, "Configuration"),
    (errors.InvalidRequestError, "InvalidRequest"),
    (errors.AuthenticationError, "Authentication"),
    (errors.PermissionDeniedError, "PermissionDenied"),
    (errors.NotFoundError, "NotFound"),
    (errors.ConflictError, "Conflict"),
    (errors.RateLimitError, "RateLimit"),
    (errors.ServiceUnavailableError, "ServiceUnavailable"),
    (errors.ServerError, "Server"),
]
# Arguments that have another name in Python.
RENAMED = {"async": "async_mode"}
CLIENT_CALLS = {"limits.get": "limits", "me.get": "me", "health.get": "health"}
STREAMS = {"jobs.stream", "events.stream"}
YIELDING = {*STREAMS, "jobs.iterate"}
LISTED = {"jobs.iterate": "jobs.list"}


class Interrupted(Exception):
    """The caller's own cancellation."""


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def shown(value: Any) -> Any:
    """A result with the names of the wire."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "accepted"):
        return value.accepted.to_dict()
    return value.to_dict()


def failure(error: DevoraError) -> dict[str, Any]:
    kind = next((name for type_, name in KINDS if isinstance(error, type_)), "Server")
    return {
        "kind": kind,
        "code": error.code,
        "status": error.status,
        "message": error.message,
        "request_id": error.request_id,
        "retry_after": error.retry_after,
        "job_id": error.job_id,
    }


def method_of(client: Any, call: str) -> Any:
    if call in CLIENT_CALLS:
        return getattr(client, CLIENT_CALLS[call])
    group, name = LISTED.get(call, call).split(".")
    return getattr(getattr(client, group), name)


def arguments_of(command: dict[str, Any]) -> dict[str, Any]:
    arguments = {RENAMED.get(name, name): value for name, value in command.get("arguments", {}).items()}
    options = command["options"]
    if command["call"] == "webhooks.unwrap":
        return arguments
    if "idempotency_key" in options:
        arguments["idempotency_key"] = options["idempotency_key"]
    if "timeout" in options:
        arguments["timeout"] = options["timeout"]
    if command["call"] in STREAMS and "stall_timeout" in options:
        arguments["stall_timeout"] = options["stall_timeout"]
    return arguments


def client_of(kind: type, options: dict[str, Any]) -> Any:
    client = kind(options.get("api_key"), options.get("base_url"), max_retries=options.get("max_retries", 2))
    if "backoff" in options:
        client._transport.config.backoff = options["backoff"]
        client._transport.config.stream_backoff = options["backoff"]
    return client


def answer(command: dict[str, Any], value: Any) -> dict[str, Any]:
    return {"id": command["id"], "ok": True, "value": shown(value), "request_id": getattr(value, "request_id", None)}


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """As a key press would: a signal that raises in the main thread."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    if seconds is None:
        yield
        return
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def perform(command: dict[str, Any]) -> Any:
    cancel = command["options"].get("cancel_after", {})
    with client_of(DevoraClient, command["options"]) as client, interrupted_after(cancel.get("seconds")):
        method, arguments = method_of(client, command["call"]), arguments_of(command)
        if command["call"] not in YIELDING:
            return method(**arguments)
        items = method(**arguments)
        for number, item in enumerate(items, 1):
            say({"id": command["id"], "event": shown(item)})
            if number == cancel.get("events"):
                getattr(items, "close", lambda: None)()
                raise Interrupted
    return None


async def perform_async(command: dict[str, Any]) -> Any:
    async with client_of(AsyncDevoraClient, command["options"]) as client:
        task = asyncio.create_task(_perform_async(client, command))
        try:
            return await asyncio.wait_for(task, command["options"].get("cancel_after", {}).get("seconds"))
        except TimeoutError as error:
            if isinstance(error, DevoraError):
                raise
            raise Interrupted from None


async def _perform_async(client: Any, command: dict[str, Any]) -> Any:
    method, arguments = method_of(client, command["call"]), arguments_of(command)
    items = method(**arguments)
    if command["call"] not in STREAMS and isinstance(items, Awaitable):
        items = await items
    if command["call"] not in YIELDING:
        return items
    number = 0
    async for item in items:
        number += 1
        say({"id": command["id"], "event": shown(item)})
        if number == command["options"].get("cancel_after", {}).get("events"):
            await items.aclose()
            raise Interrupted
    return None


def run(command: dict[str, Any]) -> dict[str, Any]:
    logging.getLogger("devora").setLevel(logging.DEBUG if command["options"].get("log") == "debug" else logging.WARNING)
    try:
        if "--async" in sys.argv:
            return answer(command, asyncio.run(perform_async(command)))
        return answer(command, perform(command))
    except DevoraError as error:
        return {"id": command["id"], "ok": False, "error": failure(error)}
    except Interrupted:
        return {"id": command["id"], "ok": False, "error": {"kind": "Cancelled"}}


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
    for line in sys.stdin:
        say(run(json.loads(line)))


if __name__ == "__main__":
    main()
