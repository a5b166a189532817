from orchestrator.testing import Engine

CHANGES = {"product": "Rocket Skates", "version": "2.4.0", "changes": ["Brakes work downhill"]}


async def test_it_answers_with_its_typed_fields(engine: Engine) -> None:
    job = await engine.run("acme_release_writer", CHANGES)

    assert job.result, job.error
    data = job.result["metadata"]["data"]
    assert data["headline"]
    assert isinstance(data["breaking_changes"], list)
    assert "Rocket Skates" in job.result["output"]
