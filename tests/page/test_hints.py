"""What pages say and offer: commands that help, actions that are possible, and a second press before a loss."""

import re

from orchestrator.testing import ADMIN_KEY, Engine
from tests.page.browser import Browser
from tests.page.conftest import Visit
from tests.page.test_jobs_pages import start


async def test_a_queue_of_steps_is_served_by_a_worker_with_that_queue(running: Engine, admin: Visit, owner: Visit):
    text = (await admin.http.get("/ui/workers")).text
    assert "ORCHESTRATOR_TASK_QUEUE=test-elsewhere orchestrator worker" in text
    assert '<pre class="box" tabindex="0">orchestrator worker</pre>' in text, "for the queue of jobs"


async def test_only_actions_that_a_listed_job_can_take_are_offered(running: Engine, owner: Visit):
    done = await start(owner, running, "t_three", {"offer": "x"})
    await running.ended(done)

    async def offered(path: str) -> list[str]:
        return re.findall(r"/ui/bulk\?action=(\w+)", (await owner.http.get(path)).text)

    assert await offered("/ui/jobs?label=offer:x") == []
    broken = await start(owner, running, "t_broken", {"offer": "x"})
    await running.ended(broken)
    assert await offered("/ui/jobs?label=offer:x") == ["retry"]
    assert await offered("/ui/jobs?label=offer:x&state=COMPLETED") == []
    assert await offered("/ui/jobs?label=offer:x&state=FAILED") == ["retry"]
    slow = await start(owner, running, "t_slow", {"offer": "x"})
    await running.eventually(slow, lambda job: job.started_at is not None)
    assert await offered("/ui/jobs?label=offer:x") == ["cancel", "pause", "retry"]
    await owner.post(f"/ui/jobs/{slow}/cancel")
    await running.ended(slow)


async def test_a_dry_run_names_the_filters_and_not_the_order(owner: Visit):
    text = (await owner.http.get("/ui/bulk?action=resume&state=PAUSED&label=no:one&sort=cost")).text
    assert "state <b>paused</b>" in text
    assert "label <b>no:one</b>" in text
    assert "sort <b>" not in text
    assert re.search(r"<h1>Resume\s+jobs</h1>", text), "no question about no job"


async def test_a_cancelled_job_is_not_shown_as_an_error(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_slow")
    await owner.post(f"/ui/jobs/{job_id}/cancel", reason="by mistake")
    await running.ended(job_id)
    text = (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert "by mistake" in text
    assert 'class="error"' not in text


async def test_a_key_is_revoked_by_a_second_press_and_no_limit_is_said(running: Engine, admin: Visit):
    await admin.post("/ui/access/keys", name="pressed twice", tier="pro", scope="jobs:read")
    text = (await admin.http.get("/ui/access")).text
    row = next(row for row in text.split("<tr>") if "pressed twice" in row)
    assert re.search(r"<summary>Revoke…</summary><form[^>]*/revoke", row)
    assert re.search(r'enterprise</th><td class="num"[^>]*>no limit</td>', text)


async def test_a_page_says_that_it_connects_before_it_updates(browser: Browser, site: str):
    async with browser.tab() as tab:
        await tab.open(f"{site}/")
        await tab.fill("#key", ADMIN_KEY)
        await tab.press("Enter", loads=True)
        await tab.send("Network.setBlockedURLs", urls=["*hx-sse*"])
        await tab.open(f"{site}/ui/jobs")
        assert await tab.text("#freshness") == "Connecting…"
