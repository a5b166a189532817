"""The Python library and the API's document have the same fields, of the same types, in both directions."""

import inspect
import types
import typing
from datetime import date, datetime
from typing import Any

import pytest

from api.app import create_app
from devora import AsyncDevoraClient, models
from devora._async.agents import AsyncAgents
from devora._async.audit import AsyncAudit
from devora._async.jobs import AsyncJobs
from devora._async.keys import AsyncKeys
from devora._async.metrics import AsyncMetrics
from devora._async.schedules import AsyncSchedules
from devora._async.users import AsyncUsers
from devora._async.webhooks import AsyncWebhooks
from devora._async.workflows import AsyncWorkflows
from devora._model import Model
from tests.api.conftest import Fixed

# What each operation answers (of a page, the key and type of its items), and the method that asks for it.
OPERATIONS: dict[str, tuple[Any, Any]] = {
    "GET /v1/agents": (models.AgentList, AsyncAgents.list),
    "GET /v1/agents/{agent_id}": (models.AgentDetail, AsyncAgents.get),
    "GET /v1/agents/{agent_id}/health": (models.AgentHealth, AsyncAgents.health),
    "POST /v1/agents/{agent_id}/execute": ((models.Result, models.Accepted), AsyncAgents.execute),
    "GET /v1/workflows": (models.WorkflowList, AsyncWorkflows.list),
    "GET /v1/workflows/{workflow_id}": (models.WorkflowDetail, AsyncWorkflows.get),
    "POST /v1/workflows/{workflow_id}/run": ((models.Result, models.Accepted), AsyncWorkflows.run),
    "GET /v1/jobs": ({"jobs": models.JobSummary}, AsyncJobs.list),
    "GET /v1/jobs/{job_id}": (models.JobDetail, AsyncJobs.get),
    "GET /v1/jobs/{job_id}/output": (models.Output, AsyncJobs.output),
    "GET /v1/jobs/{job_id}/events": (models.EventPage, AsyncJobs.events),
    "POST /v1/jobs/{job_id}/cancel": (models.Controlled, AsyncJobs.cancel),
    "POST /v1/jobs/{job_id}/pause": (models.Controlled, AsyncJobs.pause),
    "POST /v1/jobs/{job_id}/resume": (models.Controlled, AsyncJobs.resume),
    "POST /v1/jobs/{job_id}/approve": (models.Controlled, AsyncJobs.approve),
    "POST /v1/jobs/{job_id}/reject": (models.Controlled, AsyncJobs.reject),
    "POST /v1/jobs/{job_id}/retry": (models.Accepted, AsyncJobs.retry),
    "GET /v1/jobs/{job_id}/questions": (models.QuestionList, AsyncJobs.questions),
    "POST /v1/jobs/{job_id}/answers": (models.AnswerResult, AsyncJobs.answer),
    "POST /v1/jobs/{job_id}/signals/{name}": (models.Controlled, AsyncJobs.signal),
    "GET /v1/jobs/{job_id}/deliveries": ({"deliveries": models.Delivery}, AsyncJobs.deliveries),
    "GET /v1/metrics": (models.MetricsOverview, AsyncMetrics.get),
    "GET /v1/metrics/agents/{agent_id}": (models.AgentMetrics, AsyncMetrics.agent),
    "POST /v1/auth/api-keys": (models.IssuedKey, AsyncKeys.create),
    "GET /v1/auth/api-keys": ({"keys": models.ApiKey}, AsyncKeys.list),
    "GET /v1/auth/api-keys/{key_id}": (models.ApiKey, AsyncKeys.get),
    "PATCH /v1/auth/api-keys/{key_id}": (models.ApiKey, AsyncKeys.update),
    "POST /v1/auth/api-keys/{key_id}/rotate": (models.IssuedKey, AsyncKeys.rotate),
    "DELETE /v1/auth/api-keys/{key_id}": (models.ApiKey, AsyncKeys.revoke),
    "GET /v1/auth/me": (models.Me, AsyncDevoraClient.me),
    "GET /v1/limits": (models.Limits, AsyncDevoraClient.limits),
    "POST /v1/users": (models.User, AsyncUsers.create),
    "GET /v1/users": ({"users": models.User}, AsyncUsers.list),
    "DELETE /v1/users/{username}": (None, AsyncUsers.delete),
    "POST /v1/schedules": (models.Schedule, AsyncSchedules.create),
    "GET /v1/schedules": ({"schedules": models.Schedule}, AsyncSchedules.list),
    "GET /v1/schedules/{schedule_id}": (models.Schedule, AsyncSchedules.get),
    "PATCH /v1/schedules/{schedule_id}": (models.Schedule, AsyncSchedules.update),
    "DELETE /v1/schedules/{schedule_id}": (None, AsyncSchedules.delete),
    "POST /v1/schedules/{schedule_id}/pause": (models.Schedule, AsyncSchedules.pause),
    "POST /v1/schedules/{schedule_id}/unpause": (models.Schedule, AsyncSchedules.unpause),
    "POST /v1/schedules/{schedule_id}/trigger": (models.Schedule, AsyncSchedules.trigger),
    "POST /v1/schedules/{schedule_id}/backfill": (models.Schedule, AsyncSchedules.backfill),
    "POST /v1/webhooks": (models.Webhook, AsyncWebhooks.create),
    "GET /v1/webhooks": ({"webhooks": models.Webhook}, AsyncWebhooks.list),
    "GET /v1/webhooks/{webhook_id}": (models.Webhook, AsyncWebhooks.get),
    "PATCH /v1/webhooks/{webhook_id}": (models.Webhook, AsyncWebhooks.update),
    "DELETE /v1/webhooks/{webhook_id}": (None, AsyncWebhooks.delete),
    "POST /v1/webhooks/{webhook_id}/rotate-secret": (models.Webhook, AsyncWebhooks.rotate_secret),
    "POST /v1/webhooks/{webhook_id}/test": (models.Delivery, AsyncWebhooks.test),
    "GET /v1/webhooks/{webhook_id}/deliveries": ({"deliveries": models.Delivery}, AsyncWebhooks.deliveries),
    "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": (models.Delivery, AsyncWebhooks.redeliver),
    "GET /v1/audit": ({"entries": models.AuditEntry}, AsyncAudit.list),
    "GET /readyz": (models.Readiness, AsyncDevoraClient.health),
}
# `request` reaches them.
NOT_COVERED = {"POST /v1/auth/sign-out", "GET /v1/events"}
# Pages have these in every language, and not as fields of a model.
OF_PAGES = {"total", "limit", "offset", "next", "has_more"}
# A workflow's finished start repeats the fields of its acceptance, which stay in `extra`.
OF_ACCEPTANCE = {"progress", "steps_status", "eta_seconds"}
# Cursors that pages follow by themselves, and parameters that `wait` and `stream` send.
IMPLIED = {"before", "wait", "until", "deltas", "snapshot"}
ARGUMENTS = {"async": "async_mode", "label": "labels"}
# A `Result` is read of a job that has completed, and so has an output.
ALLOWED = {
    f"POST /v1/{start}.output: may be null" for start in ("agents/{agent_id}/execute", "workflows/{workflow_id}/run")
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Fixed(None)).openapi()  # type: ignore[arg-type]


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/") or path == "/readyz"
    }


class Walk:
    """Compares a model with a schema, and what is inside them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.differences: list[str] = []
        self.properties: dict[type[Model], set[str]] = {}
        self._walked: set[tuple[type[Model], int]] = set()  # a step may have steps

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            target: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        return schema

    def variants(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        """The schemas that a value may have, null left out."""
        schema = self.resolved(schema)
        inner = schema.get("anyOf") or schema.get("oneOf")
        if inner is None and len(schema.get("allOf", [])) == 1:
            inner = schema["allOf"]
        if inner is None:
            return [] if schema.get("type") == "null" else [schema]
        return [each for one in inner for each in self.variants(one)]

    def compare(self, model: type[Model], schema: dict[str, Any], place: str) -> None:
        for variant in self.variants(schema):
            properties = self._properties(variant)
            self.properties.setdefault(model, set()).update(properties)
            hints = {name: hint for name, hint in typing.get_type_hints(model).items() if name in model.fields()}
            if (model, id(variant)) in self._walked:
                continue
            self._walked.add((model, id(variant)))
            for name in properties.keys() - hints.keys():
                self.differences.append(f"{place}: {model.__name__} lacks {name}")
            for name in properties.keys() & hints.keys():
                self._compare_value(hints[name], properties[name], f"{place}.{name}")

    def _properties(self, schema: dict[str, Any]) -> dict[str, Any]:
        own = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            own |= self._properties(self.resolved(part))
        return own

    def _compare_value(self, hint: Any, schema: dict[str, Any], place: str) -> None:
        inner = [one for one in typing.get_args(hint) if one is not types.NoneType]
        if isinstance(hint, types.UnionType):
            hint = inner[0]
        elif any(each.get("type") == "null" for each in self.resolved(schema).get("anyOf", [])):
            self.differences.append(f"{place}: may be null")
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        for variant in self.variants(schema):
            kind = variant.get("type")
            if isinstance(hint, type) and issubclass(hint, Model):
                if variant.get("properties"):
                    self.compare(hint, variant, place)
                elif kind != "object":
                    self.differences.append(f"{place}: {kind} is no {hint.__name__}")
            elif origin is list:
                self._expect(kind == "array", f"{place}: {kind} is no list")
                self._compare_value(arguments[0], variant.get("items", {}), f"{place}[]")
            elif origin is dict:
                self._expect(kind == "object", f"{place}: {kind} is no dict")
                if isinstance(further := variant.get("additionalProperties"), dict):
                    self._compare_value(arguments[1], further, f"{place}{{}}")
            elif hint is not Any:
                self._expect(_fits(hint, variant), f"{place}: {kind} {variant.get('format', '')} is no {hint.__name__}")

    def _expect(self, holds: bool, difference: str) -> None:
        if not holds:
            self.differences.append(difference)


def _fits(hint: type, schema: dict[str, Any]) -> bool:
    kind, form = schema.get("type"), schema.get("format")
    if "enum" in schema or "const" in schema:
        return hint is str
    expected = {
        str: kind == "string" and form not in ("date-time", "date"),
        datetime: form == "date-time",
        date: form == "date",
        int: kind == "integer",
        float: kind in ("number", "integer"),
        bool: kind == "boolean",
    }
    return expected.get(hint, False)


def answers(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of the answers that are no errors."""
    return [
        content["application/json"]["schema"]
        for status, answer in operation["responses"].items()
        if status.startswith("2") and "application/json" in (content := answer.get("content", {}))
    ]


def test_every_operation_has_a_method(document: dict[str, Any]) -> None:
    assert OPERATIONS.keys() | NOT_COVERED == operations(document).keys()


def test_fields_agree_in_both_directions(document: dict[str, Any]) -> None:
    walk = Walk(document)
    for place, operation in operations(document).items():
        model = OPERATIONS.get(place, (None, None))[0]
        for schema in answers(operation) if model is not None else []:
            for variant in walk.variants(schema):
                walk_answer(walk, model, variant, place)
    assert set(walk.differences) == ALLOWED
    unknown = {
        f"{model.__name__}.{name}"
        for model, properties in walk.properties.items()
        for name in model.fields().keys() - properties
        if properties  # an object whose fields the document leaves open
    }
    assert unknown == set(), "the document does not have these"


def walk_answer(walk: Walk, model: Any, schema: dict[str, Any], place: str) -> None:
    if isinstance(model, dict):
        ((key, item),) = model.items()
        properties = schema["properties"]
        assert properties.keys() - OF_PAGES == {key}, place
        walk.compare(item, properties[key]["items"], place)
    elif isinstance(model, tuple):
        accepted = "eta_seconds" in schema["properties"] and "output" not in schema["properties"]
        chosen = model[1] if accepted else model[0]
        if not accepted:
            own = {name: value for name, value in schema["properties"].items() if name not in OF_ACCEPTANCE}
            schema = {**schema, "properties": own}
        walk.compare(chosen, schema, place)
    else:
        walk.compare(model, schema, place)


@pytest.mark.parametrize("place", sorted(OPERATIONS))
def test_every_field_of_a_request_is_an_argument(place: str, document: dict[str, Any]) -> None:
    method, operation, walk = OPERATIONS[place][1], operations(document)[place], Walk(document)
    arguments = set(inspect.signature(method).parameters)
    sent = {
        parameter["name"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] in ("path", "query") and parameter["name"] not in IMPLIED
    }
    sent = {ARGUMENTS.get(name, name) for name in sent}
    if body := operation.get("requestBody"):
        for variant in walk.variants(body["content"]["application/json"]["schema"]):
            sent |= {ARGUMENTS.get(name, name) for name in variant.get("properties", {})}
    assert sent - arguments == set()


class Small(Model):
    known: str
    number: int
    moment: datetime


def test_the_walk_bites() -> None:
    properties = {
        "known": {"type": "string"},
        "number": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "moment": {"type": "string"},
        "more": {"type": "string"},
    }
    walk = Walk({})
    walk.compare(Small, {"properties": properties}, "x")
    assert sorted(walk.differences) == [
        "x.moment: string  is no datetime",
        "x.number: may be null",
        "x: Small lacks more",
    ]
