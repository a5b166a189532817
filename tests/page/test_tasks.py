"""Three tasks of a night, on an instance with 500 jobs: each in at most five clicks from the first page."""

from collections.abc import AsyncIterator

import pytest_asyncio

from api.app import create_app
from orchestrator.domain.jobs import JobState
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import Fixed, served
from tests.page.browser import Browser, Page
from tests.page.seeds import DEMO, seed

CLICKS = 5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def instance(temporal_address: str, tmp_path_factory) -> AsyncIterator[tuple[Engine, str, dict[str, str]]]:
    """An instance of its own with 500 jobs, its address, and the ids of the jobs that the tasks are about."""
    async with running_engine(temporal_address, tmp_path_factory.mktemp("tasks"), [BUILT_IN, DEMO]) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        ids = await seed(engine, 500)
        async with served(create_app(Fixed(engine.services))) as url:
            yield engine, url, ids


@pytest_asyncio.fixture(loop_scope="session")
async def night(browser: Browser, instance: tuple[Engine, str, dict[str, str]]) -> AsyncIterator[Page]:
    """An operator on the first page."""
    engine, url, _ = instance
    async with browser.tab() as page:
        await page.open(f"{url}/ui/open/{await engine.services.page_sessions.link()}")
        await page.until("h1", "Attention")
        page.clicks = 0
        yield page
        assert page.complaints == []
        assert page.clicks <= CLICKS


async def test_the_stuck_job_is_seen_and_stopped(instance: tuple[Engine, str, dict[str, str]], night: Page):
    engine, _, ids = instance
    assert "Without a worker" in await night.text()
    await night.click(f'a[href="/ui/jobs/{ids["stuck"]}"].button')
    assert "accelerators" in await night.text()
    await night.link("Cancel…")
    await night.link("Cancel the job")
    assert (await engine.ended(ids["stuck"])).state is JobState.CANCELLED


async def test_the_reason_of_a_double_cost_is_seen(instance: tuple[Engine, str, dict[str, str]], night: Page):
    _, _, ids = instance
    await night.fill("#q", "nightly_report")
    await night.press("Enter", loads=True)
    while ids["dear"] not in await night.run("document.body.innerHTML"):
        await night.link("Older")
    await night.click(f'a[href="/ui/jobs/{ids["dear"]}"]')
    await night.link("With the run before")
    marked = "[...document.querySelectorAll('tr')].filter(r => r.querySelector('td.num.differs')).map(r => r.innerText)"
    rows = [row for row in await night.run(marked) if "report_writer" in row]
    assert any(row.startswith("Write") for row in rows)


async def test_a_waiting_step_is_approved_with_a_note(instance: tuple[Engine, str, dict[str, str]], night: Page):
    engine, _, ids = instance
    await night.click(f'a[href="/ui/jobs/{ids["waiting"]}"].button')
    assert "Publish to all customers?" in await night.text()
    await night.fill("input[name=note]", "checked by phone")
    await night.link("Approve")
    job = await engine.ended(ids["waiting"])
    assert [approval.note for approval in job.approvals] == ["checked by phone"]
