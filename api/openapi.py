"""The OpenAPI documents: one for each surface, built from its routes (C-08). The native one is the application's."""

from collections import Counter
from functools import cache
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api import health
from api.dialects.surface import Surface
from api.prefix import located
from api.surfaces import SURFACES
from api.v1.surface import DEVORA

TITLE: Final = "Multi-Agent Orchestrator API"
DESCRIPTION: Final = "API for orchestrating AI agents in software development workflows"
VERSION: Final = "1.0.0"
LOGO: Final = {"url": "https://example.com/logo.png"}


def native_document() -> dict[str, Any]:
    """Return the document of the native surface and of the probes, with the documented title and logo (M-048)."""
    return document_of(DEVORA)


def document_of(surface: Surface) -> dict[str, Any]:
    """Return the document of a surface. Behind a proxy with a path prefix, its server is that prefix."""
    server = {"url": located("") or "/", "description": "This server"}
    return {**_built(surface.name), "servers": [server]}


@cache
def _built(name: str) -> dict[str, Any]:
    surface = next(surface for surface in SURFACES if surface.name == name)
    routes = [route for router in surface.routers for route in router.routes]
    if surface is DEVORA:
        document = get_openapi(
            title=TITLE, version=VERSION, description=DESCRIPTION, routes=[*routes, *health.router.routes]
        )
        document["info"]["x-logo"] = LOGO
        _name_operations(document, [*routes, *health.router.routes])
        return document
    document = get_openapi(title=surface.title, version=surface.version, description=surface.description, routes=routes)
    _name_operations(document, routes)
    return document


def _name_operations(document: dict[str, Any], routes: list[BaseRoute]) -> None:
    """Give each operation the name of its function. Raises `ValueError` for a name that two operations have."""
    listed = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    repeated = [name for name, count in Counter(route.name for route in listed).items() if count > 1]
    if repeated:
        raise ValueError(f"several operations of {document['info']['title']} have the names {repeated}")
    for route in listed:
        for method in route.methods or ():
            document["paths"][route.path_format][method.lower()]["operationId"] = route.name
