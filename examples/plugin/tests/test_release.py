from orchestrator.testing import Engine

from acme_site import AcmeSite

CHANGES = {"product": "Rocket Skates", "version": "2.4.0", "changes": ["Brakes work downhill"]}


async def test_it_publishes_the_notes_after_a_person_approves(engine: Engine, site: AcmeSite) -> None:
    started = await engine.start("acme_release", CHANGES)
    waiting = await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["publish"])
    assert [call.status for call in waiting.calls] == ["completed", "completed", "waiting_for_approval"]
    assert not site.notes

    await engine.approve(started.job_id)

    job = await engine.ended(started.job_id)
    assert job.state == "COMPLETED", job.error
    (note,) = site.notes.values()
    assert note["version"] == "2.4.0"
    assert "Rocket Skates" in note["text"]
