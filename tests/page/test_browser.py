"""The page in a real browser: what an operator does at night, without a console error, a foreign host or a barrier."""

import uuid
from collections.abc import AsyncIterator

import pytest_asyncio

from orchestrator.domain.jobs import JobState
from orchestrator.testing import ADMIN_KEY, Engine
from tests.page.browser import Browser, Page
from tests.page.test_pages import ADMIN_PAGES, PAGES

LONG = 200


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser, site: str) -> AsyncIterator[Page]:
    """A tab of a visitor who has signed in with a key. Afterwards: no complaint, and no other host was asked."""
    async with browser.tab() as page:
        await page.open(f"{site}/")
        await page.fill("#key", ADMIN_KEY)
        await page.press("Enter", loads=True)
        await page.until("h1", "Attention")
        yield page
        assert page.complaints == []
        assert {host for host in page.hosts if host} == {site.removeprefix("http://")}


async def noted(running: Engine, job_id: str) -> None:
    """Let the list know why a job waits, as the reconciler does."""
    await running.eventually(job_id, lambda job: bool(job.waiting_steps))


async def test_a_job_is_started_watched_and_approved_with_a_note(running: Engine, tab: Page, site: str):
    await tab.link("Start a job")
    await tab.fill("#q", "t_approval")
    await tab.press("Enter", loads=True)
    await tab.click('a[href="/ui/start/workflow/t_approval"]')
    await tab.link("Start", within="form.fields")
    job_id = str(await tab.run("location.pathname.split('/').pop()"))
    await tab.until("main", "waits for a decision")
    await tab.fill("input[name=note]", "seen by the browser")
    await tab.link("Approve")
    await tab.until(".facts", "completed")
    approvals = (await running.ended(job_id)).approvals
    assert [approval.note for approval in approvals] == ["seen by the browser"]


async def test_an_open_page_follows_the_job_by_itself(running: Engine, tab: Page, site: str):
    job_id = (await running.start("t_approval", {})).job_id
    await tab.open(f"{site}/ui/jobs/{job_id}")
    await tab.until("#live", "waits for a decision")
    await running.approve(job_id)
    text = await tab.until("#live .facts", "completed")
    assert "waits" not in text
    assert await tab.run("document.querySelectorAll('rect.b-completed').length") == 3


async def test_a_failure_is_read_retried_and_its_lineage_shown(running: Engine, tab: Page, site: str):
    job = await running.run("t_broken", {})
    await tab.open(f"{site}/ui/jobs/{job.id}")
    assert "refused for good" in await tab.text()
    await tab.link("Retry")
    await tab.until(".lineage", "Retry of")
    await tab.until(".facts", "failed")


async def test_many_jobs_are_cancelled_after_a_dry_run(running: Engine, tab: Page, site: str):
    batch = uuid.uuid4().hex[:8]
    ids = [(await running.start("t_slow", {}, labels={"batch": batch})).job_id for _ in range(3)]
    await tab.open(f"{site}/ui/jobs?label=batch:{batch}")
    await tab.link("cancel…")
    assert "Cancel 3 jobs?" in await tab.text("h1")
    assert [(await running.job(job_id)).cancel_requested_at for job_id in ids] == [None] * 3
    await tab.link("Cancel 3 jobs", within="form.decide")
    assert "3 done" in await tab.text("h1")
    assert {(await running.ended(job_id)).state for job_id in ids} == {JobState.CANCELLED}


async def test_every_page_is_free_of_barriers_in_light_and_dark(running: Engine, tab: Page, site: str):
    job = await running.run("t_broken", {}, labels={"batch": "a", "team": "b"})
    waiting = (await running.start("t_approval", {}, labels={"batch": "search"})).job_id
    await running.start("t_three", {}, labels={"batch": "one"})
    await noted(running, waiting)
    jobs = (
        f"/ui/jobs/{job.id}",
        f"/ui/jobs/{waiting}",
        *(f"/ui/jobs/{job.id}/{tab}" for tab in ("output", "events", "plan")),
    )
    for number, path in enumerate(
        (*PAGES, *ADMIN_PAGES, *jobs, f"/ui/compare?a={job.id}&b={waiting}", "/ui/bulk?action=retry")
    ):
        await tab.scheme("dark" if number % 2 else "light")
        await tab.open(site + path)
        assert await tab.barriers() == [], path
    await tab.scheme("light")
    await tab.open(f"{site}/")
    assert await tab.barriers() == []


async def test_a_phone_shows_a_job_without_scrolling_sideways(running: Engine, tab: Page, site: str):
    job = await running.run("t_broken", {})
    await tab.size(390, 800, phone=True)
    for path in ("/", "/ui/jobs", f"/ui/jobs/{job.id}", "/ui/start/agent/product_manager", "/ui/access"):
        await tab.open(site + path)
        assert await tab.run("document.documentElement.scrollWidth") <= 390, path
    await tab.size(1280, 800)


async def test_without_scripts_a_job_can_be_found_read_and_cancelled(running: Engine, tab: Page, site: str):
    job_id = (await running.start("t_slow", {})).job_id
    await running.eventually(job_id, lambda job: job.state is JobState.RUNNING)
    await tab.javascript(on=False)
    try:
        await tab.open(f"{site}/ui/jobs?q={job_id}")
        await tab.javascript(on=True)  # only to look: the page itself has run no script
        assert await tab.run("typeof htmx") == "undefined"
        text = await tab.text()
        assert "running" in text
        assert "t_slow" in text
        await tab.link("Cancel…")
        await tab.link("Cancel the job")
        await running.ended(job_id)
    finally:
        await tab.javascript(on=True)


async def test_keys_move_search_and_help(running: Engine, tab: Page, site: str):
    await running.run("t_three", {})
    await running.run("t_three", {})
    await tab.open(f"{site}/ui/jobs")
    await tab.press("j")
    await tab.press("j")
    place = "[...document.querySelectorAll('tbody tr')].findIndex(row => row.classList.contains('at'))"
    assert await tab.run(place) == 1
    await tab.press("k")
    assert await tab.run(place) == 0
    await tab.press("/")
    assert await tab.run("document.activeElement.id") == "q"
    await tab.press("Escape")
    await tab.press("?")
    assert await tab.run("document.getElementById('keys').open") is True
    await tab.press("Escape")
    await tab.press("g")
    await tab.press("a", loads=True)
    assert await tab.text("h1") == "Attention"


async def test_a_job_of_two_hundred_steps_opens_and_scrolls(running: Engine, tab: Page, site: str):
    job = await running.run("t_two_hundred", {})
    assert job.state is JobState.COMPLETED
    await tab.open(f"{site}/ui/jobs/{job.id}")
    assert await tab.run("document.querySelectorAll('.gantt tbody tr').length") == LONG
    await tab.run(f"document.querySelectorAll('.gantt tbody tr')[{LONG - 1}].scrollIntoView()")
    assert await tab.run("[...document.querySelectorAll('rect')].every(r => r.getBoundingClientRect().width >= 1)")


async def test_a_wrong_sign_in_says_so(browser: Browser, site: str):
    async with browser.tab() as page:
        await page.open(f"{site}/ui/jobs")
        await page.fill("#username", "nobody")
        await page.fill("#password", "wrong")
        await page.press("Enter", loads=True)
        assert "The user name or the password is wrong" in await page.text()
        assert await page.run("document.cookie") == ""
