"""The client library of AI Orchestra.

from ai_orchestra import Client

client = Client(api_key="YOUR_TOKEN")
print(client.chat(message="Explain machine learning", optimization_mode="balanced"))
"""

from ai_orchestra._version import __version__
from ai_orchestra.client import AsyncClient, Client
from ai_orchestra.models import ChatMetadata, ChatResponse, ProcessingStep
from ai_orchestra.tokens import TokenStream
from devora.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DevoraError,
    InvalidRequestError,
    JobTimeoutError,
    RateLimitError,
    ServerError,
)

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncClient",
    "AuthenticationError",
    "ChatMetadata",
    "ChatResponse",
    "Client",
    "DevoraError",
    "InvalidRequestError",
    "JobTimeoutError",
    "ProcessingStep",
    "RateLimitError",
    "ServerError",
    "TokenStream",
    "__version__",
]
