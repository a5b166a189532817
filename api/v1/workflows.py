"""Routes of workflows (D-032, D-035, D-037)."""

from fastapi import APIRouter, Request, Response

from api.deps import Svc, waiting
from api.idempotency import IdempotencyKey
from api.outputs import whole_output
from api.security import WorkflowsRead, WorkflowsRun
from api.v1.bodies import StartBody
from api.v1.catalogue import WorkflowDetail, WorkflowList, workflow_detail, workflow_list
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.models import WorkflowAccepted, WorkflowFinished
from api.v1.rendering import workflow_accepted, workflow_finished
from api.v1.starts import START_ERRORS, announce, finished, first_look, start_request
from orchestrator.domain.ids import JobKind

router = APIRouter(prefix="/v1/workflows", tags=["workflows"], route_class=V1Route, responses=ERRORS)


@router.get("")
async def list_workflows(principal: WorkflowsRead, services: Svc) -> WorkflowList:
    """Every workflow."""
    return workflow_list(services.catalogue.workflows())


@router.get("/{workflow_id}", responses=NOT_FOUND)
async def get_workflow(workflow_id: str, principal: WorkflowsRead, services: Svc) -> WorkflowDetail:
    """One workflow with its steps and schemas."""
    return workflow_detail(services.catalogue.workflow(workflow_id))


@router.post("/{workflow_id}/run", responses={**START_ERRORS, 202: {"model": WorkflowAccepted}})
async def run_workflow(
    *,
    request: Request,
    workflow_id: str,
    body: StartBody,
    principal: WorkflowsRun,
    services: Svc,
    response: Response,
    key: IdempotencyKey = None,
) -> WorkflowFinished | WorkflowAccepted:
    """Run one workflow. Synchronous: 200 when the job has ended, also if it failed; 503 when the synchronous wait runs
    out, and the job continues. Asynchronous: 202 at once."""
    definition = services.catalogue.workflow(workflow_id)
    with waiting(request, principal, waits=not body.asynchronous):
        started = await services.starter.start(principal, start_request(JobKind.WORKFLOW, workflow_id, body, key))
        announce(response, started, asynchronous=body.asynchronous)
        if body.asynchronous:
            eta = await services.catalogue.eta_seconds(JobKind.WORKFLOW, workflow_id)
            return workflow_accepted(started, await first_look(services, principal, started), definition, eta)
        job = await finished(request, services, principal, started)
        return workflow_finished(job, await whole_output(services, job), definition)
