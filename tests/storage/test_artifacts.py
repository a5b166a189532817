import pytest

from orchestrator.domain.errors import NotFound
from orchestrator.storage.artifacts import ArtifactRepository


async def test_body_comes_back_as_it_was_stored(artifacts: ArtifactRepository):
    body = {"output": "x" * 3_000_000, "z": [1, None, "ü\0"], "a": {"nested": True}}

    artifact_id = await artifacts.put("wf_job_1", "design.api_designer", body)

    assert artifact_id == "wf_job_1/design.api_designer"
    stored = await artifacts.get(artifact_id)
    assert stored == body
    assert list(stored) == ["output", "z", "a"]


async def test_a_later_attempt_overwrites(artifacts: ArtifactRepository):
    await artifacts.put("wf_job_1", "design.api_designer", {"output": "first"})
    artifact_id = await artifacts.put("wf_job_1", "design.api_designer", {"output": "second"})

    assert await artifacts.get(artifact_id) == {"output": "second"}


async def test_unknown_artifact(artifacts: ArtifactRepository):
    with pytest.raises(NotFound):
        await artifacts.get("wf_job_1/nothing")
