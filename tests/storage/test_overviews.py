"""Counts by state and usage beside a list of jobs: exact for every filter, on both databases."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.domain.pages import CostPosition
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.labels import add_labels, job_labels, packed, unpacked
from orchestrator.storage.lists import Filter
from orchestrator.storage.overviews import OverviewRepository
from tests.storage.ended import attempt_row, job_row, write
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
    {"labels": {"team": "a", "desk": "b"}},
    {"labels": {"team": "a"}, "since": T0, "until": at(5)},
    {"labels": {"team": "a"}, "attention": True},
    {"labels": {"team": "a"}, **WORKFLOW, "subject": "agent"},
    {"id_part": "wf_job_1"},
    {"id_part": "wf_job_1", "owner": "bob", "labels": {"team": "a"}},
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
        owner, labels = ("alice", "bob")[number % 2], {"team": "a", "desk": "ab"[number % 2]} if number % 3 else {}
        await accepted(jobs, job_input(f"wf_job_{number:x}", owner=owner, labels=labels), number)
        if (end := ends[number % len(ends)]) is not None:
            await closed(jobs, f"wf_job_{number:x}", end)
    overviews = OverviewRepository(database)
    for criteria in FILTERS:
        every: dict[str, Any] = {"owner": None, "kind": None, "definition": None, **criteria, "states": None}
        rows, _ = await jobs.list(**every, limit=100, offset=0)
        assert await overviews.states(Filter(**criteria)) == Counter(row.state for row in rows), criteria


@pytest.mark.parametrize("are_few", [True, False])
async def test_the_most_expensive_jobs_are_first_and_every_page_goes_on_where_the_last_one_ended(
    jobs: JobRepository, database: Database, monkeypatch: pytest.MonkeyPatch, *, are_few: bool
):
    if not are_few:
        monkeypatch.setattr("orchestrator.storage.overviews.MOST_COUNTED", 0)

    def job(number: int, **more: Any) -> dict[str, Any]:
        return job_row(f"wf_job_{number:x}", cost=(number % 4) / 8, owner=("alice", "bob")[number % 2], **more)

    rows = [job(number) for number in range(12)]
    rows[3] |= {"labels": packed({"team": "a"})}
    open_one = job_row("wf_job_f", JobState.RUNNING) | {"labels": None}
    await write(database, job_rows=[{"labels": None, **row} for row in rows])
    await write(database, job_rows=[open_one])
    await database.transaction(lambda connection: add_labels(connection, rows[3]))
    expected = sorted(((row["cost"], row["id"]) for row in rows), reverse=True)
    overviews, listed, after = OverviewRepository(database), [], None
    while page := await overviews.dearest(Filter(), limit=5, after=after):
        listed += [(row.cost, row.id) for row in page]
        after = CostPosition(*listed[-1])
    assert listed == expected
    mine = await overviews.dearest(Filter(owner="bob", states=[JobState.COMPLETED], **WORKFLOW), limit=50)
    assert [row.id for row in mine] == [id for _, id in expected if int(id[-1], 16) % 2]
    assert [row.labels for row in await overviews.dearest(Filter(labels={"team": "a"}), limit=5)] == [{"team": "a"}]
    for nothing in (
        {"states": [JobState.FAILED]},
        {"states": [JobState.RUNNING]},
        {"states": []},
        {**WORKFLOW, "states": [JobState.FAILED]},
        {"labels": {"team": "b"}},
        {"since": at(3600)},
    ):
        assert await overviews.dearest(Filter(**nothing), limit=5) == [], nothing
    ends = {"id_part": "0_job_b", "states": [JobState.COMPLETED], "definition": "api_development"}
    assert await overviews.dearest(Filter(**ends), limit=5) == []
    assert [row.id for row in await overviews.dearest(Filter(**{**ends, "id_part": "_job_b"}), limit=5)] == ["wf_job_b"]


async def test_the_cost_of_a_job_is_that_of_its_attempts_when_it_ends(jobs: JobRepository, database: Database):
    await accepted(jobs, job_input("wf_job_1"))
    await accepted(jobs, job_input("wf_job_2"))
    await write(database, attempt_rows=[attempt_row("wf_job_1", attempt=1), attempt_row("wf_job_1", attempt=2)])
    assert await OverviewRepository(database).dearest(Filter(), limit=5) == []
    for job_id in ("wf_job_1", "wf_job_2"):
        await closed(jobs, job_id)
    assert [(row.id, row.cost) for row in await OverviewRepository(database).dearest(Filter(), limit=5)] == [
        ("wf_job_1", 0.02)
    ]


async def test_a_label_that_an_older_release_wrote_follows_its_job(jobs: JobRepository, database: Database):
    await accepted(jobs, job_input("wf_job_1", labels={"team": "a"}))
    names = ("owner", "kind", "definition", "state", "cost")
    older = update(job_labels).values(dict.fromkeys(names))  # it inserts rows without these columns
    await database.transaction(lambda connection: connection.execute(older).close())
    await closed(jobs, "wf_job_1")
    states = await OverviewRepository(database).states(Filter(owner="alice", labels={"team": "a"}, **WORKFLOW))
    assert states == {JobState.COMPLETED: 1}


@pytest.mark.parametrize("labels", [{}, {"team": "a"}, {"a:b": "c:d", "x\\": "line\nand\\n"}])
def test_packed_labels_are_unpacked(labels: dict[str, str]):
    assert unpacked(packed(labels)) == labels


@pytest.mark.parametrize("ids", [[], ["wf_job_1"]])
async def test_a_job_without_calls_has_no_usage(jobs: JobRepository, database: Database, ids: list[str]):
    await accepted(jobs, job_input("wf_job_1"))
    assert await OverviewRepository(database).usage(ids) == {}
