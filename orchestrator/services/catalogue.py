"""Reads the catalogue: agents with availability and health, workflows with estimates."""

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.metrics import AgentHealth
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.storage.attempts import AttemptRepository

_RANGE: Final = re.compile(r"(\d+)\s*-\s*(\d+)\s*(second|minute|hour)")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}
_HEALTH_WINDOW: Final = timedelta(hours=24)
_FIRST_GUESS: Final = 20


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether agents can run now, and when this was checked."""

    available: bool
    checked_at: datetime


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CatalogueReader:
    """Reads the catalogue (D-016, D-021, D-031, D-032, D-035)."""

    catalogue: Catalogue
    gateway: TemporalGateway
    attempts: AttemptRepository
    _: KW_ONLY
    task_queue: str
    clock: Callable[[], datetime]

    def agents(self) -> list[Agent]:
        """Every agent, in the catalogue's order."""
        return list(self.catalogue.agents.values())

    def agent(self, agent_id: str) -> Agent:
        """One agent. Raises `NotFound`."""
        return self.catalogue.agent(agent_id)

    def workflows(self) -> list[WorkflowDefinition]:
        """Every workflow, in the catalogue's order."""
        return list(self.catalogue.workflows.values())

    def workflow(self, workflow_id: str) -> WorkflowDefinition:
        """One workflow. Raises `NotFound`."""
        return self.catalogue.workflow(workflow_id)

    def has(self, kind: JobKind, target: str) -> bool:
        """Whether there is an agent or a workflow with this id."""
        return target in (self.catalogue.agents if kind is JobKind.AGENT else self.catalogue.workflows)

    async def availability(self) -> Availability:
        """Agents are available while a worker polls the task queue (C-56)."""
        try:
            pollers = await self.gateway.pollers(self.task_queue)
        except Unavailable:
            pollers = 0
        return Availability(available=bool(pollers), checked_at=self.clock())

    async def health(self, agent_id: str) -> tuple[AgentHealth, Availability]:
        """The health of one agent in the last 24 hours. Raises `NotFound`, `Unavailable`."""
        self.catalogue.agent(agent_id)
        health = await self.attempts.agent_health(agent_id, since=self.clock() - _HEALTH_WINDOW)
        return health, await self.availability()

    async def eta_seconds(self, kind: JobKind, target: str) -> int:
        """The expected seconds of a job: the recent mean of an agent, the declared estimate of a workflow."""
        if kind is JobKind.WORKFLOW:
            return estimated_seconds(self.catalogue.workflow(target).estimated_time)
        try:
            health = await self.attempts.agent_health(target, since=self.clock() - _HEALTH_WINDOW)
        except Unavailable:
            return _FIRST_GUESS
        return max(1, round(health.avg_response_time)) if health.avg_response_time else _FIRST_GUESS


def estimated_seconds(text: str) -> int:
    """The upper end of an estimate such as "5-10 minutes", in seconds; a first guess for any other text."""
    estimate = _RANGE.search(text)
    return int(estimate[2]) * _SECONDS[estimate[3]] if estimate else _FIRST_GUESS
