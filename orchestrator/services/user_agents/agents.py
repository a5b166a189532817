"""Agents that users make for themselves: create, list, change, delete (O-009 to O-017, C-41, C-42)."""

import asyncio
import builtins
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
    """What a new agent is to be."""

    name: str
    framework: Framework
    description: str | None
    configuration: dict[str, Any]
    tags: list[str]
    active: bool


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents a list shows. Empty fields do not filter."""

    framework: Framework | None
    status: AgentStatus | None
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class AgentPage:
    """One page of agents, newest first, and how many there are in all."""

    rows: builtins.list[LiveAgent]
    total: int


class UserAgents:
    """Everybody, administrators too, sees their own agents alone. Every method raises `Unavailable`."""

    def __init__(
        self,
        agents: UserAgentRepository,
        executions: ExecutionRepository,
        controller: JobController,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        most: int,
    ) -> None:
        self._most = most
        self._agents = agents
        self._executions = executions
        self._controller = controller
        self._clock = clock
        self._new_id = new_id

    async def create(self, principal: Principal, request: AgentRequest) -> LiveAgent:
        """A new agent of the caller's. Raises `InvalidInput` for one too large, or one too many."""
        check_size("configuration", **_sized(request))
        at = self._clock()
        agent = UserAgent(
            id=new_agent_id(self._new_id()),
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
        await self._agents.add(agent, most=self._most)
        return LiveAgent(agent, AgentStatus.IDLE if agent.active else AgentStatus.STOPPED)

    async def list(self, principal: Principal, wanted: AgentFilter) -> AgentPage:
        """One page of the caller's agents."""
        rows, total = await self._agents.list(
            principal.id,
            framework=wanted.framework,
            status=wanted.status,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        return AgentPage(rows, total)

    async def get(self, principal: Principal, agent_id: str) -> LiveAgent:
        """One agent, as it is now. Raises `NotFound`."""
        found = await self._agents.get(principal.id, agent_id)
        if found is None:
            raise unknown_agent(agent_id)
        return found

    async def change(self, principal: Principal, agent_id: str, values: dict[str, Any]) -> LiveAgent:
        """Change what is given: `name`, `description`, `configuration`, `tags`, `active`.

        Raises `NotFound`, and `InvalidInput` for what makes the agent too large.
        """
        found = await self._agents.find(principal.id, agent_id)
        if found is None:
            raise unknown_agent(agent_id)
        changed = {name: values.get(name, held) for name, held in _sized(found).items()}
        check_size("configuration", **changed)
        if not await self._agents.change(principal.id, agent_id, **values, updated_at=self._clock()):
            raise unknown_agent(agent_id)
        return await self.get(principal, agent_id)

    async def delete(self, principal: Principal, agent_id: str) -> int:
        """Cancel the agent's open executions, then forget it and them; how many were cancelled. Raises `NotFound`."""
        if await self._agents.find(principal.id, agent_id) is None:
            raise unknown_agent(agent_id)
        cancelled = await self._cancel_open(principal, agent_id, set())
        if not await self._agents.delete(principal.id, agent_id, at=self._clock()):  # somebody else was faster
            raise unknown_agent(agent_id)
        cancelled = await self._cancel_open(principal, agent_id, cancelled)  # what was started in between
        log.info("user_agent_deleted", agent_id=agent_id, owner=principal.id, cancelled=len(cancelled))
        return len(cancelled)

    async def _cancel_open(self, principal: Principal, agent_id: str, asked: set[str]) -> set[str]:
        """Cancel what is open and was not `asked` before; all that has been asked now."""
        found = set(await self._executions.open(principal.id, agent_id)) - asked
        await asyncio.gather(*(self._cancel(principal, job_id) for job_id in found))
        return asked | found

    async def _cancel(self, principal: Principal, job_id: str) -> None:
        with suppress(WrongState, NotFound):  # it ended by itself
            await self._controller.cancel(principal, job_id, "its agent was deleted", patience=0)


def _sized(agent: AgentRequest | UserAgent) -> dict[str, Any]:
    return {name: getattr(agent, name) for name in _SIZED}


def unknown_agent(agent_id: str) -> NotFound:
    """The one answer for an agent that is not there, or another owner's."""
    return NotFound(f"Unknown agent: {agent_id[:80]}", agent_id=agent_id[:80])
