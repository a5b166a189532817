"""Common parts of the routes that start an agent or a workflow."""

from datetime import timedelta
from typing import Any, Final

import structlog
from fastapi import Request, Response
from structlog.contextvars import bind_contextvars

from api.attendance import attended
from api.idempotency import REPLAYED
from api.v1.bodies import StartBody
from api.v1.envelope import NOT_FOUND, ONCE, ErrorEnvelope
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
        "description": "`invalid_request`: the body is over 8 MiB, or the input over 4 MiB (defaults)",
    },
    422: ONCE[422],
}


def start_request(kind: JobKind, target: str, body: StartBody, key: str | None) -> StartRequest:
    """Return the start that a body requests. Synchronous starts have no callback (D-024)."""
    return StartRequest(
        kind=kind,
        target=target,
        input=body.input,
        config=body.config.job_config(),
        webhook_url=body.webhook_url if body.asynchronous else None,
        idempotency_key=key,
        labels=body.labels,
        start_at=body.start_at,
        delay=None if body.delay is None else timedelta(seconds=body.delay),
    )


def announce(response: Response, started: Started, *, asynchronous: bool) -> None:
    """Set status and headers of an accepted job."""
    bind_contextvars(job_id=started.job_id)
    response.headers["Location"] = Links.of(started.job_id).self
    if started.replayed:
        response.headers[REPLAYED] = "true"
    if asynchronous:
        response.status_code = 202


async def finished(request: Request, services: Services, principal: Principal, started: Started) -> Job:
    """Wait for the end of a job and return it.

    Raises `DeadlineExceeded` with the id of the job, which continues, when the synchronous wait runs out (D-044), the
    server stops or the job cannot be followed.
    """
    job_id, seconds = started.job_id, services.sync_timeout
    links = Links.of(job_id)
    try:
        wait = services.follower.until_end(principal, job_id, seconds, just_started=started.just_now)
        job = await attended(request, wait)
    except Unavailable as fault:
        message = f"Job {job_id} was started and continues, but: {fault.message}"
        raise DeadlineExceeded(message, job_id=job_id, links=links.model_dump()) from fault
    if job is None:
        message = f"Job {job_id} was started and continues, but the server stops. Follow it at {links.self}"
        raise DeadlineExceeded(message, retry_after=_RETRY_AFTER, job_id=job_id, links=links.model_dump())
    if not job.state.terminal:
        message = f"Job {job_id} has not ended after {seconds:g} seconds and continues. Follow it at {links.self}"
        raise DeadlineExceeded(
            message, retry_after=_RETRY_AFTER, job_id=job_id, state=str(job.state), links=links.model_dump()
        )
    return job


async def first_look(services: Services, principal: Principal, started: Started) -> Job | None:
    """Return a new job as it begins, without a read, and a repeated start's job as it is.

    None if that one cannot be read; the start is valid in either case.
    """
    if not started.replayed:
        return started.first_view()
    try:
        return await services.reader.get(principal, started.job_id)
    except Unavailable as fault:
        log.warning("job_not_read_after_start", job_id=started.job_id, error=fault.message)
        return None
