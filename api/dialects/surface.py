"""What one surface is: its paths, its routes, and how it words an error."""

from dataclasses import dataclass

from fastapi import APIRouter

from api.errors import Render


@dataclass(frozen=True, slots=True)
class Surface:
    """One surface of the application. `prefixes` are the paths whose errors it words; the longest one wins (C-07).

    `document` is the path of its OpenAPI document where that is not made from its routes.
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
        """How many characters of a path are this surface's; 0 when it is another's."""
        ours = [prefix for prefix in self.prefixes if path == prefix or path.startswith(prefix.rstrip("/") + "/")]
        return max(map(len, ours), default=0)
