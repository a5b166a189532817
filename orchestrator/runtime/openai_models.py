"""Models of OpenAI and of compatible servers, in their own module: the import takes half a second."""

from functools import lru_cache
from typing import Final

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

MODELS: Final = 100  # Models that are kept: their names may come from requests.
# Compatible servers know the older field `max_tokens`.
_COMPATIBLE: Final = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)


class OpenAIModels:
    """Creates models by name on one client, without the provider's retries: Temporal owns all retries."""

    def __init__(self, provider: Provider[AsyncOpenAI]) -> None:
        self._provider = provider
        self.model = lru_cache(maxsize=MODELS)(self._model)

    @classmethod
    def of_openai(cls, url: str, api_key: str, http: httpx2.AsyncClient) -> "OpenAIModels":
        """Models of OpenAI."""
        client = AsyncOpenAI(base_url=url, api_key=api_key, http_client=http, max_retries=0)
        return cls(OpenAIProvider(openai_client=client))

    @classmethod
    def of_compatible(cls, url: str, api_key: str | None, http: httpx2.AsyncClient) -> "OpenAIModels":
        """Models of a server with OpenAI's protocol."""
        # The client requires a key; servers without accounts ignore it.
        client = AsyncOpenAI(base_url=url, api_key=api_key or "not-set", http_client=http, max_retries=0)
        return cls(OpenAICompatibleProvider("openai-compatible", openai_client=client, profile=_COMPATIBLE))

    def _model(self, name: str) -> OpenAIChatModel:
        return OpenAIChatModel(name, provider=self._provider)
