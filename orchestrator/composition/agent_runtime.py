"""Opens the runtime that calls models. It is imported once the process serves: the provider libraries load slowly."""

import os
from dataclasses import dataclass

from pydantic import SecretStr

from orchestrator.composition.backend import Backend, now
from orchestrator.delivery.pages import PageReader
from orchestrator.domain.catalogue import Catalogue
from orchestrator.runtime import models as model_sources
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.mcp_servers import McpServers
from orchestrator.runtime.mcp_tools import McpTools
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from orchestrator.runtime.tool_calls import ToolRunner
from orchestrator.runtime.tool_secrets import ToolSecrets
from orchestrator.runtime.turn_records import TurnRecords
from orchestrator.runtime.turns import TurnRunner
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenRuntime:
    """The runtime of agents and of their tools, and what must be closed after it."""

    runner: AgentRunner
    tools: ToolRunner
    models: ModelSource
    pages: PageReader
    servers: McpServers

    async def aclose(self) -> None:
        """Close the connections to models, MCP servers and pages."""
        await self.servers.aclose()
        await self.models.aclose()
        await self.pages.aclose()


def open_runtime(settings: Settings, bulkhead: Bulkhead, catalogue: Catalogue, backend: Backend) -> OpenRuntime:
    """The agent runtime over the providers that the settings configure."""
    return runtime_of(ModelSource(_model_config(settings), bulkhead), settings, bulkhead, catalogue, backend)


def import_providers(settings: Settings) -> None:
    """Import the clients of the providers that the settings configure."""
    model_sources.import_providers(_model_config(settings))


def _model_config(settings: Settings) -> ModelConfig:
    return ModelConfig(
        default_model=settings.default_model,
        llm_base_url=settings.llm_base_url,
        llm_api_key=_plain(settings.llm_api_key),
        openai_api_key=_plain(settings.openai_api_key),
        anthropic_api_key=_plain(settings.anthropic_api_key),
        drafted=settings.model_providers().drafted,
        always_stream=settings.always_stream,
    )


def runtime_of(
    models: ModelSource, settings: Settings, bulkhead: Bulkhead, catalogue: Catalogue, backend: Backend
) -> OpenRuntime:
    """The agent runtime over any source of models."""
    secrets, records = ToolSecrets(os.environ), TurnRecords(backend.artifacts)
    servers = McpServers(secrets)
    mcp_tools = McpTools(records, servers)
    pages = PageReader(allow_private=settings.webhook_allow_private, look_ups=backend.look_ups)
    turns = TurnRunner(models, records, mcp_tools, catalogue, clock=now, bulkhead=bulkhead)
    tools = ToolRunner(records, mcp_tools, pages, secrets, bulkhead)
    return OpenRuntime(AgentRunner(models, now, bulkhead, turns), tools, models, pages, servers)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
