"""Routes of users' agents (O-009 to O-017)."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from api.deps import Svc
from api.dialects.agentorchestra import mapping
from api.dialects.agentorchestra.errors import ERRORS, AgentOrchestraRoute
from api.dialects.agentorchestra.guards import AgentsRead, AgentsWrite
from api.dialects.agentorchestra.models import (
    Agent,
    AgentDetailed,
    AgentPage,
    CreateAgentRequest,
    Message,
    UpdateAgentRequest,
)
from api.dialects.agentorchestra.paging import LAST_PAGE
from orchestrator.domain.user_agents import AgentStatus, Framework
from orchestrator.services.user_agents.agents import AgentFilter
from orchestrator.services.user_agents.executions import ExecutionFilter

router = APIRouter(prefix="/api/agents", tags=["Agents"], route_class=AgentOrchestraRoute, responses=ERRORS)

SHOWN_EXECUTIONS: Final = 10


@router.get("", response_model_exclude_none=True)
async def list_agents(
    *,
    principal: AgentsRead,
    services: Svc,
    framework: Annotated[Framework | None, Query()] = None,
    status: Annotated[AgentStatus | None, Query()] = None,
    page: Annotated[int, Query(ge=1)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> AgentPage:
    """The caller's agents, newest first."""
    offset = (min(page, LAST_PAGE) - 1) * limit
    result = await services.user_agents.list(principal, AgentFilter(framework, status, limit, offset))
    rows = [mapping.agent(live) for live in result.rows]
    return AgentPage(agents=rows, pagination=mapping.pagination(page, limit, result.total))


@router.post("", status_code=201, response_model_exclude_none=True)
async def create_agent(body: CreateAgentRequest, principal: AgentsWrite, services: Svc) -> Agent:
    """Create an agent."""
    return mapping.agent(await services.user_agents.create(principal, mapping.agent_request(body)))


@router.get("/{id}", response_model_exclude_none=True)
async def get_agent(id: str, principal: AgentsRead, services: Svc) -> AgentDetailed:
    """One agent with its newest executions."""
    live = await services.user_agents.get(principal, id)
    newest = await services.executions.list(principal, ExecutionFilter(agent_id=id, limit=SHOWN_EXECUTIONS))
    return mapping.agent_detailed(live, newest.rows)


@router.put("/{id}", response_model_exclude_none=True)
async def update_agent(id: str, body: UpdateAgentRequest, principal: AgentsWrite, services: Svc) -> Agent:
    """Change the fields that are in the body."""
    return mapping.agent(await services.user_agents.change(principal, id, mapping.agent_changes(body)))


@router.delete("/{id}")
async def delete_agent(id: str, principal: AgentsWrite, services: Svc) -> Message:
    """Delete an agent and its executions. Open executions are cancelled."""
    cancelled = await services.user_agents.delete(principal, id)
    return Message(message=f"Agent deleted; {cancelled} open executions cancelled")
