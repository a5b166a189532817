"""Every page of an instance with much on it, for a mouse and for a thumb: no barrier, nothing beyond the screen."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from api.app import create_app
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import ADMIN_KEY, Engine, eventually, running_engine
from tests.api.conftest import Fixed, served
from tests.catalogue import TEST_PLUGIN
from tests.page.browser import Browser, Page
from tests.page.conftest import LONG
from tests.page.seeds import DEMO, seed
from tests.page.test_pages import ADMIN_PAGES, PAGES

PHONE = 390
# Boxes that scroll sideways. Drawings of graphs may, and raw JSON.
SIDEWAYS = """[...document.querySelectorAll('main *')]
    .filter(each => each.scrollWidth > each.clientWidth + 1)
    .filter(each => ['auto', 'scroll'].includes(getComputedStyle(each).overflowX))
    .filter(each => !each.matches('pre') && !each.querySelector('svg.graph'))
    .map(each => each.innerText.slice(0, 40))"""
LABELS = {f"label_{number}": "a-value-of-" + "many-words-" * (number % 5) for number in range(7)}
NAME = "The report of the night, with sales, costs and stock of each region, for " + "Österreich-und-" * 2


async def fill(engine: Engine, url: str) -> dict[str, str]:
    """Start jobs, and create what else pages show. Returns paths by what they show."""
    seeded = await seed(engine, 60)
    broken = await engine.run("t_broken", {"note": "word " * 400, "more": {"list": list(range(40))}}, labels=LABELS)
    parent = await engine.run("t_nested_children", {}, labels={"team": "a"})
    long = await engine.run("t_two_hundred", {})
    big = await engine.run("t_big", {})
    form = (await engine.start("t_form", {"approval": True}, labels=LABELS)).job_id
    await engine.eventually(form, lambda job: bool(job.open_questions))
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as api:
        schedule = await _created(
            api,
            "/v1/schedules",
            name=NAME[:100],
            workflow_id="t_three",
            input={},
            spec={"cron": ["0 3 * * *", "30 4 * * 1-5"]},
            labels=LABELS,
        )
        webhook = await _created(
            api, "/v1/webhooks", url="https://hooks.example.com/" + "path/" * 20, events=["job.completed"]
        )
        await _created(api, f"/v1/webhooks/{webhook}/test")
        await _created(api, "/v1/users", username="ada-of-the-night-shift", password="correct horse", roles=["admin"])
        await _created(api, "/v1/auth/api-keys", name=NAME[:60], scopes=["jobs:read", "jobs:cancel", "workflows:run"])
    return {
        "seeded": f"/ui/jobs/{seeded['dear']}",
        "compare": f"/ui/compare?a={seeded['cheap']}&b={seeded['dear']}",
        "compare others": f"/ui/compare?a={broken.id}&b={parent.id}",
        "long": f"/ui/jobs/{long.id}",
        "form": f"/ui/jobs/{form}",
        "stuck": f"/ui/jobs/{seeded['stuck']}",
        "waiting": f"/ui/jobs/{seeded['waiting']}",
        "parent": f"/ui/jobs/{parent.id}",
        **{f"broken {part}": f"/ui/jobs/{broken.id}{part}" for part in ("", "/output", "/input", "/events", "/plan")},
        "deliveries": f"/ui/jobs/{broken.id}/deliveries",
        "plan": f"/ui/jobs/{parent.id}/plan",
        "schedule": f"/ui/schedules/{schedule}",
        "webhook": f"/ui/webhooks/{webhook}",
        "by cost": "/ui/jobs?sort=cost",
        "by label": "/ui/jobs?label=team:a&q=t_nested_children",
        "bulk": "/ui/bulk?action=retry",
        "questions": f"/ui/jobs/{form}/questions",
        "output with files": f"/ui/jobs/{big.id}/output",
    }


async def _created(api: httpx2.AsyncClient, path: str, **body: Any) -> str:
    answer = await api.post(path, json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    created = answer.json()
    return str(created.get("schedule_id") or created.get("id"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Engine, str, dict[str, str]]]:
    """An instance of its own, its address, and the paths of what is on it."""
    plugins = [BUILT_IN, DEMO, TEST_PLUGIN, LONG]
    async with running_engine(temporal_address, tmp_path_factory.mktemp("full"), plugins) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        async with served(create_app(Fixed(engine.services))) as url:
            yield engine, url, await fill(engine, url)


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, full: tuple[Engine, str, dict[str, str]]) -> AsyncIterator[Page]:
    """An administrator who has signed in."""
    engine, url, _ = full
    async with browser.tab() as page:
        await page.open(f"{url}/ui/open/{await engine.services.page_sessions.link()}")
        yield page
        assert page.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (PHONE, "dark"), (PHONE, "light"), (1280, "dark")])
async def test_no_page_of_a_full_instance_has_a_barrier(
    full: tuple[Engine, str, dict[str, str]], visitor: Page, width: int, scheme: str
):
    _, url, paths = full
    await visitor.size(width, 844, phone=width == PHONE)
    await visitor.scheme(scheme)
    faults = []
    for path in (*PAGES, *ADMIN_PAGES, *paths.values()):
        await visitor.open(url + path)
        faults += [f"{path}: {barrier}" for barrier in await visitor.barriers()]
        if (needed := await visitor.run("document.documentElement.scrollWidth")) > width:
            faults.append(f"{path}: {needed} pixels wide")
    assert not faults, "\n".join(faults)


async def test_no_page_of_a_full_instance_scrolls_sideways_on_a_phone(
    full: tuple[Engine, str, dict[str, str]], visitor: Page
):
    _, url, paths = full
    await visitor.size(PHONE, 844, phone=True)
    faults = []
    for path in (*PAGES, *ADMIN_PAGES, *paths.values()):
        await visitor.open(url + path)
        faults += [f"{path}: {box!r} scrolls sideways" for box in await visitor.run(SIDEWAYS)]
    assert not faults, "\n".join(faults)
