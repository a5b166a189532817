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
    from devora._async.streams import AsyncAccountStream, AsyncEventStream
    from devora._config import CallOptions, Retry
    from devora._responses import RawResponse
    from devora._sync.client import DevoraClient
    from devora._sync.handles import Job
    from devora._sync.pages import Page
    from devora._sync.streams import AccountStream, EventStream
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

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AccountStream",
    "AsyncAccountStream",
    "AsyncDevoraClient",
    "AsyncEventStream",
    "AsyncJob",
    "AsyncPage",
    "AuthenticationError",
    "CallOptions",
    "ConfigurationError",
    "ConflictError",
    "DevoraClient",
    "DevoraError",
    "EventStream",
    "InvalidRequestError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobTimeoutError",
    "NotFoundError",
    "Page",
    "PermissionDeniedError",
    "RateLimitError",
    "RawResponse",
    "Retry",
    "ServerError",
    "ServiceUnavailableError",
    "WebhookVerificationError",
    "__version__",
    "errors",
    "models",
    "webhooks",
]

_HOME = {
    "AccountStream": "devora._sync.streams",
    "AsyncAccountStream": "devora._async.streams",
    "AsyncDevoraClient": "devora._async.client",
    "AsyncEventStream": "devora._async.streams",
    "AsyncJob": "devora._async.handles",
    "AsyncPage": "devora._async.pages",
    "CallOptions": "devora._config",
    "DevoraClient": "devora._sync.client",
    "EventStream": "devora._sync.streams",
    "Job": "devora._sync.handles",
    "Page": "devora._sync.pages",
    "RawResponse": "devora._responses",
    "Retry": "devora._config",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'devora' has no attribute {name!r}")
    if name in ("errors", "models", "webhooks"):
        return import_module(f"devora.{name}")
    value = getattr(import_module(_HOME.get(name, "devora.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
