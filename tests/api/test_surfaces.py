"""Five surfaces in one application: each path is one route's, and each surface has a document of its own."""

from collections import Counter

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from api.surfaces import SURFACES, surface_of
from tests.ledger import ledger


def patterns(app: FastAPI) -> list[str]:
    """`METHOD /path/{}` of every route, parameters without their names."""
    found = []
    for surface in SURFACES:
        for router in surface.routers:
            found += [line for route in router.routes for line in _lines(route)]
    return found


def _lines(route: BaseRoute) -> list[str]:
    path = "/".join("{}" if part.startswith("{") else part for part in str(getattr(route, "path", "")).split("/"))
    return [f"{method} {path}" for method in getattr(route, "methods", None) or ["WS"]]


@ledger("C-01")
def test_no_two_routes_answer_the_same_request(app: FastAPI):
    repeated = [line for line, times in Counter(patterns(app)).items() if times > 1]
    assert repeated == []


@ledger("C-07")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/jobs", "devora"),
        ("/v1", "devora"),
        ("/api/v1/execute-workflow", "orchestrator"),
        ("/api/v2/execute-workflow", "orchestrator"),
        ("/nothing", "orchestrator"),
        ("/v12", "orchestrator"),
    ],
)
def test_the_longest_prefix_words_an_error(path: str, name: str):
    assert surface_of(path).name == name


@ledger("C-08", "D-109")
async def test_each_surface_has_a_document_and_a_page(client: httpx2.AsyncClient):
    docs = (await client.get("/docs")).text
    for surface in SURFACES:
        assert f'href="/docs/{surface.name}"' in docs
        document = (await client.get(surface.document or f"/openapi/{surface.name}.json")).json()
        assert document["info"]["title"] == surface.title
        assert document["paths"]
        page = await client.get(f"/docs/{surface.name}")
        assert page.status_code == 200
        assert surface.title in page.text


@pytest.mark.parametrize("path", ["/docs/nothing", "/openapi/nothing.json"])
async def test_an_unknown_surface_is_not_found(client: httpx2.AsyncClient, path: str):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "devora" in answer.json()["detail"]
