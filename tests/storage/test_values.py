"""Large values in the job index, on each database."""

import pytest

from orchestrator.domain.errors import NotFound
from orchestrator.storage.database import Database
from orchestrator.storage.values import ValueRepository


async def test_values_go_and_come_back_job_by_job(database: Database) -> None:
    values = ValueRepository(database)
    texts = {"k1": '"é \\u0000 😀"', "k2": '[1,2.5,{"a":null}]', "k3": '"' + "x" * 4_000_000 + '"'}
    await values.put("job_1", texts)
    await values.put("job_1", {"k2": '"another"'})  # A key is the hash of its text: what is there stays.
    await values.put("job_10", {"k1": "{}"})
    assert await values.get("job_1", list(texts)) == {**texts}
    with pytest.raises(NotFound, match="job_1 is missing: k4"):
        await values.get("job_1", ["k1", "k4"])
    await values.forget("job_1")
    with pytest.raises(NotFound):
        await values.get("job_1", ["k1"])
    assert await values.get("job_10", ["k1"]) == {"k1": "{}"}
