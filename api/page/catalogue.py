"""Agents and workflows: what they do, the graph of a plan, price, health and the last 30 days."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.formats import money, number
from api.page.graph import graph
from api.page.rendering import ROOT, page
from api.page.visitors import AgentVisitor, CatalogueVisitor, WorkflowVisitor
from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import ModelNotConfigured
from orchestrator.domain.ids import JobKind
from orchestrator.domain.metrics import Day, ExecutionCounts, Period
from orchestrator.services.container import Services

router = APIRouter(prefix=f"{ROOT}/catalogue", include_in_schema=False, route_class=PageRoute)

_MONTH: Final = timedelta(days=30)
_BAR: Final = 5
_TALLEST: Final = 24


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of a trend: `y` and `height` of its bar, and what it says."""

    x: int
    y: float
    height: float
    title: str


@router.get("")
async def catalogue_page(request: Request, services: Svc, visitor: CatalogueVisitor) -> Response:
    """Every workflow and agent with its figures of the last 30 days."""
    overview, availability = await asyncio.gather(
        services.metrics.overview(visitor.principal, _MONTH), services.catalogue.availability()
    )
    return page(
        request,
        visitor,
        "catalogue.html",
        workflows=services.catalogue.workflows(),
        agents=services.catalogue.agents(),
        overview=overview,
        days=trend(overview.days),
        nothing=ExecutionCounts(),
        availability=availability,
    )


@router.get("/workflow/{workflow_id}")
async def workflow_page(request: Request, services: Svc, visitor: WorkflowVisitor, workflow_id: str) -> Response:
    """One workflow with the graph of its plan."""
    definition = services.catalogue.workflow(workflow_id)
    overview = await services.metrics.overview(visitor.principal, _MONTH)
    return page(
        request,
        visitor,
        "catalogue_workflow.html",
        definition=definition,
        graph=graph(definition.plan.steps),
        counts=overview.workflows.get(workflow_id, ExecutionCounts()),
        kind=JobKind.WORKFLOW,
    )


@router.get("/agent/{agent_id}")
async def agent_page(request: Request, services: Svc, visitor: AgentVisitor, agent_id: str) -> Response:
    """One agent with its health and the figures of the last 30 days."""
    metrics, health = await asyncio.gather(
        services.metrics.agent(visitor.principal, agent_id, Period.MONTH), services.catalogue.health(agent_id)
    )
    agent = services.catalogue.agent(agent_id)
    return page(
        request,
        visitor,
        "catalogue_agent.html",
        agent=agent,
        model=_model(services, agent),
        metrics=metrics,
        health=health[0],
        availability=health[1],
        days=trend(metrics.days),
        kind=JobKind.AGENT,
    )


def _model(services: Services, agent: Agent) -> str:
    """The model of the next call, or why there is none."""
    try:
        model = services.starter.models.providers.choose(agent, None)
    except ModelNotConfigured as fault:
        return fault.message
    return "offline draft" if model.provider == "offline" else f"{model.provider}:{model.name}"


def trend(days: Sequence[Day]) -> list[DayBar]:
    """The bars of a trend: executions by day."""
    most = max((day.executions.total for day in days), default=0)
    bars = []
    for place, day in enumerate(days):
        counts = day.executions
        height = _TALLEST * counts.total / most if most and counts.total else 1
        known_cost = "" if counts.known_cost is None else f", {money(counts.known_cost)}"
        title = f"{day.date}: {number(counts.total)}, {number(counts.tokens)} tokens{known_cost}"
        bars.append(DayBar(place * _BAR, round(_TALLEST + 2 - height, 1), round(height, 1), title))
    return bars
