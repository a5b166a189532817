"""Sign-in to the page, under attack: forged, foreign, stolen and ended sessions, and forms of other sites."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI

from api.audit_trail import _entry
from orchestrator.domain.access import Role
from orchestrator.domain.limits import SurfaceLimit, Window
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.testing import ADMIN_KEY, Engine
from tests.api.conftest import over
from tests.page.conftest import HTML, Visit


async def test_programs_still_find_nothing_at_the_root(app: FastAPI):
    async with over(app, Accept="application/json") as http:
        answer = await http.get("/")
        assert answer.status_code == 404
        assert answer.json()["error"] == "NOT_FOUND"
    async with over(app, Accept="*/*") as http:
        assert (await http.get("/")).status_code == 404


async def test_a_browser_is_sent_to_the_sign_in_and_back(visit: Visit):
    refused = await visit.http.get("/ui/jobs?state=FAILED")
    assert refused.status_code == 303
    assert refused.headers["Location"] == "/ui/sign-in?next=%2Fui%2Fjobs%3Fstate%3DFAILED"
    csrf = await visit.csrf(refused.headers["Location"])
    answer = await visit.http.post(refused.headers["Location"], data={"csrf": csrf, "key": ADMIN_KEY})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/jobs?state=FAILED")
    cookie = answer.headers.get_list("set-cookie")[0]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert ADMIN_KEY not in cookie
    assert (await visit.http.get("/ui/jobs")).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/ui/..//evil.example",
        "/v1/jobs",
        "/ui/\nx",
        "/uix",
    ],
)
async def test_the_sign_in_leads_to_pages_of_this_site_only(visit: Visit, target: str):
    csrf = await visit.csrf("/ui/sign-in")
    path = str(httpx2.URL("/ui/sign-in", params={"next": target}))
    answer = await visit.http.post(path, data={"csrf": csrf, "key": ADMIN_KEY})
    assert answer.headers["Location"] == "/"


async def test_a_user_signs_in_and_out(running: Engine, visit: Visit):
    await running.services.users.add(BOOTSTRAP, "page-ada", "correct horse", [Role.ORCHESTRATION_MANAGER])
    assert (await visit.sign_in(username="page-ada", password="wrong")).status_code == 401
    assert (await visit.sign_in(username="page-ada", password="correct horse")).status_code == 303
    assert "page-ada" in (await visit.http.get("/ui/jobs")).text
    stolen = dict(visit.http.cookies)
    assert (await visit.post("/ui/sign-out")).headers["Location"] == "/ui/sign-in"
    visit.http.cookies.update(stolen)
    assert (await visit.http.get("/ui/jobs")).status_code == 303, "the copy of a cookie outlived its session"


async def test_a_removed_user_has_no_session(running: Engine, visit: Visit):
    await running.services.users.add(BOOTSTRAP, "page-bob", "correct horse", [Role.ADMIN])
    await visit.sign_in(username="page-bob", password="correct horse")
    assert (await visit.http.get("/ui/jobs")).status_code == 200
    await running.services.users.remove("page-bob")
    assert (await visit.http.get("/ui/jobs")).status_code == 303


async def test_a_revoked_key_has_no_session(
    running: Engine, visitor_of: Callable[[str], Awaitable[Visit]], key: Callable[..., Awaitable[dict[str, str]]]
):
    headers = await key(name="page key")
    visit = await visitor_of(headers["Authorization"].removeprefix("Bearer "))
    assert (await visit.http.get("/ui/jobs")).status_code == 200
    issued = next(row for row in (await running.services.keys.list(limit=200)).keys if row.name == "page key")
    await running.services.keys.revoke(issued.id)
    assert (await visit.http.get("/ui/jobs")).status_code == 303


async def test_the_session_of_a_key_ends_at_sign_out(admin: Visit):
    stolen = dict(admin.http.cookies)
    await admin.post("/ui/sign-out")
    admin.http.cookies.update(stolen)
    assert (await admin.http.get("/ui/jobs")).status_code == 303


async def test_a_session_expires(running: Engine, admin: Visit, monkeypatch: pytest.MonkeyPatch):
    sessions = running.services.page_sessions
    late = type(sessions)(
        sessions.users,
        sessions.accounts,
        sessions.access,
        sessions.signer,
        sessions.sealer,
        admin_key=sessions.admin_key,
        clock=lambda: running.services.keys.clock() - timedelta(hours=13),
    )
    admin.http.cookies.set("orchestrator_session", await late.of_key(ADMIN_KEY), domain="testserver.local")
    assert (await admin.http.get("/ui/jobs")).status_code == 303


async def test_another_site_cannot_use_up_the_attempts_to_sign_in(running: Engine, visit: Visit):
    address = f"/ui/open/{await running.services.page_sessions.link()}"
    for _ in range(12):
        image = await visit.http.get(
            "/ui/open/guess", headers={"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}
        )
        assert image.status_code == 403
    assert (await visit.http.get(address)).status_code == 303


async def test_a_link_opens_one_session(running: Engine, app: FastAPI, visit: Visit):
    address = f"/ui/open/{await running.services.page_sessions.link()}"
    assert (await visit.http.get(address)).headers["Location"] == "/"
    assert (await visit.http.get("/ui/jobs")).status_code == 200
    assert (await visit.http.get(address)).headers["Location"] == "/", (
        "a second click in the same browser harms nothing"
    )
    assert (await visit.http.get("/ui/jobs")).status_code == 200
    async with over(app, **HTML) as other:
        assert (await other.get(address)).status_code == 401
        assert (await other.get("/ui/jobs")).status_code == 303
    assert (await visit.http.get("/ui/jobs")).status_code == 303, "the link has a copy: the first session ends"


async def test_the_secret_of_a_link_is_in_no_trail_and_no_metric(running: Engine, visit: Visit, admin: Visit):
    secret = await running.services.page_sessions.link()
    assert (await visit.http.get(f"/ui/open/{secret}")).status_code == 303
    scope = {"path": f"/ui/open/{secret}", "state": {"request_id": "req_1"}}
    assert _entry(scope, BOOTSTRAP, "GET /ui/open/{secret}", 303).path == "/ui/open/{secret}"
    bearer = {"Authorization": f"Bearer {ADMIN_KEY}"}
    for path in ("/v1/audit?limit=100", "/metrics"):
        assert secret not in (await admin.http.get(path, headers=bearer)).text


async def test_a_cookie_of_the_page_is_no_credential_of_the_api(admin: Visit):
    for path in ("/v1/jobs", "/api/executions", "/api/v1/orchestration/status"):
        assert (await admin.http.get(path)).status_code == 401, path


@pytest.mark.parametrize("cookie", ["", "x", "v2.x.y", f"v2.0000000000000000.{'A' * 80}", "\u00e4"])
async def test_a_forged_cookie_is_refused(visit: Visit, cookie: str):
    answer = await visit.http.get("/ui/jobs", headers={"Cookie": f"orchestrator_session={cookie}".encode("latin-1")})
    assert answer.status_code == 303


async def test_every_form_needs_the_token_of_its_session(running: Engine, admin: Visit, owner: Visit):
    job = await running.start("t_slow", {})
    path = f"/ui/jobs/{job.job_id}/cancel"
    for token in ("", "0" * 64, await owner.csrf(), await admin.csrf("/ui/sign-in")):
        assert (await admin.http.post(path, data={"csrf": token, "reason": "x"})).status_code == 403, token
    assert (await admin.http.post(path, data={"reason": "x"})).status_code == 403
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await admin.http.post(path, data={"csrf": await admin.csrf()}, headers=foreign)).status_code == 403
    assert (await admin.http.post("/ui/sign-in", data={"key": ADMIN_KEY}, headers=foreign)).status_code == 403
    assert (await admin.http.post("/ui/sign-in", data={"key": ADMIN_KEY})).status_code == 403, "a form without token"
    as_json = await admin.http.post(path, json={"csrf": await admin.csrf()})
    assert as_json.status_code == 400
    assert (await running.job(job.job_id)).cancel_requested_at is None
    assert (await admin.post(path, reason="enough")).status_code == 303
    assert (await running.ended(job.job_id)).state == "CANCELLED"


async def test_guesses_are_counted(product: Callable[..., FastAPI]):
    limits = {SurfaceLimit.AUTHENTICATION: Window(limit=1, seconds=900)}
    async with over(product(surface_limits=limits), **HTML) as http:
        visit = Visit(http)
        answers = [await visit.sign_in(username="nobody", password=str(number)) for number in range(2)]
    assert [answer.status_code for answer in answers] == [401, 429]


async def test_only_failed_sign_ins_are_counted(product: Callable[..., FastAPI], running: Engine):
    await running.services.users.add(BOOTSTRAP, "page-mallory", "correct horse", [Role.ORCHESTRATION_MANAGER])
    windows = dict.fromkeys((SurfaceLimit.AUTHENTICATION, SurfaceLimit.SIGN_IN), Window(limit=2, seconds=900))
    async with over(product(surface_limits=windows), **HTML) as http:
        visit = Visit(http)
        for _ in range(3):
            assert (await visit.sign_in(key=ADMIN_KEY)).status_code == 303
            assert (await visit.sign_in(username="page-mallory", password="correct horse")).status_code == 303
        tries = (visit.sign_in(username="page-mallory", password=f"guess {number}") for number in range(6))
        parallel = [answer.status_code for answer in await asyncio.gather(*tries)]
        assert sorted(parallel) == [401, 401, 429, 429, 429, 429], "parallel guesses are counted like others"
        refused = await visit.sign_in(username="page-mallory", password="correct horse")
        assert refused.status_code == 429


async def test_actions_and_refusals_are_in_the_audit_trail(running: Engine, admin: Visit, visit: Visit):
    await visit.sign_in(username="page-nobody", password="guess")
    job = await running.start("t_slow", {})
    await admin.post(f"/ui/jobs/{job.job_id}/cancel")
    page = (await admin.http.get("/v1/audit", headers={"Authorization": f"Bearer {ADMIN_KEY}"})).json()
    actions = {(entry["action"], entry["status"], entry["surface"]) for entry in page["entries"]}
    assert ("POST /ui/jobs/{job_id}/cancel", 303, "page") in actions
    assert ("POST /ui/sign-in", 401, "page") in actions


async def test_the_policy_of_a_page_allows_no_inline_code(admin: Visit):
    for path in ("/", "/ui/jobs", "/ui/sign-in", "/ui/jobs/nothing"):
        answer = await admin.http.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=|javascript:|https?://", answer.text)
