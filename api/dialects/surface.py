"""Definition of one surface: paths, routes and error shape."""

from dataclasses import dataclass

from fastapi import APIRouter

from api.errors import Render


@dataclass(frozen=True, slots=True)
class Surface:
    """One surface of the application. It renders the errors of its `prefixes`; the longest prefix wins (C-07).

    `document` is the path of its OpenAPI document if that is not generated from its routes.
    """

    name: str
    title: str
    version: str
    description: str
    prefixes: tuple[str, ...]
    routers: tuple[APIRouter, ...]
    render: Render
    document: str | None = None

    def claims(self, path: str) -> int:
        """Return the length of the longest prefix that matches a path; 0 without a match."""
        matching = [prefix for prefix in self.prefixes if path == prefix or path.startswith(prefix.rstrip("/") + "/")]
        return max(map(len, matching), default=0)
