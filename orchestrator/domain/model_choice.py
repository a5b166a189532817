"""Which model an agent call uses. The API asks before it starts a job, the worker before each call."""

from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import ModelNotConfigured
from orchestrator.domain.names import OFFLINE_MODEL

Provider = Literal["offline", "openai", "anthropic"]

EVERY_MODEL: Final = "*"
DOCUMENTED_MODELS: Final = frozenset({"anthropic/claude-3.5-sonnet", "gpt-4"})
"""The models of the documented examples, which work on a machine without a provider."""

_OFFLINE_NAMES: Final = frozenset({OFFLINE_MODEL, OFFLINE_MODEL.replace("/", ":")})
_REMEDY: Final = {
    "openai": "Set OPENAI_API_KEY, or choose a model of a configured provider.",
    "anthropic": "Set ANTHROPIC_API_KEY, or choose a model of a configured provider.",
    "": "Write it as openai:MODEL or anthropic:MODEL, or set ORCHESTRATOR_LLM_BASE_URL to the server that has it.",
}
_WITHOUT_PROVIDERS: Final = (
    "Leave the model out, or use offline/drafter, for an offline draft; otherwise set OPENAI_API_KEY, "
    "ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL."
)


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model that can be called: its provider and its name there. `openai` includes servers with OpenAI's protocol."""

    provider: Provider
    name: str


@dataclass(frozen=True, slots=True)
class Providers:
    """The configured providers, without their keys. With `base_url`, one server gets every call.

    `drafted` are the models that the offline drafter may replace while no provider is configured; `*` is every model.
    """

    openai: bool = False
    anthropic: bool = False
    base_url: bool = False
    default_model: str | None = None
    drafted: frozenset[str] = DOCUMENTED_MODELS

    @property
    def offline(self) -> bool:
        """Whether no provider is configured, so that the offline drafter answers calls without a requested model."""
        return not (self.base_url or self.openai or self.anthropic)

    def choose(self, agent: Agent, requested: str | None) -> ChosenModel:
        """The model of a call: the requested one, else the agent's `model`, else the default of the installation, else
        the default of the agent's settings (D-021, D-023).

        Raises `ModelNotConfigured`.
        """
        if requested is not None:
            return self.requested(requested)
        return self.configured(agent.model or self.default_model or agent.settings.default_model)

    def requested(self, name: str) -> ChosenModel:
        """The model that a request names. It is never replaced in silence. Raises `ModelNotConfigured`."""
        if self.offline and name not in _OFFLINE_NAMES and not self.drafted & {name, EVERY_MODEL}:
            raise ModelNotConfigured(name, f"No model provider is configured. {_WITHOUT_PROVIDERS}")
        return self.configured(name)

    def configured(self, name: str) -> ChosenModel:
        """The model that an agent or a setting names: an offline draft without any provider.

        Raises `ModelNotConfigured` if its provider is not configured, but another one is.
        """
        if self.offline or name in _OFFLINE_NAMES:
            return ChosenModel("offline", OFFLINE_MODEL)
        provider, model = split_model_name(name)
        if self.base_url or (provider == "openai" and self.openai):
            return ChosenModel("openai", model)
        if provider == "anthropic" and self.anthropic:
            return ChosenModel("anthropic", model)
        raise ModelNotConfigured(name, f"No provider is configured for it. {_REMEDY[provider]}")


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
