"""The OpenAPI documents: one for each surface, built from its routes (C-08). The native one is the application's."""

import re
from collections import Counter
from functools import cache
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api import health
from api.dialects.surface import Surface
from api.prefix import located
from api.routes import documented
from api.security import scopes_of
from api.surfaces import SURFACES
from api.v1.document import (
    ANSWER_EXAMPLES,
    ERROR_EXAMPLES,
    EXAMPLES,
    HEADERS,
    INTRODUCTION,
    LOCATED,
    SCHEMA_NAMES,
    TAGS,
)
from api.v1.messages import MESSAGES, WebhookMessage
from api.v1.output import SCHEMA
from api.v1.surface import DEVORA
from orchestrator.domain.access import Scope
from orchestrator.domain.webhooks import WebhookEvent

TITLE: Final = "Multi-Agent Orchestrator API"
DESCRIPTION: Final = "API for orchestrating AI agents in software development workflows"
VERSION: Final = "1.0.0"
LOGO: Final = {"url": "https://example.com/logo.png"}

Document = dict[str, Any]

_JSON: Final = "application/json"
_SENT_TO_WEBHOOKS: Final = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "X-Devora-Signature",
    "X-Devora-Event",
)
_SCHEMAS: Final = "#/components/schemas/"
# References to requirements, such as (D-041, D-042): they are for readers of the code.
_REQUIREMENT_REFERENCES: Final = re.compile(r"\s*\((?:see )?[A-Z]-?\d+(?:(?:,| to| and|, and) [A-Z]-?\d+)*\)")
_SENTENCE_END: Final = re.compile(r"[.:;](?=\s|$)")
_HEADERS_OF_ALL: Final = ("X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HEADERS_OF_LIMITED_CALLERS: Final = ("RateLimit", "RateLimit-Policy")
_STATUSES_WITH_RETRY_AFTER: Final = frozenset({"409", "429", "503"})


def native_document() -> Document:
    """Return the document of the native surface and of the probes."""
    return document_of(DEVORA)


def document_of(surface: Surface) -> Document:
    """Return the document of a surface. Behind a proxy with a path prefix, its server is that prefix."""
    server = {"url": located("") or "/", "description": "This server"}
    return {**_built(surface.name), "servers": [server]}


@cache
def _built(name: str) -> Document:
    surface = next(surface for surface in SURFACES if surface.name == name)
    routes = [route for router in surface.routers for route in router.routes if isinstance(route, APIRoute)]
    documented(routes)
    document = _native(routes) if surface is DEVORA else _plain(surface, routes)
    cleaned: Document = _without_marks(document)
    return cleaned


def _plain(surface: Surface, routes: list[APIRoute]) -> Document:
    document = get_openapi(title=surface.title, version=surface.version, description=surface.description, routes=routes)
    _operations(document, routes)
    return document


def _native(routes: list[APIRoute]) -> Document:
    """Return the native document: title and logo are documented (M-048), the introduction follows the description."""
    probes = [route for route in health.router.routes if isinstance(route, APIRoute)]
    documented(probes)
    routes = [*routes, *probes]
    description = f"{DESCRIPTION}\n\n{INTRODUCTION}"
    document = get_openapi(title=TITLE, version=VERSION, description=description, tags=TAGS, routes=routes)
    document["info"]["x-logo"] = LOGO
    document["components"]["headers"] = HEADERS
    _, messages = models_json_schema(
        [(model, "serialization") for model in MESSAGES], ref_template=_SCHEMAS + "{model}"
    )
    document["components"]["schemas"] = {**messages["$defs"], **document["components"]["schemas"]}
    document["webhooks"] = {str(event): {"post": _webhook(event)} for event in WebhookEvent}
    for route, operation in _operations(document, routes):
        _declare_scope(route, operation)
        _declare_headers(operation)
        _separate_statuses(operation)
        _add_examples(operation)
    return _renamed(document)


def _webhook(event: str) -> Document:
    """Return the operation that a receiver of webhooks implements for an event."""
    return {
        "tags": ["webhooks"],
        "operationId": f"on_{event.replace('.', '_')}",
        "summary": f"The event {event}",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in _SENT_TO_WEBHOOKS
        ],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"$ref": f"{_SCHEMAS}{WebhookMessage.__name__}"}}},
        },
        "responses": {"2XX": {"description": "Delivered. After any other answer the delivery is tried again."}},
    }


def _operations(document: Document, routes: list[APIRoute]) -> list[tuple[APIRoute, Document]]:
    """Give each operation the name of its function and a summary. Raises `ValueError` for a name used twice."""
    documented = [route for route in routes if route.include_in_schema]
    repeated = [name for name, count in Counter(route.name for route in documented).items() if count > 1]
    if repeated:
        raise ValueError(f"several operations of {document['info']['title']} have the names {repeated}")
    operations = []
    for route in documented:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["operationId"] = route.name
            if text := operation.get("description"):
                operation["summary"] = _SENTENCE_END.split(text, maxsplit=1)[0]
            operations.append((route, operation))
    return operations


def _declare_scope(route: APIRoute, operation: Document) -> None:
    """Add the scope that a route needs, or the scopes of which it needs one, to its security and its description."""
    dependants, scopes = [route.dependant], list[Scope]()
    while dependants:
        dependant = dependants.pop()
        dependants += dependant.dependencies
        scopes += scopes_of(dependant.call) if dependant.call else ()
    if scopes:
        scopes = list(dict.fromkeys(scopes))
        operation["security"] = [{key: [scope] for key in entry} for scope in scopes for entry in operation["security"]]
        operation["description"] += f"\n\nScope: {' or '.join(f'`{scope}`' for scope in scopes)}."


def _declare_headers(operation: Document) -> None:
    for status, answer in operation["responses"].items():
        names = [*_HEADERS_OF_ALL]
        if operation.get("security"):
            names += _HEADERS_OF_LIMITED_CALLERS
        if status.startswith("2"):
            names += ["Location"] if operation["operationId"] in LOCATED else []
            names += ["Idempotency-Replayed"] if _takes_key(operation) else []
        else:
            names += ["x-should-retry", *(["Retry-After"] if status in _STATUSES_WITH_RETRY_AFTER else [])]
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _separate_statuses(operation: Document) -> None:
    """Leave the asynchronous answer to its own status: a function that gives both has both in its type."""
    answers = [operation["responses"].get(status, {}).get("content", {}).get(_JSON) for status in ("200", "202")]
    if all(answers):
        finished, accepted = answers
        alternatives = [part for part in finished["schema"].get("anyOf", []) if part != accepted["schema"]]
        if len(alternatives) == 1:
            finished["schema"] = alternatives[0]


def _add_examples(operation: Document) -> None:
    name = operation["operationId"]
    if name in EXAMPLES:
        operation["requestBody"]["content"][_JSON]["example"] = EXAMPLES[name]
    for status, answer in operation["responses"].items():
        example = ANSWER_EXAMPLES.get((name, status), ERROR_EXAMPLES.get(status))
        if example is not None:
            answer["content"][_JSON]["example"] = example


def _takes_key(operation: Document) -> bool:
    return any(parameter["name"].lower() == "idempotency-key" for parameter in operation.get("parameters", []))


def _renamed(document: Document) -> Document:
    """Return the document with the public names of its schemas. Raises `ValueError` if two would have the same."""
    schemas: dict[str, Document] = {}
    for name, schema in document["components"]["schemas"].items():
        public = SCHEMA_NAMES.get(name, name)
        if public in schemas:
            raise ValueError(f"several schemas have the name {public}")
        schemas[public] = {**schema, "title": public}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    renamed: Document = _with_names(document)
    return renamed


def _with_names(value: Any) -> Any:
    if isinstance(value, dict):
        if SCHEMA in value:
            return {"$ref": _SCHEMAS + value[SCHEMA]}
        return {name: _with_names(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_names(part) for part in value]
    if isinstance(value, str) and value.startswith(_SCHEMAS):
        name = value.removeprefix(_SCHEMAS)
        return _SCHEMAS + SCHEMA_NAMES.get(name, name)
    return value


def _without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_marks(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_marks(part) for part in value]
    return _REQUIREMENT_REFERENCES.sub("", value) if isinstance(value, str) else value
