import asyncio
from datetime import timedelta, timezone

import pytest
from sqlalchemy import select

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobError, JobState, StartState
from orchestrator.storage import tables
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from tests.storage.rows import accepted, at, closed, job_input, task


async def test_accepted_job_comes_back_whole(jobs: JobRepository):
    job = await accepted(jobs, job_input())

    row = await jobs.get(job.job_id)

    assert row is not None
    assert row.job == job
    assert list(row.job.input) == ["z", "a", "deep"]
    assert (row.id, row.kind, row.definition, row.name, row.owner) == (
        job.job_id,
        JobKind.WORKFLOW,
        "api_development",
        "API development",
        "alice",
    )
    assert (row.state, row.start_state, row.progress, row.total_calls) == (
        JobState.PENDING,
        StartState.ACCEPTED,
        0,
        2,
    )
    assert (row.run_id, row.started_at, row.closed_at, row.error) == (None, None, None, None)
    assert row.request_hash == "hash"
    assert row.webhook_url == job.webhook_url


async def test_timestamps_are_utc_and_keep_their_microseconds(jobs: JobRepository):
    elsewhere = at(0).astimezone(timezone(timedelta(hours=5, minutes=30)))
    await jobs.accept(job_input(), request_hash="hash", at=elsewhere)

    row = await jobs.get("wf_job_1")

    assert row is not None
    assert row.created_at == at(0)
    assert row.created_at.utcoffset() == timedelta(0)


async def test_second_accept_returns_the_first_row(jobs: JobRepository):
    await accepted(jobs, job_input())

    existing = await jobs.accept(job_input(owner="bob"), request_hash="other", at=at(9))

    assert existing is not None
    assert (existing.owner, existing.request_hash, existing.created_at) == ("alice", "hash", at(0))


async def test_fifty_accepts_at_once_insert_one_row(jobs: JobRepository):
    answers = await asyncio.gather(*(jobs.accept(job_input(), request_hash=f"hash-{n}", at=at(n)) for n in range(50)))

    existing = [row for row in answers if row is not None]
    assert len(existing) == 49
    winner = f"hash-{answers.index(None)}"
    assert {row.request_hash for row in existing} == {winner}
    assert (await jobs.list(owner=None, states=None, kind=None, definition=None, limit=10, offset=0))[1] == 1


async def test_start_states(jobs: JobRepository):
    job = await accepted(jobs, job_input())

    async def state() -> tuple[StartState, str | None]:
        row = await jobs.get(job.job_id)
        assert row is not None
        return row.start_state, row.run_id

    await jobs.doubtful(job.job_id)
    assert await state() == (StartState.DOUBTFUL, None)
    await jobs.started(job.job_id, "run-1", "ns")
    assert await state() == (StartState.STARTED, "run-1")
    await jobs.doubtful(job.job_id)
    await jobs.started(job.job_id, "run-0", "ns")
    assert await state() == (StartState.STARTED, "run-1")


async def test_drop_forgets_only_what_never_ran(jobs: JobRepository, attempts: AttemptRepository):
    refused = await accepted(jobs, job_input("wf_job_refused"))
    started = await accepted(jobs, job_input("wf_job_started"))
    running = await accepted(jobs, job_input("wf_job_running"))
    await jobs.started(started.job_id, "run-1", "ns")
    await attempts.started(task(running, 0), attempt=1, at=at(1))

    assert await jobs.drop(refused.job_id)
    assert not await jobs.drop(refused.job_id)
    assert not await jobs.drop(started.job_id)
    assert not await jobs.drop(running.job_id)

    assert await jobs.get(refused.job_id) is None
    assert await jobs.get(started.job_id) is not None
    assert await jobs.get(running.job_id) is not None


async def test_close_writes_the_outcome_once(jobs: JobRepository):
    job = await accepted(jobs, job_input())
    snapshot = {
        "id": job.job_id,
        "state": "FAILED",
        "progress": 50,
        "result": None,
        "started_at": "2026-11-20T12:00:05.500000Z",
    }

    failed = JobError(type="step_failed", message="Step 1 failed", step="step_1")
    assert await closed(jobs, job.job_id, JobState.FAILED, snapshot=snapshot, result=None, error=failed)
    assert not await closed(jobs, job.job_id, JobState.COMPLETED)

    row = await jobs.get(job.job_id)
    assert row is not None
    assert (row.state, row.error, row.progress, row.run_id) == (JobState.FAILED, failed, 50, "run-1")
    assert row.started_at is not None
    assert (row.started_at - at(0)).total_seconds() == pytest.approx(5.376544)
    assert row.closed_at == at(60)
    assert row.start_state is StartState.STARTED
    assert await jobs.snapshot(job.job_id) == snapshot
    assert await jobs.events(job.job_id) == [{"type": "job_completed"}]


@pytest.mark.parametrize("in_snapshot", [{"output": "done"}, {"output": "another"}])
async def test_snapshot_comes_back_as_it_was_given(jobs: JobRepository, in_snapshot: dict[str, str]):
    job = await accepted(jobs, job_input())
    snapshot = {"id": job.job_id, "state": "COMPLETED", "result": in_snapshot}

    await closed(jobs, job.job_id, snapshot=snapshot)

    assert await jobs.snapshot(job.job_id) == snapshot


async def test_outcome_is_completed_by_the_first_snapshot_and_by_no_other(jobs: JobRepository):
    job = await accepted(jobs, job_input())

    assert await closed(jobs, job.job_id, snapshot=None, events=None, result=None)
    assert await jobs.snapshot(job.job_id) is None
    assert await jobs.events(job.job_id) is None
    assert not await closed(jobs, job.job_id, JobState.FAILED, snapshot=None, events=None, result=None)
    assert await closed(jobs, job.job_id)
    assert not await closed(jobs, job.job_id, JobState.CANCELLED)

    row = await jobs.get(job.job_id)
    assert row is not None
    assert (row.state, row.progress) == (JobState.COMPLETED, 100)
    stored = await jobs.snapshot(job.job_id)
    assert stored is not None
    assert stored["result"] == {"output": "done"}


async def test_closed_history_settles_what_the_workflow_only_said(jobs: JobRepository):
    job = await accepted(jobs, job_input())

    await closed(jobs, job.job_id, JobState.COMPLETED, snapshot=None, events=None, result=None)
    assert await closed(jobs, job.job_id, JobState.TIMEOUT)

    row = await jobs.get(job.job_id)
    assert row is not None
    assert row.state is JobState.TIMEOUT
    stored = await jobs.snapshot(job.job_id)
    assert stored is not None
    assert stored["state"] == "TIMEOUT"


async def test_closed_job_is_never_reopened(jobs: JobRepository, attempts: AttemptRepository):
    job = await accepted(jobs, job_input())
    await closed(jobs, job.job_id, JobState.CANCELLED, run_id="run-2")
    before = await jobs.get(job.job_id)

    await jobs.set_state(job.job_id, JobState.RUNNING)
    await jobs.started(job.job_id, "run-1", "ns")
    await jobs.doubtful(job.job_id)
    await attempts.started(task(job, 0), attempt=1, at=at(70))
    assert not await jobs.drop(job.job_id)
    assert await jobs.accept(job, request_hash="hash", at=at(80)) == before

    assert await jobs.get(job.job_id) == before


async def test_fifty_closes_at_once_leave_one_outcome(jobs: JobRepository):
    job = await accepted(jobs, job_input())
    states = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT]

    changed = await asyncio.gather(*(closed(jobs, job.job_id, states[n % 4]) for n in range(50)))

    assert changed.count(True) == 1
    row, stored = await jobs.get(job.job_id), await jobs.snapshot(job.job_id)
    assert row is not None
    assert stored is not None
    assert row.state == stored["state"] == states[changed.index(True) % 4]


async def test_close_of_an_unknown_job_changes_nothing(jobs: JobRepository):
    assert not await closed(jobs, "wf_job_unknown")
    assert await jobs.get("wf_job_unknown") is None
    assert await jobs.snapshot("wf_job_unknown") is None
    assert await jobs.events("wf_job_unknown") is None


async def test_set_state_moves_between_open_states(jobs: JobRepository):
    job = await accepted(jobs, job_input())

    for state in (JobState.RUNNING, JobState.PAUSED, JobState.RUNNING):
        await jobs.set_state(job.job_id, state)
        row = await jobs.get(job.job_id)
        assert row is not None
        assert row.state is state


async def test_states_have_one_door_each(jobs: JobRepository):
    with pytest.raises(ValueError, match="close"):
        await jobs.set_state("wf_job_1", JobState.COMPLETED)
    with pytest.raises(ValueError, match="RUNNING"):
        await closed(jobs, "wf_job_1", JobState.RUNNING)


async def test_list_filters_pages_and_counts_exactly(jobs: JobRepository):
    agent = {"kind": JobKind.AGENT, "definition": "api_designer", "agents": 1}
    for n in range(4):
        await accepted(jobs, job_input(f"wf_job_{n}"), n)
    for n in range(3):
        await accepted(jobs, job_input(f"job_{n}", **agent), 10)
    await accepted(jobs, job_input("wf_job_bob", owner="bob"), 20)
    await jobs.set_state("wf_job_1", JobState.RUNNING)
    await closed(jobs, "wf_job_2")

    async def listed(limit: int = 100, offset: int = 0, **wanted: object) -> tuple[list[str], int]:
        filters = {"owner": None, "states": None, "kind": None, "definition": None} | wanted
        rows, total = await jobs.list(**filters, limit=limit, offset=offset)  # type: ignore[arg-type]
        return [row.id for row in rows], total

    newest_first = ["wf_job_bob", "job_2", "job_1", "job_0", "wf_job_3", "wf_job_2", "wf_job_1", "wf_job_0"]
    assert await listed() == (newest_first, 8)
    assert await listed(limit=3, offset=2) == (newest_first[2:5], 8)
    assert await listed(limit=3, offset=7) == (["wf_job_0"], 8)
    assert await listed(offset=8) == ([], 8)
    assert await listed(limit=0) == ([], 8)
    assert await listed(owner="bob") == (["wf_job_bob"], 1)
    assert await listed(owner="carol") == ([], 0)
    assert await listed(owner="alice", limit=2) == (newest_first[1:3], 7)
    assert await listed(kind=JobKind.AGENT, definition="api_designer", limit=1, offset=1) == (["job_1"], 3)
    assert await listed(kind=JobKind.WORKFLOW, definition="api_designer") == ([], 0)
    assert await listed(states=[JobState.RUNNING, JobState.COMPLETED]) == (["wf_job_2", "wf_job_1"], 2)
    assert await listed(states=[]) == ([], 0)
    assert await listed(owner="alice", kind=JobKind.WORKFLOW, states=[JobState.PENDING]) == (
        ["wf_job_3", "wf_job_0"],
        2,
    )


async def test_unfinished_are_all_rows_without_a_snapshot(jobs: JobRepository):
    for n, name in enumerate(["open", "outcome_only", "finished", "young"]):
        await accepted(jobs, job_input(name), n)
    await closed(jobs, "outcome_only", snapshot=None, events=None, result=None)
    await closed(jobs, "finished")

    rows = await jobs.unfinished(before=at(3))

    assert [(row.id, row.state) for row in rows] == [
        ("open", JobState.PENDING),
        ("outcome_only", JobState.COMPLETED),
    ]


async def test_unfinished_are_read_in_batches_and_begin_with_those_not_looked_at_for_the_longest_time(
    jobs: JobRepository,
):
    for n in range(5):
        await accepted(jobs, job_input(f"wf_job_{n}"), n // 2)
    await jobs.checked({"wf_job_1": "run:7", "wf_job_0": "run:3"}, at=at(50))

    rows = await jobs.unfinished(before=at(100), batch=2)

    assert [row.id[-1] for row in rows] == ["2", "3", "4", "0", "1"]
    assert [row.checked_history for row in rows] == [None, None, None, "run:3", "run:7"]


async def test_result_stands_once_and_comes_back_everywhere(jobs: JobRepository, database: Database):
    job = await accepted(jobs, job_input())
    result = {"output": "done " * 200}
    events = [{"type": "job_queued", "data": {}}, {"type": "job_completed", "data": {"output": result}}]

    await closed(jobs, job.job_id, snapshot={"id": job.job_id, "result": result}, events=events, result=result)

    assert await jobs.events(job.job_id) == events
    assert await jobs.snapshot(job.job_id) == {"id": job.job_id, "result": result}
    stored = select(tables.jobs.c.events, tables.jobs.c.snapshot)
    columns = await database.autocommit(lambda connection: connection.execute(stored).one())
    assert "done" not in str(tuple(columns))


async def test_output_that_is_not_the_result_stays_in_its_event(jobs: JobRepository):
    job = await accepted(jobs, job_input())
    events = [{"type": "job_completed", "data": {"output": {"output": "another"}}}]

    await closed(jobs, job.job_id, events=events)

    assert await jobs.events(job.job_id) == events
