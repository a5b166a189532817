import pytest
from orchestrator.testing import Engine

from acme_site import AcmeSite

NOTE = {"version": "2.4.0", "text": "Brakes work downhill."}


async def test_it_publishes(engine: Engine, site: AcmeSite) -> None:
    job = await engine.run("acme_publisher", NOTE)

    assert job.result, job.error
    assert list(site.notes.values()) == [NOTE]
    assert job.result["metadata"]["data"]["url"] == f"{site.url}/notes/2.4.0"


async def test_a_busy_site_is_tried_again_and_gets_the_note_once(engine: Engine, site: AcmeSite) -> None:
    site.faults = [429, 503]

    job = await engine.run("acme_publisher", NOTE)

    assert job.state == "COMPLETED", job.error
    assert len(site.posts) == 3
    assert set(site.posts) == set(site.notes) == {f"{job.id}/execute/acme_publisher"}


@pytest.mark.parametrize(("faults", "text", "kind"), [([403], "x", "site_refused"), ([], "", "nothing_to_publish")])
async def test_an_error_that_is_not_retryable_fails_at_once(
    engine: Engine, site: AcmeSite, faults: list[int], text: str, kind: str
) -> None:
    site.faults = faults

    job = await engine.run("acme_publisher", {**NOTE, "text": text})

    assert job.error
    assert job.error.type == kind
    assert len(job.calls[0].attempts) == 1
    assert not site.notes
