"""Agents and workflows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devora._model import Model


class Health(Model):
    """Whether an agent can run now, and when that was checked."""

    healthy: bool
    last_check: datetime


class AgentSummary(Model):
    """One agent in the list. `status` is `available` or `unavailable`."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    status: str
    health: Health | None


class AgentList(Model):
    """Every agent."""

    agents: list[AgentSummary]
    total: int
    available: int
    unavailable: int


class ModelSettings(Model):
    """The model of an agent and its settings."""

    default_model: str
    default_temperature: float
    max_tokens: int


class Pricing(Model):
    """Prices of an agent, in USD."""

    per_request: float
    per_1k_tokens: float


class AgentDetail(Model):
    """One agent; its schemas are JSON Schema."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    config: ModelSettings
    pricing: Pricing


class AgentHealth(Model):
    """Health of an agent over the last 24 hours. Rates are percent."""

    agent_id: str
    healthy: bool
    last_execution: datetime | None
    avg_response_time: float | None
    error_rate: float
    uptime: float


class WorkflowSummary(Model):
    """One workflow in the list."""

    id: str
    name: str
    description: str
    squads: list[str]
    agents_count: int
    estimated_time: str
    estimated_cost: str
    complexity: str


class WorkflowList(Model):
    """Every workflow."""

    workflows: list[WorkflowSummary]
    total: int


class WorkflowStep(Model):
    """One step of a workflow. `approval` says whether it waits for a person; `decides` is what else the plan says of
    the step, as the plan has it; `steps` are those of a group."""

    order: int
    id: str
    name: str
    squad: str
    agents: list[str]
    needs: list[str]
    estimated_time: str
    approval: bool
    decides: dict[str, Any]
    steps: list[WorkflowStep]


class WorkflowDetail(Model):
    """One workflow with its steps; its schemas are JSON Schema."""

    id: str
    name: str
    description: str
    version: str
    complexity: str
    estimated_time: str
    estimated_cost: str
    steps: list[WorkflowStep]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
