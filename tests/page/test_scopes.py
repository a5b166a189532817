"""Every route of the page allows a credential what the API's routes that it mirrors allow, and nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match

from api.page.surface import PAGE
from orchestrator.domain.access import Scope
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import Engine
from tests.api.conftest import over
from tests.page.conftest import Visit
from tests.page.test_jobs_pages import start

OPEN: Final = {"/ui/static/{version}/{name}", "/ui/sign-in", "/ui/open/{secret}", "/ui/sign-out"}
"""Routes for everybody."""

MIRRORS: Final = {
    "GET /": "GET /v1/jobs",
    "GET /ui/live/attention": "GET /v1/jobs",
    "GET /ui/jobs": "GET /v1/jobs",
    "GET /ui/live/jobs": "GET /v1/jobs",
    "GET /ui/bulk?action=cancel": "GET /v1/jobs",
    "POST /ui/bulk action=cancel": "POST /v1/jobs/job_0/cancel",
    "POST /ui/bulk action=pause": "POST /v1/jobs/job_0/pause",
    "POST /ui/bulk action=resume": "POST /v1/jobs/job_0/resume",
    "POST /ui/bulk action=retry": "POST /v1/jobs/job_0/retry",
    "GET /ui/jobs/job_0": "GET /v1/jobs/job_0",
    "GET /ui/jobs/job_0/live": "GET /v1/jobs/job_0",
    "GET /ui/jobs/job_0/plan": "GET /v1/jobs/job_0",
    "GET /ui/jobs/job_0/input": "GET /v1/jobs/job_0",
    "GET /ui/jobs/job_0/output": "GET /v1/jobs/job_0/output",
    "GET /ui/jobs/job_0/files/0": "GET /v1/jobs/job_0/output",
    "GET /ui/jobs/job_0/files/0/download": "GET /v1/jobs/job_0/output",
    "GET /ui/jobs/job_0/events": "GET /v1/jobs/job_0/events",
    "GET /ui/jobs/job_0/deliveries": "GET /v1/jobs/job_0/deliveries",
    "GET /ui/jobs/job_0/questions": "GET /v1/jobs/job_0/questions",
    "POST /ui/jobs/job_0/answer": "POST /v1/jobs/job_0/answers",
    "POST /ui/jobs/job_0/decide decision=approve": "POST /v1/jobs/job_0/approve",
    "POST /ui/jobs/job_0/decide decision=reject": "POST /v1/jobs/job_0/reject",
    "POST /ui/jobs/job_0/cancel": "POST /v1/jobs/job_0/cancel",
    "POST /ui/jobs/job_0/pause": "POST /v1/jobs/job_0/pause",
    "POST /ui/jobs/job_0/resume": "POST /v1/jobs/job_0/resume",
    "POST /ui/jobs/job_0/retry": "POST /v1/jobs/job_0/retry",
    "GET /ui/compare": "GET /v1/jobs/job_0",
    "GET /ui/start/workflow/t_three": "GET /v1/workflows/t_three, POST /v1/workflows/t_three/run",
    "GET /ui/start/agent/t_echo": "GET /v1/agents/t_echo, POST /v1/agents/t_echo/execute",
    "GET /ui/start/agent/t_echo?from=job_0": (
        "GET /v1/agents/t_echo, POST /v1/agents/t_echo/execute, GET /v1/jobs/job_0"
    ),
    "POST /ui/start/workflow/t_three/run": "GET /v1/workflows/t_three, POST /v1/workflows/t_three/run",
    "POST /ui/start/agent/t_echo/run": "GET /v1/agents/t_echo, POST /v1/agents/t_echo/execute",
    "GET /ui/catalogue": "GET /v1/agents, GET /v1/workflows, GET /v1/metrics",
    "GET /ui/catalogue/workflow/t_three": "GET /v1/workflows/t_three, GET /v1/metrics",
    "GET /ui/catalogue/agent/t_echo": "GET /v1/agents/t_echo/health, GET /v1/metrics/agents/t_echo",
    "GET /ui/schedules/new/workflow/t_three": "GET /v1/workflows/t_three, POST /v1/workflows/t_three/run",
    "GET /ui/schedules/new/agent/t_echo": "GET /v1/agents/t_echo, POST /v1/agents/t_echo/execute",
    "POST /ui/schedules/new/workflow/t_three": (
        "GET /v1/workflows/t_three, POST /v1/workflows/t_three/run, POST /v1/schedules"
    ),
    "POST /ui/schedules/new/agent/t_echo": "GET /v1/agents/t_echo, POST /v1/agents/t_echo/execute, POST /v1/schedules",
    "GET /ui/schedules": "GET /v1/schedules",
    "GET /ui/schedules/none": "GET /v1/schedules/none",
    "POST /ui/schedules/none/trigger": "POST /v1/schedules/none/trigger",
    "POST /ui/schedules/none/pause": "POST /v1/schedules/none/pause",
    "POST /ui/schedules/none/unpause": "POST /v1/schedules/none/unpause",
    "POST /ui/schedules/none/delete": "DELETE /v1/schedules/none",
    "GET /ui/webhooks": "GET /v1/webhooks",
    "GET /ui/webhooks/none": "GET /v1/webhooks/none, GET /v1/webhooks/none/deliveries",
    "POST /ui/webhooks/none/redeliver": "POST /v1/webhooks/none/deliveries/none/redeliver",
    "POST /ui/webhooks/none/test": "POST /v1/webhooks/none/test",
    "POST /ui/webhooks/none/switch": "PATCH /v1/webhooks/none",
    "GET /ui/access": "GET /v1/auth/api-keys, GET /v1/users",
    "POST /ui/access/keys": "POST /v1/auth/api-keys",
    "POST /ui/access/keys/none/rotate": "POST /v1/auth/api-keys/none/rotate",
    "POST /ui/access/keys/none/revoke": "DELETE /v1/auth/api-keys/none",
    "POST /ui/access/users": "POST /v1/users",
    "POST /ui/access/users/none/remove": "DELETE /v1/users/none",
    "GET /ui/access/audit": "GET /v1/audit",
    "GET /ui/workers": "GET /v1/jobs",
}
"""Requests to the page, each with those to the API that show or do the same. A page needs what all of them need."""

CHOICE: Final = "/ui/start"
"""The list of what can be started: it has those entries whose form the visitor may open."""

SETS: Final = [frozenset({scope}) for scope in Scope] + [
    frozenset(Scope) - {Scope.ADMIN, scope} for scope in Scope if scope is not Scope.ADMIN
]


def parts(request: str) -> tuple[str, str, dict[str, str]]:
    """The method, the path and the form of a request."""
    method, path, *form = request.split(" ")
    return method, path, dict(pair.split("=") for pair in form)


@pytest.fixture
def ended_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of open lists end at once."""

    async def none(self: object) -> AsyncIterator[bytes]:
        return
        yield b""

    monkeypatch.setattr("api.page.refresh._Updates.frames", none)


def test_every_route_of_the_page_is_compared_with_the_api() -> None:
    covered = set(OPEN) | {CHOICE}
    routes = [route for router in PAGE.routers for route in router.routes if isinstance(route, APIRoute)]
    accept = [(b"accept", b"text/html")]
    for method, path, _ in map(parts, MIRRORS):
        scope = {"type": "http", "method": method, "path": path.partition("?")[0], "headers": accept}
        covered |= {f"{method} {route.path}" for route in routes if route.matches(scope)[0] is Match.FULL}
    missing = [
        f"{method} {route.path}"
        for route in routes
        for method in sorted(route.methods or ())
        if route.path not in covered and f"{method} {route.path}" not in covered
    ]
    assert missing == [], "name the routes of the API that show or do the same"


@pytest.mark.usefixtures("ended_streams")
@pytest.mark.parametrize("scopes", SETS, ids=lambda scopes: ",".join(sorted(scopes)))
async def test_the_page_allows_what_the_api_allows(
    app: FastAPI,
    running: Engine,
    visitor_of: Callable[[str], Awaitable[Visit]],
    key: Callable[..., Awaitable[dict[str, str]]],
    scopes: frozenset[Scope],
) -> None:
    headers = await key(scopes)
    visit = await visitor_of(headers["Authorization"].removeprefix("Bearer "))
    session = await running.services.page_sessions.read(visit.http.cookies["orchestrator_session"].strip('"'))
    compared = {page: mirrors.split(", ") for page, mirrors in MIRRORS.items() if len(scopes) == 1 or ", " in mirrors}
    allowed: dict[str, bool] = {}
    async with over(app, **headers) as api:
        for mirror in {mirror for mirrors in compared.values() for mirror in mirrors}:
            method, path, _ = parts(mirror)
            allowed[mirror] = (await api.request(method, path)).status_code != 403
    for page, mirrors in compared.items():
        method, path, form = parts(page)
        answer = await visit.http.request(method, path, data={"csrf": session.csrf, **form} if method == "POST" else {})
        expected = all(allowed[mirror] for mirror in mirrors)
        assert (answer.status_code != 403) == expected, f"{page}: {answer.status_code}"


@pytest.mark.parametrize("target", ["agent/t_echo", "workflow/t_three"])
async def test_a_key_that_may_not_start_jobs_starts_none(
    running: Engine,
    visitor_of: Callable[[str], Awaitable[Visit]],
    key: Callable[..., Awaitable[dict[str, str]]],
    target: str,
) -> None:
    visit = await visitor_of((await key([Scope.METRICS_READ]))["Authorization"].removeprefix("Bearer "))
    session = await running.services.page_sessions.read(visit.http.cookies["orchestrator_session"].strip('"'))
    before = await running.services.overview.states(session.principal, JobFilter())
    path = f"/ui/start/{target}/run"
    assert (await visit.http.post(path, data={"csrf": session.csrf, "field.text": "x"})).status_code == 403
    assert await running.services.overview.states(session.principal, JobFilter()) == before


async def test_pages_offer_only_what_the_visitor_may_do(
    visitor_of: Callable[[str], Awaitable[Visit]], key: Callable[..., Awaitable[dict[str, str]]], running: Engine
) -> None:
    async def of(scopes: Iterable[Scope]) -> Visit:
        return await visitor_of((await key(scopes))["Authorization"].removeprefix("Bearer "))

    reader = await of([Scope.JOBS_READ])
    job_id = await start(reader, running, "t_three")
    await running.ended(job_id)
    for path in ("/", "/ui/jobs", f"/ui/jobs/{job_id}"):
        text = (await reader.http.get(path)).text
        for address in ("/ui/start", "/ui/catalogue", "/retry"):
            assert address not in text, f"{path} offers {address}"
    assert (await reader.http.get("/ui/start")).status_code == 403
    workflows = await of([Scope.WORKFLOWS_READ, Scope.WORKFLOWS_RUN, Scope.METRICS_READ])
    choice = (await workflows.http.get("/ui/start")).text
    assert "/ui/start/workflow/t_three" in choice
    assert "/ui/start/agent/" not in choice
    refused = await workflows.http.get("/")
    assert refused.status_code == 403
    assert 'href="/ui/start"' in refused.text, "the page that refuses leads to those that are allowed"
    assert 'href="/ui/jobs"' not in refused.text
    analyst = await of([Scope.AGENTS_READ, Scope.WORKFLOWS_READ, Scope.METRICS_READ])
    for path in ("/ui/catalogue", "/ui/catalogue/workflow/t_three", "/ui/catalogue/agent/t_echo"):
        text = (await analyst.http.get(path)).text
        assert "/ui/start" not in text, path
        assert "/ui/jobs" not in text, path
