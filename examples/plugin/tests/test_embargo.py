from datetime import timedelta

import pytest
from orchestrator.testing import Engine

from acme_agents.embargo import Decision
from acme_site import AcmeSite

CHANGES = {"product": "Rocket Skates", "version": "3.0.0", "changes": ["They fly"]}
A_YEAR = timedelta(days=365).total_seconds()


async def test_the_timer_publishes(engine: Engine, site: AcmeSite) -> None:
    job = await engine.run("acme_embargo", {**CHANGES, "embargo_seconds": 0.2})

    assert job.state == "COMPLETED", job.error
    assert len(site.notes) == 1


@pytest.mark.parametrize(("publish", "notes"), [(True, 1), (False, 0)])
async def test_a_person_decides_before_the_timer(engine: Engine, site: AcmeSite, publish: bool, notes: int) -> None:
    started = await engine.start("acme_embargo", {**CHANGES, "embargo_seconds": A_YEAR})
    await engine.eventually(started.job_id, lambda job: job.calls[0].status == "completed")

    await engine.signal(started.job_id, "decide", Decision(publish=publish, actor="Wile E."))

    job = await engine.ended(started.job_id)
    assert job.result, job.error
    assert len(site.notes) == notes
    assert ("Withdrawn by Wile E." in job.result["output"]) is not publish
