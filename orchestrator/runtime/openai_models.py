"""Models of OpenAI and of compatible servers. A module of its own: its library takes half a second to import."""

from typing import Final

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

# Servers that only resemble OpenAI's know the older `max_tokens` field.
_COMPATIBLE: Final = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)


class OpenAIModels:
    """Makes models over one client, with the provider's own retries off (A8)."""

    def __init__(self, provider: Provider[AsyncOpenAI]) -> None:
        self._provider = provider

    @classmethod
    def of_openai(cls, url: str, api_key: str, http: httpx2.AsyncClient) -> "OpenAIModels":
        """The models of OpenAI itself."""
        client = AsyncOpenAI(base_url=url, api_key=api_key, http_client=http, max_retries=0)
        return cls(OpenAIProvider(openai_client=client))

    @classmethod
    def of_compatible(cls, url: str, api_key: str | None, http: httpx2.AsyncClient) -> "OpenAIModels":
        """The models of a server that speaks OpenAI's protocol."""
        # The client insists on a key; servers without accounts ignore it.
        client = AsyncOpenAI(base_url=url, api_key=api_key or "not-set", http_client=http, max_retries=0)
        return cls(OpenAICompatibleProvider("openai-compatible", openai_client=client, profile=_COMPATIBLE))

    def model(self, name: str) -> OpenAIChatModel:
        """The model of that name."""
        return OpenAIChatModel(name, provider=self._provider)
