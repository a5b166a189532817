"""Which credentials are refused, and how every failure is reported."""

import re
from collections.abc import Callable

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from api.app import create_app
from api.validation import invalid_request
from orchestrator.domain.errors import (
    AgentError,
    CatalogueError,
    DeadlineExceeded,
    Forbidden,
    IdempotencyReuse,
    InvalidInput,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    WrongState,
)
from orchestrator.services.container import Services
from tests.api.conftest import ADMIN, over
from tests.ledger import ledger


class Broken:
    """A source that cannot open."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    async def services(self) -> Services:
        raise self._fault

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "dvr_sk_test_fixture", "Bearer é"]
)
async def test_a_credential_that_is_none_is_refused(client: httpx2.AsyncClient, value: str):
    answer = await client.get("/v1/agents", headers={"Authorization": value.encode("latin-1")})
    assert answer.status_code == 401
    assert "dvr_sk_test_fixture" not in answer.text


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (InvalidInput("x", field="f", expected="y"), 400, "invalid_request"),
        (WrongState("x", job_id="job_1"), 400, "invalid_request"),
        (PayloadTooLarge("x", field="input"), 413, "invalid_request"),
        (IdempotencyReuse("x"), 422, "invalid_request"),
        (Unauthenticated("x"), 401, "authentication_failed"),
        (Forbidden("x"), 403, "forbidden"),
        (NotFound("x"), 404, "not_found"),
        (Unavailable("x", retry_after=2.2), 503, "service_unavailable"),
        (DeadlineExceeded("x"), 503, "service_unavailable"),
    ],
)
@ledger("D-095", "D-096")
async def test_every_domain_error_has_its_status_and_code(fault: Exception, status: int, code: str):
    async with over(create_app(Broken(fault)), **ADMIN) as client:
        answer = await client.get("/v1/agents")
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "details", "request_id", "timestamp"}
    assert (answer.status_code, error["code"], error["message"]) == (status, code, "x")
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", error["timestamp"])
    if status == 503:
        assert answer.headers["Retry-After"] == ("3" if type(fault) is Unavailable else "2")


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("password=hunter2 at /srv/secret"),
        CatalogueError("/srv/secret/plugin.py", "hunter2"),
        AgentError("hunter2", kind="x", retryable=False),
        OrchestratorError("hunter2 /srv/secret"),
    ],
)
@ledger("D-095")
async def test_a_fault_of_ours_is_logged_and_not_shown(fault: Exception):
    async with over(create_app(Broken(fault)), **ADMIN) as client:
        with capture_logs(processors=[merge_contextvars]) as logs:
            answer = await client.get("/v1/agents")
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert (error["code"], error["details"]) == ("internal_error", {})
    assert "hunter2" not in answer.text
    assert "secret" not in answer.text
    line = next(line for line in logs if line["event"] == "request_failed")
    assert line["exc_info"]
    assert line["request_id"] == error["request_id"]


async def test_a_fault_outside_every_route_has_the_same_shape(app_with: Callable[..., FastAPI]):
    app = app_with()

    async def fail() -> None:
        raise RuntimeError("hunter2")

    app.add_route("/v1/broken", fail)  # no request parameter: Starlette itself fails to call it
    async with over(app) as client:
        answer = await client.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/agents/", "/v1/jobs/job_x/nothing"])
@ledger("D-095")
async def test_an_unknown_path_is_not_found(client: httpx2.AsyncClient, path: str):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["/nothing", "/", "/v12/nothing", "/custom"])
async def test_an_unknown_path_of_no_other_surface_answers_as_sessions_do(client: httpx2.AsyncClient, path: str):
    # C-07
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"] == "NOT_FOUND"
    assert answer.json()["detail"] == "There is nothing at this path"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v1/agents"), ("GET", "/v1/jobs/job_x/cancel"), ("PUT", "/v1/jobs")]
)
async def test_a_wrong_method_is_answered_with_the_right_ones(client: httpx2.AsyncClient, method: str, path: str):
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.headers["Allow"] in {"GET, HEAD", "POST"}


@pytest.mark.parametrize("given", ["abc", "req_1234567890", "a.b:c-D_9", "x" * 128])
async def test_the_callers_request_id_is_kept(client: httpx2.AsyncClient, given: str):
    answer = await client.get("/v1/nothing", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    assert answer.json()["error"]["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "<script>", "é".encode()])
async def test_an_unusable_request_id_is_replaced(client: httpx2.AsyncClient, given: str | bytes):
    answer = await client.get("/v1/nothing", headers={"X-Request-ID": given})
    assert re.fullmatch(r"req_[0-9a-f]{20}", answer.headers["X-Request-ID"])


@ledger("M-054")
@pytest.mark.parametrize("path", ["/v1/agents", "/v1/nothing", "/healthz", "/docs", "/openapi.json", "/metrics"])
async def test_security_headers_are_on_every_answer(client: httpx2.AsyncClient, path: str):
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-XSS-Protection"] == "1; mode=block"


async def test_nothing_of_one_request_stays_for_the_next(client: httpx2.AsyncClient):
    await client.get("/v1/jobs/job_x")
    assert not {"request_id", "principal", "job_id"} & set(get_contextvars())


@pytest.mark.parametrize(
    ("kind", "context", "message", "expected"),
    [
        ("finite_number", {}, "Input should be a finite number", "a finite number"),
        ("string_pattern_mismatch", {"pattern": "^a$"}, "String should match pattern '^a$'", "text that matches ^a$"),
        ("list_type", {}, "Input should be a valid list", "array"),
        ("too_long", {"max_length": 3}, "List should have at most 3 items", "at most 3 items"),
    ],
)
def test_what_was_expected_is_reported_as_part_of_a_sentence(kind: str, context: dict, message: str, expected: str):
    error = {"type": kind, "loc": ("body", "field"), "msg": message, "input": [], "ctx": context}
    fault = invalid_request(RequestValidationError([error]))
    assert fault.message == f"Invalid value for field: expected {expected}"
