"""`WS /ws/{session_id}`: live events of a session, from its first one (M-027, M-029 to M-031)."""

import asyncio
import json
from collections import Counter
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, WebSocket

from api.credentials import admit
from api.deps import ServiceSource, api_state
from api.dialects.orchestrator import mapping, sessions
from api.errors import EXPECTED
from api.outputs import whole_output
from api.sockets import (
    NORMAL,
    POLICY_VIOLATION,
    TRY_AGAIN_LATER,
    UNAUTHENTICATED,
    FrameCount,
    Hangup,
    Line,
    SocketLimits,
    bearer_of,
    converse,
    recheck,
    socket_limits,
)
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import Forbidden, LimitExceeded, NotFound, OrchestratorError, Unauthenticated
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services

router = APIRouter()

UNKNOWN_SESSION: Final = 4404


@router.websocket("/ws/{session_id}")
async def socket(
    websocket: WebSocket, session_id: str, limits: Annotated[SocketLimits, Depends(socket_limits)]
) -> None:
    """Send the events of one session. `ping` is answered with `pong`; other text is ignored.

    If sessions are not public, the header `Authorization` must belong to the owner of the session.
    """
    state = api_state(websocket.app)
    talk = partial(_talk, state.source, session_id)
    await converse(
        websocket,
        talk,
        closing=state.closing,
        metrics=state.sockets,
        connections=state.connections,
        limits=limits,
    )


async def _talk(source: ServiceSource, session_id: str, line: Line) -> None:
    try:
        services = await source.services()
        principal = await _principal(services, line)
        job = await sessions.job_of(services, principal, session_id)
    except (Unauthenticated, Forbidden) as fault:
        raise Hangup(UNAUTHENTICATED, "authentication failed", _error(session_id, fault)) from fault
    except NotFound as fault:
        raise Hangup(UNKNOWN_SESSION, "unknown session", _error(session_id, fault)) from fault
    except EXPECTED as fault:
        raise Hangup(TRY_AGAIN_LATER, "try again later", _error(session_id, fault)) from fault
    if principal != sessions.READER:
        checks = recheck(services.access, principal, line.limits.recheck, partial(_error, session_id))
        line.tasks.create_task(checks, name="session recheck")
    sender = line.tasks.create_task(_send(services, principal, session_id, job, line), name=f"session {job.id}")
    frames = FrameCount(line.limits.frames_per_minute)
    while True:
        frame = await line.receive(busy=lambda: not sender.done())
        try:
            frames.add()
        except LimitExceeded as fault:
            raise Hangup(POLICY_VIOLATION, "too many frames", _error(session_id, fault)) from fault
        if frame == "ping":
            await line.outbox.put("pong")


async def _principal(services: Services, line: Line) -> Principal:
    """Return who reads the session: anyone if sessions are public, else the owner of the handshake's credential.

    Raises `Unauthenticated`, `Forbidden`, `LimitExceeded`, `Unavailable`.
    """
    if services.public_sessions:
        return sessions.READER
    principal = await admit(line.websocket, services, bearer_of(line.websocket))
    principal.require(Scope.JOBS_READ)
    line.belongs_to(principal)
    return principal


async def _send(services: Services, principal: Principal, session_id: str, job: Job, line: Line) -> None:
    """Send every event of the session, past events first. The socket stays open for `linger` after the last."""
    open_calls = Counter(call.step for call in job.calls)
    try:
        async with aclosing(services.follower.events(principal, job.id, None)) as events:
            async for event in events:
                for update in updates(event, open_calls):
                    session = {"session_id": session_id, "status": mapping.status_of(event.state)}
                    await line.outbox.put(json.dumps({**update, **session}))
                if event.type.terminal:
                    await line.outbox.put(json.dumps(await _final(services, principal, session_id, job.id)))
        await asyncio.sleep(line.limits.linger)
        raise Hangup(NORMAL, "session ended")
    except EXPECTED as fault:
        raise Hangup(TRY_AGAIN_LATER, "try again later", _error(session_id, fault)) from fault


def updates(event: JobEvent, open_calls: "Counter[str]") -> list[dict[str, Any]]:
    """Return the frames of one event (M-027). `open_calls`, the unfinished calls of each step, is counted down."""
    frames: list[dict[str, Any]] = [{"type": "progress", "value": event.progress, "phase": event.current_step}]
    step = str(event.data.get("step"))
    if event.type is EventType.JOB_PROGRESS and event.name == "agent.completed" and open_calls[step]:
        open_calls[step] -= 1
        if not open_calls[step]:
            frames.append({"type": "phase_complete", "phase": step})
    return frames


async def _final(services: Services, principal: Principal, session_id: str, job_id: str) -> dict[str, Any]:
    job = await services.reader.get(principal, job_id)
    status = mapping.status_of(job.state)
    return {
        "type": "final_result",
        "results": await whole_output(services, job),
        "error": mapping.error_text(job) if status == "failed" else None,
        "session_id": session_id,
        "status": status,
    }


def _error(session_id: str, fault: OrchestratorError) -> str:
    return json.dumps({"type": "error", "message": fault.message, "session_id": session_id, "status": "failed"})
