"""The OpenAPI documents: what a generator of clients needs, and nothing that only readers of the code understand."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from api.dialects.surface import Surface
from api.openapi import document_of, native_document
from api.surfaces import SURFACES
from api.v1.envelope import _CODES
from orchestrator.domain.access import Scope
from orchestrator.domain.events import EventName, EventType
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobState, JobStatus, ReasonCode
from orchestrator.domain.webhooks import SUBSCRIBABLE, DeliveryState, DeliveryVerdict, WebhookEvent
from orchestrator.projection import events as projection
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
                assert f"`{scope}`" in operation["description"].rpartition("Scope: ")[2]
    assert OPERATIONS["run_workflow"]["security"] == [{"HTTPBearer": ["workflows:run"]}]
    assert OPERATIONS["issue_key"]["security"] == [{"HTTPBearer": ["admin:*"]}]
    assert OPERATIONS["retry_job"]["security"] == [
        {"HTTPBearer": ["workflows:run"]},
        {"HTTPBearer": ["agents:execute"]},
    ]
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


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = NATIVE["components"]["schemas"][name]
    return found


@ledger("D-026")
def test_limits_of_numbers_are_words_of_json_schema():
    """A validator inside of a limit would leave pydantic's own words in the schema."""
    own = re.findall(r'"(?:ge|gt|le|lt)": \d', json.dumps(NATIVE["components"]["schemas"]))
    assert own == []


def test_the_output_is_typed():
    assert set(schema("Output")["properties"]) == {"status", "output", "deliverables", "metadata"}
    answer = OPERATIONS["get_output"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"] == {"$ref": "#/components/schemas/Output"}
    assert {"$ref": "#/components/schemas/Output"} in schema("JobDetail")["properties"]["output"]["anyOf"]


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("JobDetail", "status", list(JobStatus)),
        ("JobDetail", "state", list(JobState)),
        ("JobSummary", "type", list(JobKind)),
        ("Reason", "code", list(ReasonCode)),
        ("SeenReason", "code", list(ReasonCode)),
        ("ErrorDetail", "code", sorted({"invalid_request", "model_not_configured", *_CODES.values()})),
        ("JobEvent", "type", list(EventType)),
        ("Attempt", "status", list(AttemptStatus)),
        ("AgentCall", "status", list(CallStatus)),
        ("Delivery", "event", list(WebhookEvent)),
        ("Delivery", "state", list(DeliveryState)),
        ("DeliveryAttempt", "verdict", list(DeliveryVerdict)),
    ],
)
def test_closed_words_are_enums(name: str, field: str, words: list[str]):
    part = schema(name)["properties"][field]
    if "$ref" in part:
        part = schema(part["$ref"].rpartition("/")[2])
    assert sorted(part["enum"]) == sorted(words)


def test_a_start_has_one_form_for_each_status():
    for name in ("execute_agent", "run_workflow"):
        answers = OPERATIONS[name]["responses"]
        forms = [answers[status]["content"]["application/json"]["schema"]["$ref"] for status in ("200", "202")]
        assert len(set(forms)) == 2


def test_frames_and_messages_have_schemas():
    assert schema("SocketClientFrame")["discriminator"]["propertyName"] == "type"
    assert len(schema("SocketServerFrame")["anyOf"]) == 8
    assert len(schema("StreamFrame")["anyOf"]) == 4
    assert len(schema("AccountFrame")["anyOf"]) == 4
    assert set(NATIVE["webhooks"]) == set(WebhookEvent)
    mapping = schema("WebhookMessage")["discriminator"]["mapping"]
    assert set(mapping) == set(WebhookEvent)


def test_a_retry_says_which_form_it_has():
    form = OPERATIONS["retry_job"]["responses"]["202"]["content"]["application/json"]["schema"]
    assert form["discriminator"] == {
        "propertyName": "type",
        "mapping": {
            "agent": "#/components/schemas/AgentRetried",
            "workflow": "#/components/schemas/WorkflowRetried",
        },
    }


def test_a_stream_is_described_by_its_frames():
    content = OPERATIONS["get_events"]["responses"]["200"]["content"]["text/event-stream"]
    fields = content["itemSchema"]["properties"]
    assert set(fields["event"]["enum"]) == {"snapshot", "stream_error", *EventType}
    assert fields["data"]["contentSchema"] == {"$ref": "#/components/schemas/StreamFrame"}
    content = OPERATIONS["follow_account"]["responses"]["200"]["content"]["text/event-stream"]
    fields = content["itemSchema"]["properties"]
    assert set(fields["event"]["enum"]) == {"stream_started", "stream_error", *SUBSCRIBABLE}
    assert fields["data"]["contentSchema"] == {"$ref": "#/components/schemas/AccountFrame"}


def test_names_of_events_are_an_open_enum():
    names, other = schema("JobEvent")["properties"]["name"]["anyOf"]
    assert (names, other) == ({"$ref": "#/components/schemas/EventName"}, {"type": "string"})
    assert schema("EventName")["enum"] == list(EventName)
    text = Path(projection.__file__).read_text()
    made = set(re.findall(r'"((?:job|agent|step|question)\.[a-z_.]+)"', text))
    assert made <= set(EventName)
    assert len(made) > 15
    assert {f"job.{state}".lower() for state in JobState if state.terminal} <= set(EventName)


def test_examples_follow_their_schemas():
    tried = 0
    for name, operation in OPERATIONS.items():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            if "example" in content:
                whole = {**content["schema"], "components": NATIVE["components"]}
                faults = [error.message for error in Draft202012Validator(whole).iter_errors(content["example"])]
                assert faults == [], name
                tried += 1
    assert tried > 80
