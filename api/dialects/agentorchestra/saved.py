"""Routes of saved configurations and webhooks (O-032 to O-040, C-51, C-52, C-55)."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from api.deps import Svc
from api.dialects.agentorchestra import mapping
from api.dialects.agentorchestra.errors import ERRORS, AgentOrchestraRoute
from api.dialects.agentorchestra.guards import AgentsRead, AgentsWrite, Caller
from api.dialects.agentorchestra.models import (
    Configuration,
    ConfigurationList,
    CreateWebhookRequest,
    SaveConfigurationRequest,
    WebhookCreated,
    WebhookRows,
)
from orchestrator.domain.user_agents import Framework
from orchestrator.services.user_agents.configurations import ConfigurationFilter, ConfigurationRequest

router = APIRouter(prefix="/api", route_class=AgentOrchestraRoute, responses=ERRORS)

CONFIGURATIONS: Final = ["Configurations"]
WEBHOOKS: Final = ["Webhooks"]


@router.get("/configurations", tags=[*CONFIGURATIONS], response_model_exclude_none=True)
async def list_configurations(
    *,
    principal: AgentsRead,
    services: Svc,
    framework: Annotated[Framework | None, Query()] = None,
    template: Annotated[bool, Query(description="Templates only.")] = False,
    public: Annotated[bool, Query(description="Also public configurations of other users.")] = False,
    search: Annotated[str | None, Query(description="Text in name or description.")] = None,
) -> ConfigurationList:
    """Saved configurations, newest first."""
    criteria = ConfigurationFilter(framework=framework, templates=template, public=public, search=search)
    rows = await services.configurations.list(principal, criteria)
    return ConfigurationList(configurations=[mapping.configuration(saved) for saved in rows])


@router.post("/configurations", tags=[*CONFIGURATIONS], status_code=201, response_model_exclude_none=True)
async def save_configuration(body: SaveConfigurationRequest, principal: AgentsWrite, services: Svc) -> Configuration:
    """Save a configuration."""
    request = ConfigurationRequest(
        name=body.name,
        framework=body.framework,
        configuration=body.configuration,
        description=body.description,
        template=body.is_template,
        public=body.is_public,
    )
    return mapping.configuration(await services.configurations.save(principal, request))


@router.get("/webhooks", tags=[*WEBHOOKS], response_model_exclude_none=True)
async def list_webhooks(principal: Caller, services: Svc) -> WebhookRows:
    """The caller's webhooks, without their secrets."""
    rows = await services.webhooks.own(principal)
    return WebhookRows(webhooks=[mapping.webhook(row) for row in rows])


@router.post("/webhooks", tags=[*WEBHOOKS], status_code=201)
async def create_webhook(body: CreateWebhookRequest, principal: Caller, services: Svc) -> WebhookCreated:
    """Register a webhook."""
    registered = await services.webhooks.register(
        principal, url=body.url, events=body.events, secret=body.secret, any_event=True
    )
    return WebhookCreated(id=registered.webhook.id)
