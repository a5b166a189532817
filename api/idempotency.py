"""Carries out a request with an `Idempotency-Key` once, and repeats its answer."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema
from starlette.responses import Response

from api.deps import Svc, api_state
from api.security import Caller
from orchestrator.domain.ids import IDEMPOTENCY_KEY_LIMIT
from orchestrator.services.access.idempotency import FirstAnswer

# Only described: the value is checked with the message that names the header.
_KeyText = Annotated[
    str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_LIMIT, "pattern": "^[!-~]+$"})
]

IdempotencyKey = Annotated[
    _KeyText | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 printable characters. The same key with the same request returns the first answer with "
        "`Idempotency-Replayed: true`. The same key with another request is refused (422).",
    ),
]

REPLAYED: Final = "Idempotency-Replayed"
_REPEATED_HEADERS: Final = ("Location",)
_REFUSED: Final = 400


class _Repeat(Exception):
    """The request was carried out before; this is its answer."""

    def __init__(self, answer: FirstAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


async def claim_key(request: Request, principal: Caller, services: Svc, key: IdempotencyKey = None) -> None:
    """Claim the idempotency key of a request, if it has one (a dependency, see `Idempotent`).

    Raises `InvalidInput`, `IdempotencyReuse`, `RequestInProgress`, `Unavailable`.
    """
    if key is None:
        return
    outcome = await services.idempotency.claim(principal, key, await _content(request))
    if isinstance(outcome, FirstAnswer):
        raise _Repeat(outcome)
    request.state.claim = outcome


Idempotent = Annotated[None, Depends(claim_key)]
"""The last dependency of a POST route: a caller who may not call the route must not get the first answer, either."""


async def once(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer a request. If a dependency has claimed an idempotency key, store the answer or repeat the first one."""
    completed = False
    try:
        response = await answer(request)
        if hasattr(request.state, "claim") and response.status_code < _REFUSED:
            await _complete(request, response)
            completed = True
    except _Repeat as repeat:
        return _repeated(repeat.answer)
    finally:
        if hasattr(request.state, "claim") and not completed:
            services = await api_state(request.app).source.services()
            await services.idempotency.release(request.state.claim)
    return response


def _repeated(answer: FirstAnswer) -> Response:
    headers = {**answer.headers, REPLAYED: "true"}
    return Response(answer.body, answer.status, headers, media_type="application/json" if answer.body else None)


async def _complete(request: Request, response: Response) -> None:
    headers = {name: response.headers[name] for name in _REPEATED_HEADERS if name in response.headers}
    answer = FirstAnswer(status=response.status_code, body=bytes(response.body).decode(), headers=headers)
    services = await api_state(request.app).source.services()
    await services.idempotency.complete(request.state.claim, answer)


async def _content(request: Request) -> str:
    """Return all of a request that must be the same in a repeated one. JSON may have another form."""
    body = (await request.body()).decode(errors="backslashreplace")
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        content = body
    return json.dumps([request.method, request.url.path, request.url.query, content], sort_keys=True)
