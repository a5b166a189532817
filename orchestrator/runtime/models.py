"""Turns a model's name into a pydantic-ai model, with provider retries off (A8, A9)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from orchestrator.domain.agents import Agent
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.loopback import leads_to_this_machine
from orchestrator.runtime.gateways import refuse_other_than_events
from orchestrator.runtime.offline import offline_model

if TYPE_CHECKING:
    from orchestrator.runtime.anthropic_models import AnthropicModels

OPENAI_URL: Final = "https://api.openai.com/v1"

# Seconds. The whole call is bounded by the step's own time; `read` is the longest silence between two pieces.
_TIMEOUT: Final = httpx2.Timeout(connect=10.0, read=180.0, write=30.0, pool=30.0)
_LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
_OFFLINE_NAMES: Final = frozenset({OFFLINE_MODEL, OFFLINE_MODEL.replace("/", ":")})
# Servers that only resemble OpenAI's know the older `max_tokens` field.
_COMPATIBLE: Final = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)

_REMEDY: Final = {
    "openai": "Set OPENAI_API_KEY, or ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider.",
    "anthropic": "Set ANTHROPIC_API_KEY, or ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider.",
    "": "Name it openai:MODEL or anthropic:MODEL, or set ORCHESTRATOR_LLM_BASE_URL to the server that has it.",
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which providers can be reached. Names are `provider:model` or `provider/model`."""

    default_model: str | None = None
    llm_base_url: str | None = None
    llm_api_key: str | None = field(default=None, repr=False)
    openai_api_key: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)

    @property
    def offline(self) -> bool:
        """Whether no provider is configured, so that every prompted agent is drafted offline."""
        return not (self.llm_base_url or self.openai_api_key or self.anthropic_api_key)


class ModelSource:
    """Gives each agent call its model; all of them share one HTTP client, which `aclose` closes."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._http = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            trust_env=not leads_to_this_machine(config.llm_base_url or OPENAI_URL),
            event_hooks={"response": [refuse_other_than_events]},
        )
        self._anthropic = _anthropic(config.anthropic_api_key, self._http)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The configured keys, for scrubbing them out of messages."""
        config = self._config
        return tuple(key for key in (config.llm_api_key, config.openai_api_key, config.anthropic_api_key) if key)

    def model_for(self, agent: Agent, task: AgentTask) -> Model:
        """The model of one call: the request's choice, else the configured default, else the agent's (D-021, D-023).

        With a base URL everything goes there; with nothing configured the offline drafter answers.
        Raises `AgentError` of kind `model_not_configured` when the provider asked for has no key.
        """
        name = task.config.model or self._config.default_model or agent.settings.default_model
        if self._config.offline or name in _OFFLINE_NAMES:
            return offline_model(agent, task)
        provider, model = split_model_name(name)
        if self._config.llm_base_url:
            return OpenAIChatModel(model, provider=self._compatible)
        if provider == "openai" and self._config.openai_api_key:
            return OpenAIChatModel(model, provider=self._openai)
        if provider == "anthropic" and self._anthropic is not None:
            return self._anthropic.model(model)
        raise AgentError(
            f"No provider is configured for model {name!r}. {_REMEDY.get(provider, _REMEDY[''])}",
            kind="model_not_configured",
            retryable=False,
        )

    @cached_property
    def _compatible(self) -> Provider[AsyncOpenAI]:
        client = AsyncOpenAI(
            base_url=self._config.llm_base_url,
            # The client insists on a key; servers without accounts ignore it.
            api_key=self._config.llm_api_key or "not-set",
            http_client=self._http,
            max_retries=0,
        )
        return OpenAICompatibleProvider("openai-compatible", openai_client=client, profile=_COMPATIBLE)

    @cached_property
    def _openai(self) -> Provider[AsyncOpenAI]:
        key = self._config.openai_api_key
        return OpenAIProvider(
            openai_client=AsyncOpenAI(base_url=OPENAI_URL, api_key=key, http_client=self._http, max_retries=0)
        )


def _anthropic(api_key: str | None, http: httpx2.AsyncClient) -> "AnthropicModels | None":
    if not api_key:
        return None
    # Loaded at start, before any call waits for it, and only where it is used.
    from orchestrator.runtime.anthropic_models import AnthropicModels  # noqa: PLC0415

    return AnthropicModels(api_key, http)


def split_model_name(name: str) -> tuple[str, str]:
    """`(provider, model)` of `provider:model` or `provider/model`.

    Only known providers count as a prefix, because models of other servers carry colons and slashes themselves
    (`qwen2.5:7b`, `meta-llama/Llama-3-8B`). A bare name goes to Anthropic when it begins with `claude`, to OpenAI
    when it has neither sign, else to no provider (`""`).
    """
    for provider in ("openai", "anthropic"):
        for sign in (":", "/"):
            if name.startswith(provider + sign):
                return provider, name.removeprefix(provider + sign)
    if name.startswith("claude"):
        return "anthropic", name
    return ("" if {":", "/"} & set(name) else "openai"), name
