"""Counts by state and usage beside a list of jobs: exact for every filter, on both databases."""

from collections import Counter
from typing import Any

import pytest

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.lists import Filter
from orchestrator.storage.overviews import OverviewRepository
from tests.storage.rows import T0, accepted, at, closed, job_input

WORKFLOW = {"kind": JobKind.WORKFLOW, "definition": "api_development"}
FILTERS: list[dict[str, Any]] = [
    {},
    {"owner": "alice"},
    {"owner": "nobody"},
    WORKFLOW,
    {**WORKFLOW, "owner": "alice"},
    {"labels": {"team": "a"}},
    {"labels": {"team": "a"}, "owner": "bob"},
    {"id_start": "wf_job_1"},
    {"id_start": "wf_job_1", "owner": "alice"},
    {"id_start": "wf_job_1", "labels": {"team": "a"}},
    {"since": T0, "until": at(5)},
    {"attention": True},
    {"states": [JobState.FAILED]},
]


async def test_the_states_of_every_filter_are_counted_exactly(jobs: JobRepository, database: Database):
    ends = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED, None]
    for number in range(20):
        owner, labels = ("alice", "bob")[number % 2], {"team": "a"} if number % 3 else {}
        await accepted(jobs, job_input(f"wf_job_{number:x}", owner=owner, labels=labels), number)
        if (end := ends[number % len(ends)]) is not None:
            await closed(jobs, f"wf_job_{number:x}", end)
    overviews = OverviewRepository(database)
    for criteria in FILTERS:
        every: dict[str, Any] = {"owner": None, "kind": None, "definition": None, **criteria, "states": None}
        rows, _ = await jobs.list(**every, limit=100, offset=0)
        assert await overviews.states(Filter(**criteria)) == Counter(row.state for row in rows), criteria


@pytest.mark.parametrize("ids", [[], ["wf_job_1"]])
async def test_a_job_without_calls_has_no_usage(jobs: JobRepository, database: Database, ids: list[str]):
    await accepted(jobs, job_input("wf_job_1"))
    assert await OverviewRepository(database).usage(ids) == {}
