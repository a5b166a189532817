"""The static files of the page: the stylesheet, the script and the vendored library."""

from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from api.page.errors import PageRoute
from api.page.rendering import ROOT, STATIC
from orchestrator.domain.errors import NotFound

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
_CACHE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


@router.get("/static/{version}/{name}")
async def static_file(version: str, name: str) -> Response:
    """A file of the page. Its address has the version of all files, so that a browser may keep it for ever."""
    files = _files()
    if name not in files:
        raise NotFound(f"There is no file {name[:40]!r}")
    return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=_CACHE)


@cache
def _files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _TYPES}
