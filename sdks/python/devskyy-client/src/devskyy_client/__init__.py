"""The client library of DevSkyy.

from devskyy_client import DevSkyyClient

client = DevSkyyClient(username="admin", password="…")
print(client.decide({"business_goal": "increase_revenue"}).rationale)
"""

from devora.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DevoraError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
)
from devskyy_client._async.client import AsyncDevSkyyClient
from devskyy_client._sync.client import DevSkyyClient
from devskyy_client._version import __version__

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncDevSkyyClient",
    "AuthenticationError",
    "DevSkyyClient",
    "DevoraError",
    "InvalidRequestError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServerError",
    "ServiceUnavailableError",
    "__version__",
]
