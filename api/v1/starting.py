"""What starting an agent and starting a workflow have in common."""

from typing import Any, Final

import structlog
from fastapi import Response
from structlog.contextvars import bind_contextvars

from api.v1.bodies import StartBody
from api.v1.envelope import NOT_FOUND, ErrorEnvelope
from api.v1.wire import Links
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import DeadlineExceeded, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services
from orchestrator.services.jobs.start import Started, StartRequest

log = structlog.get_logger(__name__)

_RETRY_AFTER: Final = 5.0

START_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **NOT_FOUND,
    413: {
        "model": ErrorEnvelope,
        "description": "`invalid_request`: body over 8 MiB, or input over 4 MiB, unless configured otherwise",
    },
    422: {"model": ErrorEnvelope, "description": "`invalid_request`: Idempotency-Key reused with another request"},
}


def start_request(kind: JobKind, target: str, body: StartBody, key: str | None) -> StartRequest:
    """The command in a caller's body. A callback is for asynchronous jobs only (D-024)."""
    return StartRequest(
        kind=kind,
        target=target,
        input=body.input,
        config=body.config.job_config(),
        webhook_url=body.webhook_url if body.asynchronous else None,
        idempotency_key=key,
    )


def announce(response: Response, started: Started, *, asynchronous: bool) -> None:
    """Status and headers of an accepted job."""
    bind_contextvars(job_id=started.job_id)
    response.headers["Location"] = Links.of(started.job_id).self
    if started.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    if asynchronous:
        response.status_code = 202


async def finished(services: Services, principal: Principal, started: Started) -> Job:
    """The ended job. Raises `DeadlineExceeded` after the server's own deadline (D-044), `Unavailable`; either names
    the job, which goes on."""
    job_id, seconds = started.job_id, services.sync_timeout
    links = Links.of(job_id)
    try:
        job = await services.follower.until_end(principal, job_id, seconds, just_started=started.just_now)
    except Unavailable as fault:
        message = f"Job {job_id} was started and goes on, but: {fault.message}"
        raise Unavailable(message, job_id=job_id, links=links.model_dump()) from fault
    if not job.state.terminal:
        message = f"Job {job_id} is not done after {seconds:g} seconds; it goes on. Look at {links.self}"
        raise DeadlineExceeded(
            message, retry_after=_RETRY_AFTER, job_id=job_id, state=str(job.state), links=links.model_dump()
        )
    return job


async def first_look(services: Services, principal: Principal, started: Started) -> Job | None:
    """The job just after its start; None when it cannot be read, which does not undo the start."""
    try:
        return await services.reader.get(principal, started.job_id)
    except Unavailable as fault:
        log.warning("job_not_read_after_start", job_id=started.job_id, error=fault.message)
        return None
