"""Dependencies of every route: the services and validated path parameters."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, FastAPI, Path, Request
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars

from api.connections import ConnectionLimits, OpenConnections
from api.hardening import ApiOptions
from api.sockets import SocketLimits, SocketMetrics
from api.streaming import EncodedFrames, SharedFrames
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import addressable
from orchestrator.services.access.authentication import RECHECK_SECONDS
from orchestrator.services.container import Services


class ServiceSource(Protocol):
    """Provides the services; opens them once, at the first call."""

    async def services(self) -> Services:
        """Return the services. Raises `Unavailable`, `CatalogueError`."""

    async def aclose(self) -> None:
        """Close what was opened."""


@dataclass(frozen=True, slots=True)
class ApiState:
    """State of one application.

    `closing` is set when the server stops; open streams end then. Streams share `frames`, sockets share
    `socket_frames`. `connections` counts open connections. `recheck` is the seconds between two checks of the
    credential of a waiting call.
    """

    source: ServiceSource
    registry: CollectorRegistry
    sockets: SocketMetrics
    socket_limits: SocketLimits = field(default_factory=SocketLimits)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    started: float = field(default_factory=time.monotonic)
    options: Callable[[], ApiOptions] = ApiOptions
    frames: SharedFrames[bytes] = field(default_factory=SharedFrames)
    event_frames: EncodedFrames = field(default_factory=EncodedFrames)
    socket_frames: SharedFrames[str] = field(default_factory=SharedFrames)
    connections: OpenConnections = field(default_factory=lambda: OpenConnections(ConnectionLimits()))
    recheck: float = RECHECK_SECONDS


def api_state(app: FastAPI) -> ApiState:
    """Return the state that `create_app` attached to an application."""
    state: ApiState = app.state.api
    return state


def waiting(request: Request, principal: Principal, *, waits: bool = True) -> AbstractContextManager[object]:
    """Count a call that waits for a job among its caller's open connections.

    Enter the context before the job is started. Raises `LimitExceeded`, `Unavailable` at the limit.
    """
    return api_state(request.app).connections.held(principal) if waits else nullcontext()


async def _services(request: Request) -> Services:
    return await api_state(request.app).source.services()


def known_job_id(job_id: str) -> str:
    """Return the id if a job can have it: our own form, or the id of a workflow that was started in Temporal.

    Raises `NotFound`.
    """
    if not addressable(job_id):
        raise NotFound(f"Unknown job: {job_id[:80]}", job_id=job_id[:80])
    return job_id


async def _path_job_id(
    job_id: Annotated[str, Path(description="`job_…` or `wf_job_…` (D-050), or a workflow's own id.")],
) -> str:
    bind_contextvars(job_id=known_job_id(job_id))
    return job_id


Svc = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Depends(_path_job_id)]
