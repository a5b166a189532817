"""Who sees the figures of everybody: an admin, and whoever has the key for it, such as Prometheus."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from api.deps import api_state
from api.security import bearer, identified
from orchestrator.domain.errors import Unavailable


async def sees_figures(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> bool:
    """Whether a request is shown figures of all owners. Raises `Unauthenticated` for a credential that is none."""
    if credentials is None:
        return False
    state = api_state(request.app)
    key = state.options().metrics_key
    if key and hmac.compare_digest(key.get_secret_value().encode(), credentials.credentials.encode()):
        return True
    try:
        services = await state.source.services()
    except Unavailable:  # whose credential it is cannot be known now
        return False
    return (await identified(request, services, credentials)).admin


SeesFigures = Annotated[bool, Depends(sees_figures)]
