"""Creates pydantic-ai models from model names, without the providers' retries: Temporal owns all retries."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx2
from pydantic_ai.models import Model

from orchestrator.domain.agents import Agent
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError, ModelNotConfigured
from orchestrator.domain.model_choice import DOCUMENTED_MODELS, ChosenModel, Providers
from orchestrator.network.loopback import leads_to_this_machine
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.gateways import refuse_other_than_answers
from orchestrator.runtime.offline import offline_model

if TYPE_CHECKING:
    from orchestrator.runtime.anthropic_models import AnthropicModels
    from orchestrator.runtime.openai_models import OpenAIModels

OPENAI_URL: Final = "https://api.openai.com/v1"

# Seconds. The step's timeout limits the whole call. `read` limits the time between two pieces of a stream.
_TIMEOUT: Final = httpx2.Timeout(connect=10.0, read=180.0, write=30.0, pool=30.0)
_LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The configured providers and keys."""

    default_model: str | None = None
    llm_base_url: str | None = None
    llm_api_key: str | None = field(default=None, repr=False)
    openai_api_key: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)
    drafted: frozenset[str] = DOCUMENTED_MODELS
    always_stream: bool = False

    @property
    def providers(self) -> Providers:
        """The configured providers, without their keys."""
        return Providers(
            openai=bool(self.openai_api_key),
            anthropic=bool(self.anthropic_api_key),
            base_url=bool(self.llm_base_url),
            default_model=self.default_model,
            drafted=self.drafted,
        )


class ModelSource:
    """Selects the model of each agent call. All models share one HTTP client, which `aclose` closes."""

    def __init__(self, config: ModelConfig, bulkhead: Bulkhead | None = None) -> None:
        self._config = config
        self._providers = config.providers
        self._bulkhead = bulkhead or Bulkhead()
        self._http = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            trust_env=not leads_to_this_machine(config.llm_base_url or OPENAI_URL),
            event_hooks={"response": [refuse_other_than_answers]},
        )
        self._openai = _openai(config, self._http)
        self._anthropic = _anthropic(config.anthropic_api_key, self._http)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    @property
    def streams(self) -> bool:
        """Whether every request is for a stream, also if nobody reads its text."""
        return self._config.always_stream

    @property
    def secrets(self) -> tuple[str, ...]:
        """The configured keys, which are masked in messages."""
        config = self._config
        return tuple(key for key in (config.llm_api_key, config.openai_api_key, config.anthropic_api_key) if key)

    def model_for(self, agent: Agent, task: AgentTask) -> Model:
        """The model of a call, as `Providers.choose` says.

        Raises `AgentError` of kind `model_not_configured` if the model's provider has no key.
        """
        try:
            choice = self._providers.choose(agent, task.config.model)
        except ModelNotConfigured as error:
            raise AgentError(error.message, kind=error.code, retryable=False) from None
        return self._model(choice) or offline_model(agent, task, self._bulkhead)

    def _model(self, choice: ChosenModel) -> Model | None:
        """The model of a provider; None for the offline drafter."""
        if choice.provider == "openai" and self._openai is not None:
            return self._openai.model(choice.name)
        if choice.provider == "anthropic" and self._anthropic is not None:
            return self._anthropic.model(choice.name)
        return None


def import_providers(config: ModelConfig) -> None:
    """Import the clients of the configured providers, which takes up to a second, so that no call waits for it."""
    if config.llm_base_url or config.openai_api_key:
        import orchestrator.runtime.openai_models  # noqa: PLC0415
    if config.anthropic_api_key:
        import orchestrator.runtime.anthropic_models  # noqa: F401, PLC0415


def _openai(config: ModelConfig, http: httpx2.AsyncClient) -> "OpenAIModels | None":
    if not (config.llm_base_url or config.openai_api_key):
        return None
    from orchestrator.runtime.openai_models import OpenAIModels  # noqa: PLC0415

    if config.llm_base_url:
        return OpenAIModels.of_compatible(config.llm_base_url, config.llm_api_key, http)
    return OpenAIModels.of_openai(OPENAI_URL, config.openai_api_key or "", http)


def _anthropic(api_key: str | None, http: httpx2.AsyncClient) -> "AnthropicModels | None":
    if not api_key:
        return None
    from orchestrator.runtime.anthropic_models import AnthropicModels  # noqa: PLC0415

    return AnthropicModels(api_key, http)
