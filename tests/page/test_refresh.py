"""Open lists show changes by themselves: one look for all pages, and nothing is sent while nothing changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.connections import ConnectionLimits, OpenConnections
from api.page.attention import attention_values
from api.page.refresh import _shown
from api.page.visitors import Visitor
from orchestrator.domain.backoff import Backoff
from orchestrator.services.jobs.changes import JobChanges
from orchestrator.storage.overviews import IndexMark, OverviewRepository
from orchestrator.testing import ADMIN_KEY, TESTER, Engine
from tests.api.conftest import served
from tests.page.browser import Browser
from tests.page.conftest import Visit
from tests.page.test_jobs_pages import start


@pytest_asyncio.fixture(loop_scope="session")
async def quick(
    running: Engine, app_with: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The address of the page on a server that looks for changes all the time."""
    monkeypatch.setattr("api.page.refresh._REST", 0.05)
    changes = JobChanges(OverviewRepository(running.parts.backend.reports), pause_seconds=0.05)
    async with served(app_with(changes=changes)) as url:
        yield url


async def frames(http: httpx2.AsyncClient, path: str) -> AsyncIterator[str]:
    """The frames of a stream."""
    async with http.stream("GET", path) as answer:
        assert answer.status_code == 200
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            while "\n\n" in text:
                frame, _, text = text.partition("\n\n")
                if not frame.startswith(":"):
                    yield frame


@pytest.mark.parametrize("path", ["/ui/live/attention", "/ui/live/jobs", "/ui/live/jobs?state=FAILED"])
async def test_an_open_list_shows_a_job_that_fails(running: Engine, owner: Visit, quick: str, path: str):
    async with httpx2.AsyncClient(base_url=quick, cookies=dict(owner.http.cookies), timeout=30) as http:
        updates = frames(http, path)
        first = await anext(updates)
        job_id = await start(owner, running, "t_broken")
        assert job_id not in first
        async for frame in updates:
            if job_id in frame and ">failed<" in frame:
                break
        await updates.aclose()


async def test_a_list_is_for_its_owner_and_ends_with_the_session(running: Engine, owner: Visit, quick: str):
    hidden = (await running.run("t_broken", {})).id
    async with httpx2.AsyncClient(base_url=quick, cookies=dict(owner.http.cookies), timeout=30) as http:
        updates = frames(http, "/ui/live/attention")
        assert hidden not in await anext(updates)
        await owner.post("/ui/sign-out")
        await running.run("t_broken", {})
        assert [frame async for frame in updates] == []
        assert (await http.get("/ui/live/jobs?owner=tester")).status_code in (303, 401)


async def test_an_open_list_ends_with_its_session_although_nothing_changes(
    owner: Visit, quick: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.page.refresh._LOOKS", Backoff(first=3600, longest=3600))
    monkeypatch.setattr("api.page.refresh._CHECK", 0.05)
    monkeypatch.setattr(JobChanges, "after", lambda *_: asyncio.sleep(3600))
    async with httpx2.AsyncClient(base_url=quick, cookies=dict(owner.http.cookies), timeout=30) as http:
        updates = frames(http, "/ui/live/jobs")
        await anext(updates)
        await owner.post("/ui/sign-out")
        async with asyncio.timeout(30):
            assert [frame async for frame in updates] == []


async def test_a_page_too_many_stays_as_it_was_read_and_says_why(
    running: Engine, app_with: Callable[..., FastAPI], admin: Visit, browser: Browser
):
    session = await running.services.page_sessions.read(admin.http.cookies["orchestrator_session"].strip('"'))
    connections = OpenConnections(ConnectionLimits(pages=2))
    for _ in range(2):
        connections.hold_page(session.principal)
    app = app_with()
    app.state.api = replace(app.state.api, connections=connections)
    job = await running.start("t_approval", {})
    async with served(app) as url, browser.tab() as tab:
        await tab.open(f"{url}/")
        await tab.fill("#key", ADMIN_KEY)
        await tab.press("Enter", loads=True)
        for path in ("/", "/ui/jobs", f"/ui/jobs/{job.job_id}"):
            await tab.open(url + path)
            words = await tab.until("#freshness", "Not updating: 2 pages of your account are open")
            assert "reload this page" in words
            assert await tab.run("document.querySelectorAll('h1, main, header.side').length") == 3, path
    await running.services.controller.cancel(TESTER, job.job_id, "test")


async def test_two_looks_at_the_same_jobs_show_the_same(running: Engine, owner: Visit):
    session = await running.services.page_sessions.read(owner.http.cookies["orchestrator_session"].strip('"'))
    job_id = await start(owner, running, "t_approval")
    await running.eventually(job_id, lambda job: bool(job.waiting_steps))
    await running.services.reader.settle()
    first, second = [await attention_values(running.services, Visitor(session)) for _ in range(2)]
    assert first["groups"]
    assert _shown(first) == _shown(second)
    seen_later = replace(first["groups"][0].listed.rows[0], reason_seen=None)
    group = replace(first["groups"][0], listed=replace(first["groups"][0].listed, rows=[seen_later]))
    assert _shown({**first, "groups": [group]}) == _shown(first)


async def test_all_who_wait_share_one_look(running: Engine):
    overviews, looks = OverviewRepository(running.parts.backend.reports), 0

    class Counted:
        async def mark(self) -> IndexMark:
            nonlocal looks
            looks += 1
            return await overviews.mark()

    counted: Any = Counted()
    changes = JobChanges(counted, pause_seconds=0.05)
    first = await changes.after(None, 10)
    assert looks == 1
    waiting = [asyncio.create_task(changes.after(first, 60)) for _ in range(50)]
    await asyncio.sleep(0)
    await running.run("t_three", {})
    assert len({await task for task in waiting} - {first}) == 1
    assert await changes.after(first, 0) == first


async def test_a_marked_row_and_a_scrolled_page_stay_where_they_are(running: Engine, browser: Browser, quick: str):
    for _ in range(2):
        await running.run("t_three", {})
    async with browser.tab() as tab:
        await tab.size(1280, 400)
        await tab.open(f"{quick}/")
        await tab.fill("#key", ADMIN_KEY)
        await tab.press("Enter", loads=True)
        await tab.open(f"{quick}/ui/jobs")
        await tab.until("#freshness", "Live")
        await tab.press("j")
        await tab.press("j")
        focused = "document.activeElement.getAttribute('href')"
        at = "document.querySelector('tr.at').id"
        before = [await tab.run(focused), await tab.run(at)]
        await tab.run("window.scrollTo(0, 150)")
        job = await running.run("t_three", {})
        await tab.until("#live", job.id[-12:])
        assert [await tab.run(focused), await tab.run(at)] == before
        assert await tab.run("document.activeElement.closest('tr').id") == before[1]
        assert await tab.run("window.scrollY") >= 150
        await tab.run("getSelection().selectAllChildren(document.querySelector('#live td'))")
        job = await running.run("t_three", {})
        await tab.until("#freshness", "Paused while text is selected")
        assert job.id[-12:] not in await tab.text("#live")
        await tab.run("getSelection().removeAllRanges()")
        await tab.until("#live", job.id[-12:])
        await tab.javascript(on=False)
        await tab.open(f"{quick}/ui/jobs")
        assert "Not updating" in await tab.text("#freshness")
        await tab.javascript(on=True)
        assert tab.complaints == []
