"""What only a process with a worker needs: the agent runtime, with the provider libraries that come with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenRuntime:
    """The runtime, and the models whose connections are to be closed after it."""

    runner: AgentRunner
    models: ModelSource


def open_runtime(settings: Settings, clock: Callable[[], datetime], bulkhead: Bulkhead) -> OpenRuntime:
    """The agent runtime over the providers that the settings configure."""
    models = ModelSource(
        ModelConfig(
            default_model=settings.default_model,
            llm_base_url=settings.llm_base_url,
            llm_api_key=_plain(settings.llm_api_key),
            openai_api_key=_plain(settings.openai_api_key),
            anthropic_api_key=_plain(settings.anthropic_api_key),
        ),
        bulkhead,
    )
    return OpenRuntime(AgentRunner(models, clock, bulkhead), models)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
