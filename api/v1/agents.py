"""Routes of agents (D-016, D-021, D-023, D-031)."""

from fastapi import APIRouter, Request, Response

from api.deps import Svc, waiting
from api.idempotency import IdempotencyKey
from api.outputs import whole_output
from api.security import AgentsExecute, AgentsRead
from api.v1.bodies import StartBody
from api.v1.catalogue import AgentDetail, AgentHealthBody, AgentList, agent_detail, agent_health, agent_list
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.models import AgentAccepted, Finished
from api.v1.rendering import agent_accepted, agent_finished
from api.v1.starts import START_ERRORS, announce, finished, first_look, start_request
from orchestrator.domain.ids import JobKind

router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=V1Route, responses=ERRORS)


@router.get("")
async def list_agents(principal: AgentsRead, services: Svc) -> AgentList:
    """Every agent, with live availability."""
    return agent_list(services.catalogue.agents(), await services.catalogue.availability())


@router.get("/{agent_id}", responses=NOT_FOUND)
async def get_agent(agent_id: str, principal: AgentsRead, services: Svc) -> AgentDetail:
    """One agent with its input schema, output schema, settings and price."""
    return agent_detail(services.catalogue.agent(agent_id))


@router.get("/{agent_id}/health", responses=NOT_FOUND)
async def get_agent_health(agent_id: str, principal: AgentsRead, services: Svc) -> AgentHealthBody:
    """Health of one agent over the last 24 hours."""
    health, availability = await services.catalogue.health(agent_id)
    return agent_health(agent_id, health, availability)


@router.post("/{agent_id}/execute", responses={**START_ERRORS, 202: {"model": AgentAccepted}})
async def execute_agent(
    *,
    request: Request,
    agent_id: str,
    body: StartBody,
    principal: AgentsExecute,
    services: Svc,
    response: Response,
    key: IdempotencyKey = None,
) -> Finished | AgentAccepted:
    """Run one agent. Synchronous: 200 when the job has ended, also if it failed; 503 when the synchronous wait runs
    out, and the job continues. Asynchronous: 202 at once."""
    with waiting(request, principal, waits=not body.asynchronous):
        started = await services.starter.start(principal, start_request(JobKind.AGENT, agent_id, body, key))
        announce(response, started, asynchronous=body.asynchronous)
        if body.asynchronous:
            eta = await services.catalogue.eta_seconds(JobKind.AGENT, agent_id)
            return agent_accepted(started, await first_look(services, principal, started), eta)
        job = await finished(request, services, principal, started)
        return agent_finished(job, await whole_output(services, job))
