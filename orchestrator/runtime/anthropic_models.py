"""Models of Anthropic, in their own module: the import takes 40 MB and a second, which only their users should pay."""

from typing import Final

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

ANTHROPIC_URL: Final = "https://api.anthropic.com"


class AnthropicModels:
    """Creates models on one client, without the provider's retries: Temporal owns all retries."""

    def __init__(self, api_key: str, http: httpx2.AsyncClient) -> None:
        client = AsyncAnthropic(base_url=ANTHROPIC_URL, api_key=api_key, http_client=http, max_retries=0)
        self._provider = AnthropicProvider(anthropic_client=client)

    def model(self, name: str) -> AnthropicModel:
        """Create the model with this name."""
        return AnthropicModel(name, provider=self._provider)
