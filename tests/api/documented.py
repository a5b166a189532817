"""Holds every answer of the AgentOrchestra surface against the document that it serves."""

import re
from typing import Any

import httpx2
from jsonschema import Draft202012Validator, FormatChecker

from api.dialects.agentorchestra.document import served

THEIRS = frozenset({"configuration", "input"})


async def strict(response: httpx2.Response) -> None:
    """A hook of a client: the status is declared, the body fits its schema, and nothing in it is null."""
    path = response.request.url.path.removeprefix("/api")
    if "text/event-stream" in response.headers.get("content-type", "") or path == "/openapi.json":
        return
    await response.aread()
    found = declared(response.request.method.lower(), path, response.status_code)
    if "content" not in found:
        return
    fits(found["content"]["application/json"]["schema"], response.json())


def declared(method: str, path: str, status: int) -> dict[str, Any]:
    """What the document says of an answer."""
    document = served()
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in operations:
            answer = operations[method]["responses"][str(status)]
            name = answer.get("$ref", "").rpartition("/")[2]
            return document["components"]["responses"][name] if name else answer
    raise AssertionError(f"{method} {path} is in no document")


def fits(schema: dict[str, Any], body: Any) -> None:
    """The body is what a schema of the document says."""
    whole = {**schema, "components": served()["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(body)
    assert nulls(body) == []


def component(name: str, body: Any) -> None:
    """The body is what a named schema of the document says."""
    fits({"$ref": f"#/components/schemas/{name}"}, body)


def nulls(value: Any, place: str = "") -> list[str]:
    """Where something is null; what users put into their own objects is theirs."""
    if value is None:
        return [place]
    if isinstance(value, dict):
        ours = {name: each for name, each in value.items() if name not in THEIRS or each is None}
        return [found for name, each in ours.items() for found in nulls(each, f"{place}.{name}")]
    if isinstance(value, list):
        return [found for index, each in enumerate(value) for found in nulls(each, f"{place}[{index}]")]
    return []
