"""Opens the runtime that calls models. It is imported at the first call: the provider libraries load slowly."""

from dataclasses import dataclass

from pydantic import SecretStr

from orchestrator.composition.backend import now
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenRuntime:
    """The runtime, and the models whose connections must be closed after it."""

    runner: AgentRunner
    models: ModelSource


def open_runtime(settings: Settings, bulkhead: Bulkhead) -> OpenRuntime:
    """The agent runtime over the providers that the settings configure."""
    models = ModelSource(
        ModelConfig(
            default_model=settings.default_model,
            llm_base_url=settings.llm_base_url,
            llm_api_key=_plain(settings.llm_api_key),
            openai_api_key=_plain(settings.openai_api_key),
            anthropic_api_key=_plain(settings.anthropic_api_key),
            drafted=settings.model_providers().drafted,
        ),
        bulkhead,
    )
    return OpenRuntime(AgentRunner(models, now, bulkhead), models)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
