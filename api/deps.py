"""What every route is given: the services, and path parts that have been looked at."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

from fastapi import Depends, FastAPI, Path, Request
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars

from api.sockets import SocketMetrics
from api.streaming import SharedFrames
from orchestrator.domain.errors import NotFound
from orchestrator.services.registry import Services

_JOB_ID: Final = re.compile(r"(wf_)?job_[A-Za-z0-9_-]{1,128}")


class ServiceSource(Protocol):
    """Where the services come from; opens them at the first call, once."""

    async def services(self) -> Services:
        """The services. Raises `Unavailable`, `CatalogueError`."""

    async def aclose(self) -> None:
        """Let go of what was opened."""


@dataclass(frozen=True, slots=True)
class ApiState:
    """What one application holds. `closing` is set when its server stops: open streams end then.
    `frames` are those that its streams share, `socket_frames` those of its sockets."""

    source: ServiceSource
    registry: CollectorRegistry
    sockets: SocketMetrics
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    started: float = field(default_factory=time.monotonic)
    frames: SharedFrames[bytes] = field(default_factory=SharedFrames)
    socket_frames: SharedFrames[str] = field(default_factory=SharedFrames)


def api_state(app: FastAPI) -> ApiState:
    """The state that `create_app` gave an application."""
    state: ApiState = app.state.api
    return state


async def _services(request: Request) -> Services:
    return await api_state(request.app).source.services()


def known_job_id(job_id: str) -> str:
    """The id, if it can be a job's: other workflows of the same Temporal namespace are nobody's jobs.

    Raises `NotFound`.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound(f"Unknown job: {job_id[:80]}", job_id=job_id[:80])
    return job_id


async def _path_job_id(job_id: Annotated[str, Path(description="`job_…` or `wf_job_…` (D-050).")]) -> str:
    bind_contextvars(job_id=known_job_id(job_id))
    return job_id


Svc = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Depends(_path_job_id)]
