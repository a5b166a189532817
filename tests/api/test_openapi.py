"""The OpenAPI documents: what a generator of clients needs, and nothing that only readers of the code understand."""

import json
import re
from typing import Any

import httpx2
import pytest

from api.dialects.surface import Surface
from api.openapi import document_of, native_document
from api.surfaces import SURFACES
from orchestrator.domain.access import Scope
from tests.ledger import ledger

NATIVE = native_document()
OPERATIONS = {
    operation["operationId"]: operation for methods in NATIVE["paths"].values() for operation in methods.values()
}


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_no_document_refers_to_requirements(surface: Surface):
    assert re.findall(r"\(?[A-Z]-\d{2,3}\b\)?", json.dumps(document_of(surface))) == []


def test_each_tag_of_the_native_document_has_a_text():
    described = [tag["name"] for tag in NATIVE["tags"] if tag["description"]]
    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert sorted(used) == sorted(described)


@ledger("D-015")
def test_security_names_the_scope_of_each_operation():
    for name, operation in OPERATIONS.items():
        for scopes in (scopes for entry in operation.get("security", []) for scopes in entry.values()):
            assert len(scopes) <= 1, name
            assert set(scopes) <= set(Scope), name
            for scope in scopes:
                assert f"Scope: `{scope}`." in operation["description"]
    assert OPERATIONS["run_workflow"]["security"] == [{"HTTPBearer": ["workflows:run"]}]
    assert OPERATIONS["issue_key"]["security"] == [{"HTTPBearer": ["admin:*"]}]
    assert OPERATIONS["me"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in OPERATIONS["healthz"]


def test_every_summary_is_one_short_sentence():
    for name, operation in OPERATIONS.items():
        assert 5 <= len(operation["summary"]) <= 90, name
        assert operation["description"].startswith(operation["summary"]), name


def test_every_post_takes_an_idempotency_key():
    without = {
        path
        for path, methods in NATIVE["paths"].items()
        if "post" in methods
        and "Idempotency-Key" not in {parameter["name"] for parameter in methods["post"].get("parameters", [])}
    }
    assert without == set()


def declared(operation: dict[str, Any], status: int) -> set[str]:
    responses = operation["responses"]
    return set(responses[str(status) if str(status) in responses else "default"]["headers"])


@ledger("D-066")
async def test_the_headers_of_an_answer_are_declared(client: httpx2.AsyncClient):
    known = {name.lower(): name for name in NATIVE["components"]["headers"]}
    key = {"Idempotency-Key": "declared headers"}
    body = {"input": {}, "async": True}
    answers = {
        "execute_agent": [await client.post("/v1/agents/t_echo/execute", json=body, headers=key) for _ in range(2)],
        "get_agent": [await client.get("/v1/agents/t_echo"), await client.get("/v1/agents/nobody")],
        "healthz": [await client.get("/healthz")],
        "me": [await client.get("/v1/auth/me", headers={"Authorization": "Bearer wrong"})],
    }
    seen: set[str] = set()
    for name, each in answers.items():
        for answer in each:
            sent = {known[header] for header in answer.headers if header in known}
            assert sent <= declared(OPERATIONS[name], answer.status_code), (name, answer.status_code)
            seen |= sent
    assert {"Location", "Idempotency-Replayed", "X-Request-ID", "X-RateLimit-Limit", "x-should-retry"} <= seen


def test_answers_that_ask_for_patience_have_a_retry_after():
    for operation in OPERATIONS.values():
        for status in {"429", "503"} & set(operation["responses"]):
            assert "Retry-After" in operation["responses"][status]["headers"]


@pytest.mark.parametrize("name", sorted(NATIVE["components"]["schemas"]))
def test_schemas_have_names_for_readers(name: str):
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert not name.endswith("Body")
    assert NATIVE["components"]["schemas"][name]["title"] == name
