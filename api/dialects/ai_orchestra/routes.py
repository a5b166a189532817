"""Routes: chat, its webhooks, health and readiness (A-013, A-018, A-026, A-028, A-036)."""

import time
import uuid
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from api.deps import ServiceSource, Svc, api_state, waiting
from api.dialects.ai_orchestra import mapping
from api.dialects.ai_orchestra.errors import ChatRoute, metadata
from api.dialects.ai_orchestra.models import (
    Answered,
    ChatData,
    ChatRequest,
    Failed,
    Health,
    Readiness,
    Version,
    WebhookData,
    WebhookRequest,
)
from api.limits import count_surface_request
from api.middleware import request_id
from api.security import identified
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.container import Services

_DEPRECATED: Final = {"Deprecation": "true"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Failed, "description": "Any error"},
    422: {"model": Failed},
}
router = APIRouter(tags=["chat"], route_class=ChatRoute, responses=_ERRORS)


async def _chatting(request: Request, services: Svc, principal: Annotated[Principal, Depends(identified)]) -> Principal:
    """Return the caller and count the request: 1050 a minute per key (A-006, A-008). Raises `Forbidden`,
    `LimitExceeded`."""
    principal.require(Scope.WORKFLOWS_RUN)
    if principal.tier is not None:  # the bootstrap key has no limits
        await count_surface_request(request, services, SurfaceLimit.CHAT, principal.key or principal.id)
    return principal


Chatter = Annotated[Principal, Depends(_chatting)]


@router.post("/chat/v2/chat")
async def chat(
    body: ChatRequest, request: Request, response: Response, principal: Chatter, services: Svc
) -> Answered[ChatData]:
    """Answer one message. A repeated request with the same `X-Request-ID` gets the same answer and runs once."""
    if body.version == "v1":
        response.headers.update(_DEPRECATED)
    return await _answered(body, request, principal, services, body.version)


@router.post("/chat/v1/chat", deprecated=True)
async def chat_v1(
    body: ChatRequest, request: Request, response: Response, principal: Chatter, services: Svc
) -> Answered[ChatData]:
    """Answer one message, version 1: `{"text", "sessionId"}`."""
    response.headers.update(_DEPRECATED)
    return await _answered(body, request, principal, services, "v1")


@router.post("/chat/v2/webhooks", status_code=201)
async def register_webhook(
    body: WebhookRequest, request: Request, principal: Chatter, services: Svc
) -> Answered[WebhookData]:
    """Register a webhook for `chat.completed` and `session.ended`."""
    registered = await services.webhooks.register(principal, url=body.url, events=body.events, secret=body.secret)
    webhook = registered.webhook
    data = WebhookData(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        created_at=webhook.created_at,
        secret=registered.secret,
    )
    return Answered[WebhookData](data=data, metadata=metadata(request))


@router.get("/health")
async def health(request: Request) -> Health:
    """State of the components. Always 200; load balancers use `GET /readiness`."""
    state = api_state(request.app)
    return mapping.health(await _checks(state.source), time.monotonic() - state.started)


@router.get("/readiness", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def readiness(request: Request) -> JSONResponse:
    """Whether the system can serve requests; 503 if not."""
    result = mapping.readiness(await _checks(api_state(request.app).source))
    return JSONResponse(result.model_dump(), status_code=200 if result.ready else 503)


async def _answered(
    body: ChatRequest, request: Request, principal: Principal, services: Services, version: Version
) -> Answered[ChatData]:
    caller_id = request_id(request) if "x-request-id" in request.headers else None
    session_id = body.session_id or _session_id(caller_id)
    with waiting(request, principal):
        started = await services.conversations.begin(principal, mapping.to_message(body, session_id, caller_id))
        turn = await services.conversations.answer(principal, started)
    return Answered[ChatData](data=mapping.from_turn(turn), metadata=metadata(request, version))


def _session_id(caller_id: str | None) -> str:
    """Return a new session id. It follows from the request id, so that a repeated request finds its session."""
    return f"session-{uuid.uuid5(uuid.NAMESPACE_URL, caller_id) if caller_id else uuid.uuid4()}"


async def _checks(source: ServiceSource) -> list[Finding]:
    try:
        services = await source.services()
    except Unavailable as fault:
        return [Finding.of("start", ok=False, message=fault.message)]
    return [*await services.readiness.checks(), *await services.readiness.further()]
