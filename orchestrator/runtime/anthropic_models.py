"""Anthropic's models. A module of its own: its libraries take 40 MB and a second, which only its users should pay."""

from typing import Final

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

ANTHROPIC_URL: Final = "https://api.anthropic.com"


class AnthropicModels:
    """Makes models over one client, with the provider's own retries off (A8)."""

    def __init__(self, api_key: str, http: httpx2.AsyncClient) -> None:
        client = AsyncAnthropic(base_url=ANTHROPIC_URL, api_key=api_key, http_client=http, max_retries=0)
        self._provider = AnthropicProvider(anthropic_client=client)

    def model(self, name: str) -> AnthropicModel:
        """The model of that name."""
        return AnthropicModel(name, provider=self._provider)
