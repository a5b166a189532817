"""What every error says of another try, on every surface: `x-should-retry` and `Retry-After`."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from structlog.contextvars import clear_contextvars

from api import errors
from api.app import create_app  # noqa: F401 - imports every module that defines an error
from api.surfaces import SURFACES, surface_of
from api.validation import InvalidRequest
from orchestrator.domain import errors as domain
from orchestrator.domain.errors import OrchestratorError

FIELD: dict[str, Any] = {"field": "x", "provided": 1, "expected": "y"}
LIMIT: dict[str, Any] = {"limit": "requests_per_minute", "allowed": 1}

# Every error that a caller may see, and what a client should do. A new one needs a line.
CASES: dict[type[OrchestratorError], list[tuple[OrchestratorError, bool]]] = {
    domain.InvalidInput: [(domain.InvalidInput("m", **FIELD), False)],
    domain.PayloadTooLarge: [(domain.PayloadTooLarge("m", **FIELD), False)],
    domain.ModelNotConfigured: [(domain.ModelNotConfigured("foo:bar", "No provider."), False)],
    domain.IdempotencyReuse: [(domain.IdempotencyReuse("m", **FIELD), False)],
    domain.Unauthenticated: [(domain.Unauthenticated("m"), False)],
    domain.Forbidden: [(domain.Forbidden("m"), False)],
    domain.NotFound: [(domain.NotFound("m"), False)],
    domain.UnknownWorkflow: [(domain.UnknownWorkflow("m"), False)],
    domain.WrongState: [(domain.WrongState("m", job_id="job_1", state="COMPLETED"), False)],
    domain.Conflict: [(domain.Conflict("m", job_id="job_1"), False)],
    domain.RequestInProgress: [(domain.RequestInProgress("m", retry_after=1), True)],
    domain.LimitExceeded: [
        (domain.LimitExceeded("m", retry_after=0.5, **LIMIT), True),
        (domain.LimitExceeded("m", limit="concurrent_jobs", retry_after=5), True),
        (domain.LimitExceeded("m", limit="monthly_tokens", retry_after=20 * 86_400), False),
    ],
    domain.Unavailable: [
        (domain.Unavailable("m"), True),
        (domain.Unavailable("Temporal does not answer; nothing was started", job_id="job_1"), True),
    ],
    domain.Misconfigured: [(domain.Misconfigured("cause", remedy="remedy"), False)],
    domain.DeadlineExceeded: [(domain.DeadlineExceeded("m", retry_after=5, job_id="job_1"), False)],
    domain.StepFailed: [(domain.StepFailed("m"), False)],
    errors.MethodNotAllowed: [(errors.MethodNotAllowed("m", allow="GET"), False)],
    errors.UrlTooLong: [(errors.UrlTooLong("m", **FIELD), False)],
    errors.HeadersTooLarge: [(errors.HeadersTooLarge("m", **FIELD), False)],
    errors.UnsupportedEncoding: [(errors.UnsupportedEncoding("m", **FIELD), False)],
    errors.BodyTooLate: [(errors.BodyTooLate("m", **FIELD), True)],
    InvalidRequest: [(InvalidRequest("m", faults=[], field="x"), False)],
}


@pytest.fixture(autouse=True)
def log_context() -> Iterator[None]:
    """Clears what a surface binds for the log of a request: no request ends here."""
    yield
    clear_contextvars()


def subclasses(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def request(path: str) -> Request:
    state = {"request_id": "req_1"}
    return Request({"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "state": state})


def test_every_error_that_a_caller_may_see_is_here():
    visible = {kind for kind in subclasses(OrchestratorError) if issubclass(kind, errors.EXPECTED)}
    assert visible - set(CASES) == set()


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_an_error_says_whether_another_try_can_help(kind: type[OrchestratorError], surface: Any):
    path = next(prefix for prefix in surface.prefixes if surface_of(prefix) is surface)
    for error, retry in CASES[kind]:
        response = surface.render(request(path), error)
        assert response.headers["x-should-retry"] == str(retry).lower(), error
        if response.status_code in (429, 503, 504) or (response.status_code == 409 and retry):
            assert int(response.headers["Retry-After"]) >= 1
        else:
            assert "Retry-After" not in response.headers


def test_nothing_is_known_of_an_internal_error():
    response = SURFACES[0].render(request("/v1/jobs"), errors.internal())
    assert (response.status_code, "x-should-retry" in response.headers) == (500, False)
