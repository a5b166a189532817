"""Decides who may see the metrics of all owners: admins, and holders of the metrics key, such as Prometheus."""

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
    """Return whether a request may see metrics of all owners. Raises `Unauthenticated` for an invalid credential."""
    if credentials is None:
        return False
    state = api_state(request.app)
    key = state.options().metrics_key
    if key and hmac.compare_digest(key.get_secret_value().encode(), credentials.credentials.encode()):
        return True
    try:
        services = await state.source.services()
    except Unavailable:  # the credential cannot be checked now
        return False
    return (await identified(request, services, credentials)).admin


SeesFigures = Annotated[bool, Depends(sees_figures)]
