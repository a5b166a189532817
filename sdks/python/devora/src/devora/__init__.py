"""The client library of the Devora API.

    from devora import DevoraClient

    client = DevoraClient(api_key="YOUR_API_KEY")
    print(client.agents.execute("product_manager", {"task_type": "prd", "context": "Meal delivery"}).output)

Names are imported when they are first used, so that `import devora` costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from devora._version import __version__

if TYPE_CHECKING:
    from devora import errors, models, webhooks
    from devora._async.client import AsyncDevoraClient
    from devora._async.handles import AsyncJob
    from devora._async.pages import AsyncPage
    from devora._async.streams import AsyncEventStream
    from devora._config import CallOptions, Retry
    from devora._responses import RawResponse
    from devora._sync.client import DevoraClient
    from devora._sync.handles import Job
    from devora._sync.pages import Page
    from devora._sync.streams import EventStream
    from devora.errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        DevoraError,
        InvalidRequestError,
        JobCancelled,
        JobFailed,
        JobTimeoutError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        ServerError,
        ServiceUnavailableError,
        WebhookVerificationError,
    )

_MODULES = {
    "_async.client": ["AsyncDevoraClient"],
    "_async.handles": ["AsyncJob"],
    "_async.pages": ["AsyncPage"],
    "_async.streams": ["AsyncEventStream"],
    "_config": ["CallOptions", "Retry"],
    "_responses": ["RawResponse"],
    "_sync.client": ["DevoraClient"],
    "_sync.handles": ["Job"],
    "_sync.pages": ["Page"],
    "_sync.streams": ["EventStream"],
    "errors": [
        "APIConnectionError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "ConfigurationError",
        "ConflictError",
        "DevoraError",
        "InvalidRequestError",
        "JobCancelled",
        "JobFailed",
        "JobTimeoutError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "ServerError",
        "ServiceUnavailableError",
        "WebhookVerificationError",
    ],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = ("errors", "models", "webhooks")

__all__ = [  # noqa: PLE0604 - names that `__getattr__` finds
    "__version__",
    *_SUBMODULES,
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"devora.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'devora' has no attribute {name!r}")
    value = getattr(import_module(f"devora.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
