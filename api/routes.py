"""The route class of every surface: refuses unknown parameters and answers errors in its surface's shape (C-11)."""

from collections.abc import Callable, Coroutine, Iterable
from functools import cached_property
from inspect import isclass
from typing import Any, Final

import structlog
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.errors import EXPECTED, Render, as_domain, internal
from api.idempotency import once
from api.revocation import while_valid
from api.validation import invalid_request, unknown_query

log = structlog.get_logger(__name__)

Responses = dict[int | str, dict[str, Any]]

# Monitors add a parameter to avoid caches, and browsers keep such addresses.
ANY_QUERY: Final = frozenset({"/health", "/readiness", "/api/health", "/api/openapi.json"})


class _DescribedRoute(APIRoute):
    """Leaves out the models of further responses. FastAPI would build each, which takes longer than the whole rest.

    Only the OpenAPI document needs them: see `documented`.
    """

    def __init__(self, *args: Any, responses: Responses | None = None, **options: Any) -> None:
        described = {
            status: {name: value for name, value in response.items() if name != "model"}
            for status, response in (responses or {}).items()
        }
        super().__init__(*args, responses=described, **options)
        self.responses = responses or {}


def error_route(render: Render, *, any_query: bool = False) -> type[APIRoute]:
    """Return a route class that answers errors of endpoints, dependencies and request parsing in one dialect's shape.

    Unknown query parameters are refused by name, unless `any_query` is true. A caller without access gets 401, 403 or
    429 before any error about the body or the query.
    """

    class ErrorRoute(_DescribedRoute):
        @cached_property
        def _query_names(self) -> frozenset[str]:
            return _query_names(self)

        @cached_property
        def _body_schema(self) -> dict[str, Any]:
            field = self.body_field
            if field is None or field.field_info.annotation is None:
                return {}
            return TypeAdapter(field.field_info.annotation).json_schema()

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                fault = None if any_query or self.path in ANY_QUERY else unknown_query(request, self._query_names)
                if fault is not None:
                    await self._admit(request)
                    raise fault
                try:
                    return await handle(request)
                except (RequestValidationError, HTTPException) as error:
                    if _before_dependencies(error):
                        await self._admit(request)
                    raise

            async def answer(request: Request) -> Response:
                try:
                    async with while_valid(request):
                        return await once(request, checked)
                except RequestValidationError as fault:
                    return render(request, invalid_request(fault, self._body_schema))
                except (*EXPECTED, HTTPException) as fault:
                    return render(request, as_domain(fault))
                except Exception:
                    log.exception("request_failed", path=request.url.path)
                    return render(request, internal())

            return answer

        async def _admit(self, request: Request) -> None:
            """Run the route's dependencies only. Raises what they raise: `Unauthenticated`, `LimitExceeded`, …"""
            await solve_dependencies(
                request=request,
                dependant=self.dependant,
                dependency_overrides_provider=request.app,
                async_exit_stack=request.scope["fastapi_inner_astack"],
                embed_body_fields=self._embed_body_fields,
            )

    return ErrorRoute


def documented(routes: Iterable[APIRoute]) -> None:
    """Build the models of further responses, which the OpenAPI document shows."""
    for route in routes:
        for status, response in route.responses.items():
            if "model" in response and status not in route.response_fields:
                name = f"Response_{status}_{route.unique_id}"
                field = create_model_field(name=name, type_=response["model"], mode="serialization")
                route.response_fields[status] = field


def _query_names(route: APIRoute) -> frozenset[str]:
    """Return every query parameter that a route declares, also in models and dependencies."""
    names: set[str] = set()
    dependants = [route.dependant]
    while dependants:
        dependant = dependants.pop()
        dependants += dependant.dependencies
        for field in dependant.query_params:
            model = field.field_info.annotation
            if isclass(model) and issubclass(model, BaseModel):
                names |= {part.alias or name for name, part in model.model_fields.items()}
            else:
                names.add(field.alias)
    return frozenset(names)


def _before_dependencies(error: RequestValidationError | HTTPException) -> bool:
    """Return whether FastAPI raised the error while it read the body, which is before it authenticates the caller."""
    return isinstance(error, HTTPException) or error.errors()[0]["type"] == "json_invalid"
