"""Renders templates to pages. Every value is escaped; the policy of a page allows no inline script or style."""

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from api.page.formats import FILTERS, ago
from api.page.visitors import Visitor
from api.prefix import located

ROOT: Final = "/ui"
_FOLDER: Final = Path(__file__).parent
STATIC: Final = _FOLDER / "static"
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self'; script-src 'self'; style-src 'self'"
)
# A form names its origin only with this policy; other sites still get no address of a page.
PAGE_HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}


@cache
def version() -> str:
    """The version of the static files: their addresses change with their content."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def url(path: str = "", **query: Any) -> str:
    """The address of a page, with the query parameters that are not None or empty."""
    pairs = [
        (name, part)
        for name, value in query.items()
        for part in (value if isinstance(value, list) else [value])
        if part not in (None, "")
    ]
    return located(f"{ROOT}{quote(path, safe='/:')}") + (f"?{urlencode(pairs)}" if pairs else "")


def file_url(name: str) -> str:
    """The address of a static file."""
    return located(f"{ROOT}/static/{version()}/{name}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(url=url, file=file_url, home=lambda: located("/"))
    return environment


def fragment(template: str, **values: Any) -> str:
    """A part of a page."""
    now = datetime.now(UTC)
    return _environment().get_template(template).render(now=now, ago=lambda at: ago(at, now), **values)


def page(request: Request, visitor: Visitor | None, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page."""
    path = request.url.path.removeprefix(located(ROOT))
    text = fragment(template, visitor=visitor, path=path, **values)
    return HTMLResponse(text, status, PAGE_HEADERS)


def see_other(address: str) -> RedirectResponse:
    """The answer to a form that was carried out: the browser reads the page at the address."""
    return RedirectResponse(address, 303, PAGE_HEADERS)
