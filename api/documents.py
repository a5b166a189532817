"""Serves the OpenAPI document of each surface, and pages to browse them (C-08)."""

from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.dialects.surface import Surface
from api.openapi import TITLE, document_of
from api.postman import collection_of
from api.prefix import located
from api.routes import error_route
from api.surfaces import SURFACES, render
from api.v1.surface import DEVORA
from orchestrator.domain.errors import NotFound

FOLDER = Path(__file__).parent / "page_files"

router = APIRouter(include_in_schema=False, route_class=error_route(render, any_query=True))

_NATIVE = "/openapi.json"
# Served from here: a script from a CDN would run in the page into which people paste their keys.
_FILES = {name: FOLDER / name for name in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js")}
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_CACHE_HEADERS = {"Cache-Control": "public, max-age=86400"}
_NO_ICON = "data:,"


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The native routes, and links to each surface's page (M-049, D-109)."""
    return _page(_NATIVE, TITLE, DEVORA.name)


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """The native routes, as one page to read."""
    return get_redoc_html(
        openapi_url=located(_NATIVE),
        title=f"{TITLE} - ReDoc",
        redoc_js_url=_file("redoc.standalone.js"),
        redoc_favicon_url=_NO_ICON,
        with_google_fonts=False,
    )


@router.get("/docs/files/{name}")
async def file(name: str) -> Response:
    """A script or stylesheet of these pages."""
    if name not in _FILES:
        raise NotFound(f"There is no file {name[:40]!r}; there are: {', '.join(_FILES)}")
    return Response(_content(name), media_type=_TYPES[Path(name).suffix], headers=_CACHE_HEADERS)


@cache
def _content(name: str) -> bytes:
    """Return a file from memory, read once: a slow client must not keep a file open."""
    return _FILES[name].read_bytes()


@router.get("/docs/{name}")
async def browse(name: str) -> HTMLResponse:
    """One surface's routes."""
    surface = _named(name)
    return _page(_document_of(surface), surface.title, name)


@router.get("/openapi/{name}.json")
async def document(name: str) -> dict[str, Any]:
    """One surface's OpenAPI document."""
    return document_of(_named(name))


@router.get("/postman/{name}.json")
async def postman(request: Request, name: str) -> dict[str, Any]:
    """One surface's routes as a Postman collection (S-035)."""
    surface = _named(name)
    return collection_of(document_of(surface), f"{request.url.scheme}://{request.url.netloc}{located('')}")


def _file(name: str) -> str:
    return located(f"/docs/files/{name}")


def _named(name: str) -> Surface:
    for surface in SURFACES:
        if surface.name == name:
            return surface
    names = ", ".join(surface.name for surface in SURFACES)
    raise NotFound(f"There is no surface {name[:40]!r}; there are: {names}")


def _document_of(surface: Surface) -> str:
    return surface.document or f"/openapi/{surface.name}.json"


def _page(document_url: str, title: str, name: str) -> HTMLResponse:
    """Return Swagger UI for the document of one surface, below a line of links to the others."""
    response = get_swagger_ui_html(
        openapi_url=located(document_url),
        title=title,
        swagger_js_url=_file("swagger-ui-bundle.js"),
        swagger_css_url=_file("swagger-ui.css"),
        swagger_favicon_url=_NO_ICON,
    )
    page = bytes(response.body).decode()
    links = [(f"/docs/{surface.name}", surface.title) for surface in SURFACES]
    links.append((f"/postman/{name}.json", "Postman collection"))
    links_html = " · ".join(f'<a href="{escape(located(url))}">{escape(text)}</a>' for url, text in links)
    navigation = f'<nav style="font: 14px sans-serif; padding: 12px 20px">{links_html}</nav>'
    return HTMLResponse(page.replace("<body>", f"<body>\n{navigation}", 1))
