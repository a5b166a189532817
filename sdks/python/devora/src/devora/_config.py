"""What a client is made with: arguments first, then the environment, then the defaults."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Mapping
from typing import TypedDict
from urllib.parse import urlsplit

from devora._version import __version__
from devora.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.devora.ai/v1"
DEFAULT_TIMEOUT = 60.0
DEFAULT_MAX_RETRIES = 2
CONNECT_TIMEOUT = 5.0
BACKOFF = 0.5
STREAM_BACKOFF = 0.1

log = logging.getLogger("devora")

Words = list[str]
"""For classes whose method `list` hides the type."""


class Retry:
    """A request that is going to be sent again, for `on_retry`."""

    __slots__ = ("attempt", "error", "method", "path", "pause")

    def __init__(self, method: str, path: str, attempt: int, pause: float, error: Exception) -> None:
        self.method = method
        self.path = path
        self.attempt = attempt
        """Which attempt failed, from 1."""
        self.pause = pause
        """Seconds until the next one."""
        self.error = error
        """Why it failed."""


class WaitOptions(TypedDict, total=False):
    """What every call takes beside its own arguments, those that wait for a job included."""

    headers: Mapping[str, str]


class CallOptions(WaitOptions, total=False):
    """What every call takes beside its own arguments."""

    timeout: float | None
    """Seconds that the whole call may take, all attempts together; None is for ever."""
    max_retries: int
    idempotency_key: str
    """For calls that change something; made by the library otherwise."""


class Config:
    """The settings of one client."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        timeout: float | None,
        max_retries: int,
        default_headers: Mapping[str, str] | None,
        on_retry: Callable[[Retry], None] | None,
        backoff: float = BACKOFF,
        product: str = "devora",
        key_variable: str = "DEVORA_API_KEY",
        url_variable: str = "DEVORA_BASE_URL",
        default_base_url: str = DEFAULT_BASE_URL,
        prefix: str = "/v1",
        needs_key: bool = True,
    ) -> None:
        key = api_key if api_key is not None else os.environ.get(key_variable, "")
        if needs_key and not key.strip():
            raise ConfigurationError(f"No API key: give api_key, or set the environment variable {key_variable}")
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(
                "The API key contains characters that no header can carry; was it cut or pasted wrongly?"
            )
        self.api_key = key.strip()
        self.base_url = _base_url(base_url or os.environ.get(url_variable) or default_base_url, prefix)
        self.root_url = self.base_url.removesuffix(prefix)
        self.timeout = timeout
        self.max_retries = max_retries
        self.backoff = backoff
        self.stream_backoff = STREAM_BACKOFF
        self.on_retry = on_retry
        self.headers = {
            "Accept": "application/json",
            "User-Agent": user_agent(product),
            **(default_headers or {}),
        }
        if self.api_key:
            self.headers["Authorization"] = f"Bearer {self.api_key}"
        _configure_log()


def user_agent(product: str) -> str:
    """Who sends a request: library, Python and system."""
    major, minor = sys.version_info[:2]
    return f"{product}-python/{__version__} python/{major}.{minor} {platform.system().lower() or 'unknown'}"


def _base_url(url: str, prefix: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"Invalid base URL {url!r}: expected something like {DEFAULT_BASE_URL}")
    url = url.rstrip("/")
    return url if not prefix or url.endswith(prefix) else url + prefix


def _configure_log() -> None:
    """`DEVORA_LOG=debug` or `info` shows the library's log on standard error, unless the program has handlers."""
    level = {"debug": logging.DEBUG, "info": logging.INFO}.get(os.environ.get("DEVORA_LOG", "").lower())
    if level is None:
        return
    log.setLevel(level)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        log.addHandler(handler)
