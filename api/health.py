"""Probes and metrics of the process, without credentials (C-06). Metrics of jobs need a credential."""

import math
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from starlette.responses import Response

from api.deps import ServiceSource, api_state
from api.figures import SeesFigures
from api.routes import error_route
from api.security import OPTIONAL_KEY
from api.surfaces import render
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.domain.metrics import IndexFigures
from orchestrator.services.reports.prometheus import index_metrics

router = APIRouter(tags=["operations"], route_class=error_route(render, any_query=True))


class Alive(BaseModel):
    """The process is alive."""

    status: str = "ok"


class CheckBody(BaseModel):
    """State of one component that requests need."""

    name: str
    ok: bool
    message: str


class Ready(BaseModel):
    """Whether every component answers."""

    ready: bool
    checks: list[CheckBody]


@router.get("/healthz")
async def healthz() -> Alive:
    """The process is alive. Does not check Temporal, the database or workers."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "Not ready"}})
async def readyz(request: Request) -> JSONResponse:
    """Temporal, the database and a polling worker: 200 when all answer, else 503 with the state of each."""
    checks = await _checks(api_state(request.app).source)
    ready = all(check.ok for check in checks)
    body = Ready(
        ready=ready, checks=[CheckBody(name=c.check, ok=c.ok, message=c.operator_message or c.message) for c in checks]
    )
    return JSONResponse(body.model_dump(), status_code=200 if ready else 503)


async def _checks(source: ServiceSource) -> list[Finding]:
    try:
        services = await source.services()
    except Unavailable as fault:
        return [Finding.of("start", ok=False, message=fault.message, operator_message=fault.for_operators)]
    return await services.readiness.checks()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/json": {}}}},
    openapi_extra=OPTIONAL_KEY,
)
async def metrics(request: Request, figures: SeesFigures) -> Response:
    """Prometheus text: metrics of this process's HTTP layer. With `ORCHESTRATOR_METRICS_KEY` or an admin's key as
    bearer token also metrics of the job index, which are the same in every process.

    A client that accepts `application/json` and no text gets the same metrics as JSON (C-03).
    """
    state = api_state(request.app)
    text = generate_latest(state.registry)
    if figures:
        text += index_metrics(await _figures(state.source))
    accept = request.headers.get("accept", "")
    if "application/json" in accept and "text/" not in accept:
        return JSONResponse({"metrics": [_family(family) for family in text_string_to_metric_families(text.decode())]})
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _family(family: Metric) -> dict[str, Any]:
    samples = [
        {"name": sample.name, "labels": sample.labels, "value": sample.value if math.isfinite(sample.value) else None}
        for sample in family.samples
    ]
    return {"name": family.name, "type": family.type, "help": family.documentation, "samples": samples}


async def _figures(source: ServiceSource) -> IndexFigures | None:
    try:
        services = await source.services()
    except Unavailable:
        return None
    return await services.figures.read()
