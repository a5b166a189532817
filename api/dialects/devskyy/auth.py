"""Sign-in of users: tokens for a password, and for a refresh token (S-004, S-006, S-007, C-20, C-21, C-27)."""

from fastapi import APIRouter, Depends, Request

from api.deps import Svc
from api.dialects.devskyy.errors import ERRORS, DevSkyyRoute
from api.dialects.devskyy.guards import attempted, counted_by_address
from api.dialects.devskyy.models import LoginRequest, RefreshRequest, TokenResponse
from api.limits import count_sign_in
from orchestrator.services.access.users import Tokens
from orchestrator.services.container import Services

router = APIRouter(prefix="/api/v1/auth", tags=["sign-in"], route_class=DevSkyyRoute, responses=ERRORS)


@router.post("/login", dependencies=[Depends(attempted)])
async def login(body: LoginRequest, services: Svc, request: Request) -> TokenResponse:
    """Sign in: an access token for 15 minutes and a refresh token for 7 days."""
    request.state.signs_in = body.username  # for the audit trail, if the sign-in fails
    await count_sign_in(request, services, body.username)
    tokens = await services.users.login(body.username, body.password)
    return await _answer(services, request, tokens)


@router.post("/refresh", dependencies=[Depends(counted_by_address)])
async def refresh(body: RefreshRequest, services: Svc, request: Request) -> TokenResponse:
    """New tokens for a refresh token, which is valid once. A second use revokes every token of its sign-in."""
    tokens = await services.users.refresh(body.refresh_token)
    return await _answer(services, request, tokens)


async def _answer(services: Services, request: Request, tokens: Tokens) -> TokenResponse:
    request.state.principal = await services.access.authenticate(tokens.access_token)  # for the audit trail
    return TokenResponse(
        access_token=tokens.access_token, refresh_token=tokens.refresh_token, expires_in=tokens.expires_in
    )
