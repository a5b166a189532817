"""Creates pydantic-ai models from model names, without the providers' retries: Temporal owns all retries."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx2
from pydantic_ai.models import Model

from orchestrator.domain.agents import Agent
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.network.loopback import leads_to_this_machine
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.gateways import refuse_other_than_events
from orchestrator.runtime.offline import offline_model

if TYPE_CHECKING:
    from orchestrator.runtime.anthropic_models import AnthropicModels
    from orchestrator.runtime.openai_models import OpenAIModels

OPENAI_URL: Final = "https://api.openai.com/v1"

# Seconds. The step's timeout limits the whole call. `read` limits the time between two pieces of a stream.
_TIMEOUT: Final = httpx2.Timeout(connect=10.0, read=180.0, write=30.0, pool=30.0)
_LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
_OFFLINE_NAMES: Final = frozenset({OFFLINE_MODEL, OFFLINE_MODEL.replace("/", ":")})

_REMEDY: Final = {
    "openai": "Set OPENAI_API_KEY, or ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider.",
    "anthropic": "Set ANTHROPIC_API_KEY, or ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider.",
    "": "Write it as openai:MODEL or anthropic:MODEL, or set ORCHESTRATOR_LLM_BASE_URL to the server that has it.",
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The configured providers and keys. Model names are `provider:model` or `provider/model`."""

    default_model: str | None = None
    llm_base_url: str | None = None
    llm_api_key: str | None = field(default=None, repr=False)
    openai_api_key: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)

    @property
    def offline(self) -> bool:
        """Whether no provider is configured, so that the offline drafter answers every call."""
        return not (self.llm_base_url or self.openai_api_key or self.anthropic_api_key)


class ModelSource:
    """Selects the model of each agent call. All models share one HTTP client, which `aclose` closes."""

    def __init__(self, config: ModelConfig, bulkhead: Bulkhead | None = None) -> None:
        self._config = config
        self._bulkhead = bulkhead or Bulkhead()
        self._http = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            trust_env=not leads_to_this_machine(config.llm_base_url or OPENAI_URL),
            event_hooks={"response": [refuse_other_than_events]},
        )
        self._openai = _openai(config, self._http)
        self._anthropic = _anthropic(config.anthropic_api_key, self._http)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The configured keys, which are masked in messages."""
        config = self._config
        return tuple(key for key in (config.llm_api_key, config.openai_api_key, config.anthropic_api_key) if key)

    def model_for(self, agent: Agent, task: AgentTask) -> Model:
        """The model of a call: the one in the request, else the configured default, else the agent's (D-021, D-023).

        With a base URL, that server gets every call. Without any provider, the offline drafter answers.
        Raises `AgentError` of kind `model_not_configured` if the model's provider has no key.
        """
        name = task.config.model or self._config.default_model or agent.settings.default_model
        if self._config.offline or name in _OFFLINE_NAMES:
            return offline_model(agent, task, self._bulkhead)
        provider, model = split_model_name(name)
        if self._openai is not None and (self._config.llm_base_url or provider == "openai"):
            return self._openai.model(model)
        if provider == "anthropic" and self._anthropic is not None:
            return self._anthropic.model(model)
        raise AgentError(
            f"No provider is configured for model {name!r}. {_REMEDY.get(provider, _REMEDY[''])}",
            kind="model_not_configured",
            retryable=False,
        )


def _openai(config: ModelConfig, http: httpx2.AsyncClient) -> "OpenAIModels | None":
    if not (config.llm_base_url or config.openai_api_key):
        return None
    # Imported at start, so that no call waits for it, and only if it is used.
    from orchestrator.runtime.openai_models import OpenAIModels  # noqa: PLC0415

    if config.llm_base_url:
        return OpenAIModels.of_compatible(config.llm_base_url, config.llm_api_key, http)
    return OpenAIModels.of_openai(OPENAI_URL, config.openai_api_key or "", http)


def _anthropic(api_key: str | None, http: httpx2.AsyncClient) -> "AnthropicModels | None":
    if not api_key:
        return None
    from orchestrator.runtime.anthropic_models import AnthropicModels  # noqa: PLC0415

    return AnthropicModels(api_key, http)


def split_model_name(name: str) -> tuple[str, str]:
    """Split `provider:model` or `provider/model` into `(provider, model)`.

    Only known providers are a prefix, because model names of other servers contain colons and slashes
    (`qwen2.5:7b`, `meta-llama/Llama-3-8B`). Without a provider, a name that begins with `claude` belongs to Anthropic,
    a name without colon and slash to OpenAI, and any other name to no provider (`""`).
    """
    for provider in ("openai", "anthropic"):
        for separator in (":", "/"):
            if name.startswith(provider + separator):
                return provider, name.removeprefix(provider + separator)
    if name.startswith("claude"):
        return "anthropic", name
    return ("" if {":", "/"} & set(name) else "openai"), name
