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
    """Who may chat, 1050 times a minute with one key (A-006, A-008). Raises `Forbidden`, `LimitExceeded`."""
    principal.require(Scope.WORKFLOWS_RUN)
    if principal.tier is not None:  # nothing limits the bootstrap key
        await count_surface_request(request, services, SurfaceLimit.CHAT, principal.key or principal.id)
    return principal


Chatter = Annotated[Principal, Depends(_chatting)]


@router.post("/chat/v2/chat")
async def chat(
    body: ChatRequest, request: Request, response: Response, principal: Chatter, services: Svc
) -> Answered[ChatData]:
    """Answer one message. A request that is repeated with its `X-Request-ID` gets the same answer, worked out once."""
    if body.version == "v1":
        response.headers.update(_DEPRECATED)
    return await _answered(body, request, principal, services, body.version)


@router.post("/chat/v1/chat", deprecated=True)
async def chat_v1(
    body: ChatRequest, request: Request, response: Response, principal: Chatter, services: Svc
) -> Answered[ChatData]:
    """The same, version 1: `{"text", "sessionId"}`."""
    response.headers.update(_DEPRECATED)
    return await _answered(body, request, principal, services, "v1")


@router.post("/chat/v2/webhooks", status_code=201)
async def register_webhook(
    body: WebhookRequest, request: Request, principal: Chatter, services: Svc
) -> Answered[WebhookData]:
    """Be told of `chat.completed` and `session.ended`."""
    done = await services.webhooks.register(principal, url=body.url, events=body.events, secret=body.secret)
    hook = done.webhook
    data = WebhookData(id=hook.id, url=hook.url, events=hook.events, created_at=hook.created_at, secret=done.secret)
    return Answered[WebhookData](data=data, metadata=metadata(request))


@router.get("/health")
async def health(request: Request) -> Health:
    """How the system's parts are. Always 200: `GET /readiness` is for load balancers."""
    state = api_state(request.app)
    return mapping.health(await _checks(state.source), time.monotonic() - state.started)


@router.get("/readiness", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def readiness(request: Request) -> JSONResponse:
    """Whether requests can be served: 503 when not."""
    told = mapping.readiness(await _checks(api_state(request.app).source))
    return JSONResponse(told.model_dump(), status_code=200 if told.ready else 503)


async def _answered(
    body: ChatRequest, request: Request, principal: Principal, services: Services, version: Version
) -> Answered[ChatData]:
    given = request_id(request) if "x-request-id" in request.headers else None
    session_id = body.session_id or _session_id(given)
    with waiting(request, principal):
        begun = await services.conversations.begin(principal, mapping.to_message(body, session_id, given))
        turn = await services.conversations.answer(principal, begun)
    return Answered[ChatData](data=mapping.from_turn(turn), metadata=metadata(request, version))


def _session_id(given: str | None) -> str:
    """A new session's id; a repeated request finds the session that its first try made."""
    return f"session-{uuid.uuid5(uuid.NAMESPACE_URL, given) if given else uuid.uuid4()}"


async def _checks(source: ServiceSource) -> list[Finding]:
    try:
        services = await source.services()
    except Unavailable as fault:
        return [Finding.of("start", ok=False, message=fault.message)]
    return [*await services.readiness.checks(), *await services.readiness.further()]
