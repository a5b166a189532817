"""Controls of jobs: cancel (D-052), pause, resume, approve, reject, retry. 200: in force; 202: requested."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.deps import JobId, Svc
from api.idempotency import IdempotencyKey, Idempotent
from api.security import JobsCancel, Starter
from api.v1.bodies import CancelBody, ControlBody, DecisionBody, RetryBody
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, V1Route
from api.v1.models import AgentRetried, Cancelled, Controlled, WorkflowRetried
from api.v1.rendering import agent_accepted, cancelled, controlled, retried, workflow_accepted
from api.v1.starts import START_ERRORS, announce, first_look
from orchestrator.domain.errors import WrongState
from orchestrator.domain.ids import JobKind
from orchestrator.services.jobs import controls

router = APIRouter(
    prefix="/v1/jobs/{job_id}", tags=["jobs"], route_class=V1Route, responses={**ERRORS, **NOT_FOUND, **ONCE}
)


@router.post("/cancel", responses={202: {"model": Cancelled}})
async def cancel_job(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: CancelBody | None = None,
    once: Idempotent,
) -> Cancelled:
    """Cancel an open job. A running model call is stopped."""
    outcome = await services.controller.cancel(principal, job_id, body.reason if body else "")
    if outcome.job.state.terminal and not outcome.done:
        state = outcome.job.state
        raise WrongState(f"Job {job_id} ended ({state}) before it could be cancelled", job_id=job_id, state=str(state))
    response.status_code = 200 if outcome.done else 202
    return cancelled(outcome.job, done=outcome.done)


@router.post("/pause", responses={202: {"model": Controlled}})
async def pause_job(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: ControlBody | None = None,
    once: Idempotent,
) -> Controlled:
    """Pause a job: no new call starts, and running calls finish."""
    return _controlled(response, await services.controller.pause(principal, job_id, body.note if body else ""))


@router.post("/resume", responses={202: {"model": Controlled}})
async def resume_job(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: ControlBody | None = None,
    once: Idempotent,
) -> Controlled:
    """Resume a paused job."""
    return _controlled(response, await services.controller.resume(principal, job_id, body.note if body else ""))


@router.post("/approve", responses={202: {"model": Controlled}})
async def approve_step(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: DecisionBody | None = None,
    once: Idempotent,
) -> Controlled:
    """Approve a step that waits for approval; it runs."""
    decision = body or DecisionBody()
    return _controlled(response, await services.controller.approve(principal, job_id, decision.step, decision.note))


@router.post("/reject", responses={202: {"model": Controlled}})
async def reject_step(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: DecisionBody | None = None,
    once: Idempotent,
) -> Controlled:
    """Reject a step that waits for approval; it fails."""
    decision = body or DecisionBody()
    return _controlled(response, await services.controller.reject(principal, job_id, decision.step, decision.note))


@router.post("/retry", status_code=202, responses=START_ERRORS)
async def retry_job(
    *,
    principal: Starter,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: RetryBody | None = None,
    key: IdempotencyKey = None,
) -> Annotated[AgentRetried | WorkflowRetried, Field(discriminator="type")]:
    """Retry a job that failed, was cancelled or timed out. A new job with the current plan reuses every finished call
    and runs the others. Needs the scope of the job's start."""
    started, retry = await services.retrier.retry(principal, job_id, idempotency_key=key)
    announce(response, started, asynchronous=True)
    eta = await services.catalogue.eta_seconds(started.kind, started.definition)
    job = await first_look(services, principal, started)
    if started.kind is JobKind.AGENT:
        return retried(agent_accepted(started, job, eta), retry)
    definition = services.catalogue.workflow(started.definition)
    return retried(workflow_accepted(started, job, definition, eta), retry)


def _controlled(response: Response, outcome: controls.Controlled) -> Controlled:
    response.status_code = 200 if outcome.done else 202
    return controlled(outcome.job, done=outcome.done)
