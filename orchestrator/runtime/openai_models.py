"""Models of OpenAI and of compatible servers, in their own module: the import takes half a second."""

import json
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI
from openai.resources.chat import AsyncChat, AsyncCompletions
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.tools import ToolDefinition

from orchestrator.runtime.recent import Recent

MODELS: Final = 100  # Models that are kept: their names may come from requests.
# Compatible servers know the older field `max_tokens`.
_COMPATIBLE: Final = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)

_SCHEMAS: Final = 2_000_000  # Characters of converted schemas that are kept. They may come from MCP servers.
# The parameters of a request that the client itself needs.
_OWN: Final = ("model", "stream", "timeout", "extra_headers", "extra_query")


class _Completions(AsyncCompletions):
    """Sends the body of a request as it is.

    The client would convert each message and tool with the types of its parameters. That changes nothing in what the
    model layer sends, and takes as long as the rest of the request.
    """

    async def create(self, *, extra_body: Any = None, **parameters: Any) -> Any:
        """The response, or the stream of one."""
        own = {name: parameters.pop(name) for name in _OWN if name in parameters}
        return await super().create(messages=(), **own, extra_body={**parameters, **(extra_body or {})})


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        """The completions that need no conversion."""
        return _Completions(self._client)


class _Client(AsyncOpenAI):
    @cached_property
    def chat(self) -> AsyncChat:
        """The chats that need no conversion."""
        return _Chat(self)


class _Model(OpenAIChatModel):
    """Converts the schema of each tool once: that takes half a millisecond for an answer with a few fields."""

    def __init__(self, name: str, provider: Provider[AsyncOpenAI], converted: Recent[str, ToolDefinition]) -> None:
        super().__init__(name, provider=provider)
        self._converted = converted

    def customize_request_parameters(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        """The parameters as the provider takes them."""
        tools, outputs = model_request_parameters.function_tools, model_request_parameters.output_tools
        others = replace(model_request_parameters, function_tools=[], output_tools=[])
        return replace(
            super().customize_request_parameters(others),
            function_tools=[self._tool(tool) for tool in tools],
            output_tools=[self._tool(tool) for tool in outputs],
        )

    def _tool(self, tool: ToolDefinition) -> ToolDefinition:
        schema = json.dumps(tool.parameters_json_schema)
        key = f"{self.profile.get('json_schema_transformer')} {tool.strict} {schema}"
        converted = self._converted.get(key)
        if converted is None:
            alone = ModelRequestParameters(function_tools=[tool])
            [converted] = super().customize_request_parameters(alone).function_tools
            self._converted.add(key, converted, 2 * len(key))
        return replace(tool, parameters_json_schema=converted.parameters_json_schema, strict=converted.strict)


class OpenAIModels:
    """Creates models by name on one client, without the provider's retries: Temporal owns all retries."""

    def __init__(self, provider: Provider[AsyncOpenAI]) -> None:
        self._provider = provider
        self._converted: Recent[str, ToolDefinition] = Recent(_SCHEMAS)
        self.model = lru_cache(maxsize=MODELS)(self._model)

    @classmethod
    def of_openai(cls, url: str, api_key: str, http: httpx2.AsyncClient) -> "OpenAIModels":
        """Models of OpenAI."""
        client = _Client(base_url=url, api_key=api_key, http_client=http, max_retries=0)
        return cls(OpenAIProvider(openai_client=client))

    @classmethod
    def of_compatible(cls, url: str, api_key: str | None, http: httpx2.AsyncClient) -> "OpenAIModels":
        """Models of a server with OpenAI's protocol."""
        # The client requires a key; servers without accounts ignore it.
        client = _Client(base_url=url, api_key=api_key or "not-set", http_client=http, max_retries=0)
        return cls(OpenAICompatibleProvider("openai-compatible", openai_client=client, profile=_COMPATIBLE))

    def _model(self, name: str) -> OpenAIChatModel:
        return _Model(name, self._provider, self._converted)
