"""Large values in an S3-compatible bucket."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.jobs import JobState
from orchestrator.storage.bucket import ValueBucket
from orchestrator.testing import TESTER, running_engine
from tests.fakes.bucket import Bucket

URL = "s3://values/orchestrator"


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    async with Bucket() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        yield server


async def test_values_go_and_come_back_job_by_job(bucket: Bucket) -> None:
    values = ValueBucket(URL)
    for job_id in ("job_1", "job_10", "a/../b"):
        await values.put(job_id, {"k1": f'"{job_id} é"', "k2": "{}"})
    assert "orchestrator/job_1/k1.json" in bucket.objects
    assert await values.get("job_1", ["k1", "k2"]) == {"k1": '"job_1 é"', "k2": "{}"}
    assert await values.get("a/../b", ["k1"]) == {"k1": '"a/../b é"'}
    await values.forget("job_1")
    with pytest.raises(NotFound, match="job_1"):
        await values.get("job_1", ["k1"])
    assert await values.get("job_10", ["k2"]) == {"k2": "{}"}
    await values.forget("job_1")


async def test_a_bucket_that_refuses_is_unavailable(bucket: Bucket) -> None:
    values = ValueBucket(URL)
    bucket.denied = True
    for asked in (values.put("job_1", {"k": "1"}), values.get("job_1", ["k"]), values.forget("job_1")):
        with pytest.raises(Unavailable, match="value store"):
            await asked


async def test_a_bucket_that_is_away_is_unavailable(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="value store"):
        await ValueBucket(URL).put("job_1", {"k": "1"})


def test_a_url_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="ORCHESTRATOR_VALUE_STORE_URL 'gopher://x'"):
        ValueBucket("gopher://x")


async def test_a_job_runs_on_values_in_a_bucket(
    bucket: Bucket, temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    text = "t" * 2_000_000
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, value_store_url=URL) as engine:
        job = await engine.run("t_big", {"text": text, "kilobytes": 300})
        assert (job.state, job.input["text"]) == (JobState.COMPLETED, text)
        output = await engine.services.outputs.get(TESTER, job.id)
        assert len(output["deliverables"][0]["content"]) == 300 * 1024
        assert {path.split("/")[1] for path in bucket.objects} == {job.id}
