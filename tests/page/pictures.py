"""Makes the pictures of the page for the documentation: python -m tests.page.pictures docs/images."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from api.app import create_app
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import Fixed, served
from tests.page.browser import Page, running_browser
from tests.page.seeds import DEMO, seed

HEIGHT = 720


async def main(folder: Path) -> None:
    """Seed an instance, open its pages, and store a picture of each."""
    with tempfile.TemporaryDirectory() as scratch:
        binary = await locate(os.environ)
        async with (
            DevServer(binary, Path(scratch), port=0, in_memory=True, settings={}) as server,
            running_engine(server.address, Path(scratch), [BUILT_IN, DEMO]) as engine,
            running_browser(Path(scratch) / "chromium") as browser,
            browser.tab() as page,
        ):
            await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
            ids = await seed(engine, 500)
            async with served(create_app(Fixed(engine.services))) as url:
                await page.size(1280, HEIGHT)
                await page.open(f"{url}/ui/open/{await engine.services.page_sessions.link()}")
                await _pictures(engine, page, url, ids, folder)


async def _pictures(engine: Engine, page: Page, url: str, ids: dict[str, str], folder: Path) -> None:
    retrying = (await engine.start("nightly_report", {"flaky": True}, labels={"run": "nightly"})).job_id
    await engine.eventually(retrying, lambda job: any(len(call.attempts) > 1 for call in job.calls))
    scenes = {
        "page-job-retrying": f"/ui/jobs/{retrying}",  # the first one: its third attempt starts soon
        "page-attention": "/",
        "page-jobs": "/ui/jobs",
        "page-job": f"/ui/jobs/{ids['dear']}",
        "page-approval": f"/ui/jobs/{ids['waiting']}",
        "page-compare": f"/ui/compare?a={ids['cheap']}&b={ids['dear']}",
        "page-workflow": "/ui/catalogue/workflow/nightly_report",
        "page-start": "/ui/start/agent/product_manager",
    }
    for name, path in scenes.items():
        await page.scheme("dark" if name == "page-approval" else "light")
        await page.open(url + path)
        await asyncio.sleep(0.3)  # the first frame of the stream
        await page.picture(folder / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)
