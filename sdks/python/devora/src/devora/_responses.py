"""An answer of the server, as it was received."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devora._retries import advice_of, seconds_of_retry_after, sound_seconds

LARGEST_ANSWER = 2**26
"""Bytes of an answer, or of one frame of a stream, beyond which it is an error."""


def parsed(text: str | bytes) -> Any:
    """Return JSON as objects. Raises `ValueError`, also for JSON that is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as fault:
        raise ValueError("JSON that is nested too deeply") from fault


class RawResponse:
    """Status, headers and body of an answer. Header names are in lower case."""

    __slots__ = ("attempts", "body", "headers", "reason", "seconds", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        reason: str = "",
        attempts: int = 1,
        seconds: float = 0.0,
    ) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.reason = reason
        self.attempts = attempts
        """How many requests the call took."""
        self.seconds = seconds
        """How long the last of them took."""

    @property
    def request_id(self) -> str | None:
        """The id that the server gave the request."""
        return self.headers.get("x-request-id")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        return parsed(self.body)

    def parsed_body(self) -> Any:
        """The body as JSON, or its text where it is none."""
        try:
            return self.json()
        except ValueError:
            return self.text

    def retry_after(self, in_body: object = None) -> float | None:
        """Seconds after which the server says to come back."""
        seconds = seconds_of_retry_after(self.headers.get("retry-after"), self.headers.get("date"))
        return sound_seconds(in_body) if seconds is None else seconds

    @property
    def should_retry(self) -> bool | None:
        """What the server says of another attempt, if it says anything."""
        return advice_of(self.headers)

    def __repr__(self) -> str:
        return f"<RawResponse {self.status}, {len(self.body)} bytes>"
