"""Control of jobs: cancel (D-052), pause, resume, approve, reject, retry. 200 when done, 202 when requested."""

from fastapi import APIRouter, Response

from api.deps import JobId, Svc
from api.security import Caller, JobsCancel
from api.v1.bodies import CancelBody, ControlBody, DecisionBody, IdempotencyKey, RetryBody
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.models import AgentRetried, Cancelled, Controlled, WorkflowRetried
from api.v1.rendering import agent_accepted, cancelled, controlled, retried, workflow_accepted
from api.v1.starting import START_ERRORS, announce, first_look
from orchestrator.domain.errors import WrongState
from orchestrator.domain.ids import JobKind
from orchestrator.services.jobs import controls

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], route_class=V1Route, responses={**ERRORS, **NOT_FOUND})


@router.post("/cancel", responses={202: {"model": Cancelled}})
async def cancel_job(
    principal: JobsCancel, services: Svc, job_id: JobId, response: Response, body: CancelBody | None = None
) -> Cancelled:
    """Cancel an open job; a running model call is stopped too."""
    outcome = await services.controller.cancel(principal, job_id, body.reason if body else "")
    if outcome.job.state.terminal and not outcome.done:
        state = outcome.job.state
        raise WrongState(f"Job {job_id} ended ({state}) before it could be cancelled", job_id=job_id, state=str(state))
    response.status_code = 200 if outcome.done else 202
    return cancelled(outcome.job, done=outcome.done)


@router.post("/pause", responses={202: {"model": Controlled}})
async def pause_job(
    principal: JobsCancel, services: Svc, job_id: JobId, response: Response, body: ControlBody | None = None
) -> Controlled:
    """Start nothing new; calls under way finish."""
    return _told(response, await services.controller.pause(principal, job_id, body.note if body else ""))


@router.post("/resume", responses={202: {"model": Controlled}})
async def resume_job(
    principal: JobsCancel, services: Svc, job_id: JobId, response: Response, body: ControlBody | None = None
) -> Controlled:
    """Go on after a pause."""
    return _told(response, await services.controller.resume(principal, job_id, body.note if body else ""))


@router.post("/approve", responses={202: {"model": Controlled}})
async def approve_step(
    principal: JobsCancel, services: Svc, job_id: JobId, response: Response, body: DecisionBody | None = None
) -> Controlled:
    """Let a step run that waits for approval."""
    decision = body or DecisionBody()
    return _told(response, await services.controller.approve(principal, job_id, decision.step, decision.note))


@router.post("/reject", responses={202: {"model": Controlled}})
async def reject_step(
    principal: JobsCancel, services: Svc, job_id: JobId, response: Response, body: DecisionBody | None = None
) -> Controlled:
    """Refuse a step that waits for approval; it counts as failed."""
    decision = body or DecisionBody()
    return _told(response, await services.controller.reject(principal, job_id, decision.step, decision.note))


@router.post("/retry", status_code=202, responses=START_ERRORS)
async def retry_job(
    *,
    principal: Caller,
    services: Svc,
    job_id: JobId,
    response: Response,
    body: RetryBody | None = None,
    key: IdempotencyKey = None,
) -> AgentRetried | WorkflowRetried:
    """Finish a job that failed, was cancelled or timed out: a new job on today's plan, which reuses every finished call
    and starts again at what failed. Needs the scope of the job's start, `agents:execute` or `workflows:run`."""
    started, retry = await services.retrier.retry(principal, job_id, idempotency_key=key)
    announce(response, started, asynchronous=True)
    eta = await services.catalogue.eta_seconds(started.kind, started.definition)
    if started.kind is JobKind.AGENT:
        return retried(agent_accepted(started, eta), retry)
    definition = services.catalogue.workflow(started.definition)
    look = await first_look(services, principal, started)
    return retried(workflow_accepted(started, look, definition, eta), retry)


def _told(response: Response, outcome: controls.Controlled) -> Controlled:
    response.status_code = 200 if outcome.done else 202
    return controlled(outcome.job, done=outcome.done)
