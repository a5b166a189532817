"""Creates, lists, changes and deletes users' agents (O-009 to O-017, C-41, C-42)."""

import asyncio
import builtins
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import NotFound, WrongState
from orchestrator.domain.rows import check_size
from orchestrator.domain.user_agents import AgentStatus, Framework, LiveAgent, UserAgent
from orchestrator.domain.user_agents import agent_id as new_agent_id
from orchestrator.services.jobs.controls import JobController
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.user_agents import UserAgentRepository

log = structlog.get_logger(__name__)

_SIZED: Final = ("name", "description", "configuration", "tags")


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """The values of a new agent."""

    name: str
    framework: Framework
    description: str | None
    configuration: dict[str, Any]
    tags: list[str]
    active: bool


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Selects agents for a list. Empty fields do not filter."""

    framework: Framework | None
    status: AgentStatus | None
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class AgentPage:
    """One page of agents, newest first, and the total."""

    rows: builtins.list[LiveAgent]
    total: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserAgents:
    """A caller sees only the caller's own agents, as an administrator too. Every method raises `Unavailable`."""

    agents: UserAgentRepository
    executions: ExecutionRepository
    controller: JobController
    _: KW_ONLY
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    most: int

    async def create(self, principal: Principal, request: AgentRequest) -> LiveAgent:
        """A new agent of the caller. Raises `InvalidInput` if it is too large, or above the limit of `most` agents."""
        check_size("configuration", **_sized(request))
        at = self.clock()
        agent = UserAgent(
            id=new_agent_id(self.new_id()),
            owner=principal.id,
            name=request.name,
            description=request.description,
            framework=request.framework,
            configuration=request.configuration,
            tags=request.tags,
            active=request.active,
            created_at=at,
            updated_at=at,
        )
        await self.agents.add(agent, most=self.most)
        return LiveAgent(agent, AgentStatus.IDLE if agent.active else AgentStatus.STOPPED)

    async def list(self, principal: Principal, filter: AgentFilter) -> AgentPage:
        """One page of the caller's agents."""
        rows, total = await self.agents.list(
            principal.id,
            framework=filter.framework,
            status=filter.status,
            limit=filter.limit,
            offset=filter.offset,
        )
        return AgentPage(rows, total)

    async def get(self, principal: Principal, agent_id: str) -> LiveAgent:
        """One agent with its present status. Raises `NotFound`."""
        agent = await self.agents.get(principal.id, agent_id)
        if agent is None:
            raise unknown_agent(agent_id)
        return agent

    async def change(self, principal: Principal, agent_id: str, values: dict[str, Any]) -> LiveAgent:
        """Change the given fields: `name`, `description`, `configuration`, `tags`, `active`.

        Raises `NotFound`, and `InvalidInput` for values that make the agent too large.
        """
        agent = await self.agents.find(principal.id, agent_id)
        if agent is None:
            raise unknown_agent(agent_id)
        changed = {name: values.get(name, value) for name, value in _sized(agent).items()}
        check_size("configuration", **changed)
        if not await self.agents.change(principal.id, agent_id, **values, updated_at=self.clock()):
            raise unknown_agent(agent_id)
        return await self.get(principal, agent_id)

    async def delete(self, principal: Principal, agent_id: str) -> int:
        """Cancel the open executions of an agent and delete it. Returns how many were cancelled. Raises `NotFound`."""
        if await self.agents.find(principal.id, agent_id) is None:
            raise unknown_agent(agent_id)
        cancelled = await self._cancel_open(principal, agent_id, set())
        if not await self.agents.delete(principal.id, agent_id, at=self.clock()):  # another request has deleted it
            raise unknown_agent(agent_id)
        cancelled = await self._cancel_open(principal, agent_id, cancelled)  # executions that started in between
        log.info("user_agent_deleted", agent_id=agent_id, owner=principal.id, cancelled=len(cancelled))
        return len(cancelled)

    async def _cancel_open(self, principal: Principal, agent_id: str, cancelled: set[str]) -> set[str]:
        """Cancel the open executions that are not in `cancelled`. Returns all that are cancelled now."""
        open_ids = set(await self.executions.open(principal.id, agent_id)) - cancelled
        await asyncio.gather(*(self._cancel(principal, job_id) for job_id in open_ids))
        return cancelled | open_ids

    async def _cancel(self, principal: Principal, job_id: str) -> None:
        with suppress(WrongState, NotFound):  # it has ended meanwhile
            await self.controller.cancel(principal, job_id, "its agent was deleted", patience=0)


def _sized(agent: AgentRequest | UserAgent) -> dict[str, Any]:
    return {name: getattr(agent, name) for name in _SIZED}


def unknown_agent(agent_id: str) -> NotFound:
    """The error for an agent that does not exist or has another owner."""
    return NotFound(f"Unknown agent: {agent_id[:80]}", agent_id=agent_id[:80])
