"""The OpenAPI document of this surface: the original document, with the errors that it omits (C-08, C-15, O-051)."""

from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from api.prefix import located

_METHODS: Final = frozenset({"get", "post", "put", "delete"})
_ERROR: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_FURTHER: Final = {
    "Forbidden": "Forbidden",
    "PayloadTooLarge": "The body or the input is too large",
    "TooManyRequests": "A limit is reached; `Retry-After` says for how many seconds",
    "Unavailable": "A part that is needed does not answer; `Retry-After` says when to try again",
    "OtherError": "Any other error",
}
_RESPONSES: Final = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "413": "PayloadTooLarge",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "Unavailable",
    "default": "OtherError",
}
_PUBLIC: Final = ("500", "default")


def served() -> dict[str, Any]:
    """Return the document. It declares what the original document declares; this server comes first."""
    document = _read()
    server = {"url": located("/api"), "description": "This server"}
    return {**document, "servers": [server, *document["servers"]]}


@cache
def _read() -> dict[str, Any]:
    text = files("api.dialects.agentorchestra").joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    responses = document["components"]["responses"]
    for name, description in _FURTHER.items():
        responses[name] = {"description": description, "content": _ERROR}
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                _declare(operation)
    return document


def _declare(operation: dict[str, Any]) -> None:
    public = operation.get("security") == []
    for status, name in _RESPONSES.items():
        if not public or status in _PUBLIC:
            operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
