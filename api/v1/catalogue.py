"""Agents and workflows as the native API shows them (D-016 to D-022, D-031 to D-036)."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field

from api.v1.wire import Timestamp, Wire
from orchestrator.domain.agents import Agent, ModelSettings, Pricing
from orchestrator.domain.metrics import AgentHealth
from orchestrator.domain.plans import Step, WorkflowDefinition
from orchestrator.services.catalogue import Availability

_UNHEALTHY_RATE: Final = 50.0


class Health(Wire):
    """Whether an agent can run now, and when this was checked."""

    healthy: bool
    last_check: Timestamp


class AgentSummary(Wire):
    """One agent in the list (D-016)."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    status: Literal["available", "unavailable"] = Field(description="`available` while a worker polls for its calls.")
    health: Health


class AgentList(Wire):
    """Every agent (D-017)."""

    agents: list[AgentSummary]
    total: int
    available: int
    unavailable: int


class AgentDetail(Wire):
    """One agent, with its input and output as JSON Schema (D-021)."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    config: ModelSettings
    pricing: Pricing


class AgentHealthBody(Wire):
    """Health of an agent over the last 24 hours (D-031). Times are seconds, rates are percent of its attempts."""

    agent_id: str
    healthy: bool = Field(description="A worker polls, and fewer than half of the attempts failed.")
    last_execution: Timestamp | None
    avg_response_time: float | None
    error_rate: float
    uptime: float = Field(
        description="Percent of attempts that did not fail. Without attempts: 100 while a worker polls, else 0."
    )


class WorkflowSummary(Wire):
    """One workflow in the list (D-032, D-034)."""

    id: str
    name: str
    description: str
    squads: list[str]
    agents_count: int
    estimated_time: str
    estimated_cost: str
    complexity: Literal["low", "medium", "high"]


class WorkflowList(Wire):
    """Every workflow (D-033)."""

    workflows: list[WorkflowSummary]
    total: int


class StepBody(Wire):
    """One step of a workflow. `order` counts from 1; jobs refer to `id`; `needs` are the steps that must end first."""

    order: int
    id: str
    name: str
    squad: str
    agents: list[str]
    needs: list[str]
    estimated_time: str
    approval: bool = Field(description="Whether the step waits for a person.")
    decides: dict[str, Any] = Field(
        description="What else the plan says of the step, under the names of the authoring guide: `input`, `when`, "
        "`for_each`, `repeat`, `workflow`, `ask`, `join`, `fallback`, `on_error` and others. An expression is "
        '`{"cel": "…"}`. Empty for a step that only runs its agents.'
    )
    steps: list["StepBody"] = Field(description="The steps of a group; empty for any other step.")


class WorkflowDetail(Wire):
    """One workflow with its steps (D-035)."""

    id: str
    name: str
    description: str
    version: str
    complexity: Literal["low", "medium", "high"]
    estimated_time: str
    estimated_cost: str
    steps: list[StepBody]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


def agent_list(agents: list[Agent], availability: Availability) -> AgentList:
    """Return the list, with live availability (C-56)."""
    health = Health(healthy=availability.available, last_check=availability.checked_at)
    status = "available" if availability.available else "unavailable"
    items = [
        AgentSummary(
            id=agent.id,
            name=agent.name,
            squad=agent.squad,
            description=agent.description,
            capabilities=list(agent.capabilities),
            status=status,
            health=health,
        )
        for agent in agents
    ]
    count = len(items) if availability.available else 0
    return AgentList(agents=items, total=len(items), available=count, unavailable=len(items) - count)


def agent_detail(agent: Agent) -> AgentDetail:
    """One agent in full."""
    return AgentDetail(
        id=agent.id,
        name=agent.name,
        squad=agent.squad,
        description=agent.description,
        capabilities=list(agent.capabilities),
        input_schema=agent.input_schema(),
        output_schema=agent.output_schema(),
        config=agent.settings,
        pricing=agent.pricing,
    )


def agent_health(agent_id: str, health: AgentHealth, availability: Availability) -> AgentHealthBody:
    """Return the health of one agent."""
    rate = round(100 * health.failures / health.executions, 1) if health.executions else 0.0
    reachable = 100.0 if availability.available else 0.0
    mean = health.avg_response_time
    return AgentHealthBody(
        agent_id=agent_id,
        healthy=availability.available and rate < _UNHEALTHY_RATE,
        last_execution=health.last_execution,
        avg_response_time=None if mean is None else round(mean, 3),
        error_rate=rate,
        uptime=round(100 - rate, 1) if health.executions else reachable,
    )


def workflow_list(workflows: list[WorkflowDefinition]) -> WorkflowList:
    """Return the list."""
    items = [
        WorkflowSummary(
            id=workflow.id,
            name=workflow.name,
            description=workflow.description,
            squads=workflow.squads,
            agents_count=workflow.agents_count,
            estimated_time=workflow.estimated_time,
            estimated_cost=workflow.estimated_cost,
            complexity=workflow.complexity,
        )
        for workflow in workflows
    ]
    return WorkflowList(workflows=items, total=len(items))


def workflow_detail(workflow: WorkflowDefinition) -> WorkflowDetail:
    """One workflow in full."""
    return WorkflowDetail(
        id=workflow.id,
        name=workflow.name,
        description=workflow.description,
        version=workflow.version,
        complexity=workflow.complexity,
        estimated_time=workflow.estimated_time,
        estimated_cost=workflow.estimated_cost,
        steps=_steps(workflow.plan.steps),
        input_schema=workflow.input_schema,
        output_schema=workflow.output_schema,
    )


def _steps(steps: Sequence[Step]) -> list[StepBody]:
    return [
        StepBody(
            order=order,
            id=step.id,
            name=step.name,
            squad=step.squad,
            agents=list(step.agents),
            needs=list(step.needs),
            estimated_time=step.estimated_time,
            approval=step.approval is not None,
            decides=step.decisions(),
            steps=_steps(step.steps),
        )
        for order, step in enumerate(steps, start=1)
    ]
