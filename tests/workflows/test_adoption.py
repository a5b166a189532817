"""Workflows that were not started through the API: each is a job of its own, or is refused with words."""

import json
import os
import sqlite3
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    WorkflowFailureError,
)
from temporalio.common import RawValue, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from orchestrator.domain import names
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import Control, JobConfig, ReconcileRequest
from orchestrator.domain.errors import LimitExceeded, NotFound
from orchestrator.domain.facts import JobAdopted
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.domain.limits import Tier
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.plugins import BUILT_IN
from orchestrator.projection.facts import fact_of
from orchestrator.projection.job import project
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.services.jobs.start import StartRequest
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.catalogue import TEST_PLUGIN

ALICE = Principal(id="alice", scopes=frozenset({Scope.JOBS_READ, Scope.WORKFLOWS_RUN, Scope.JOBS_CANCEL}))


def _new_id(prefix: str = "nightly") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def _start(engine: Engine, type: str, *inputs: Any, id: str | None = None, **more: Any) -> str:
    """Start a workflow as an operator does, past the API."""
    id = id or _new_id()
    more = {"task_queue": engine.parts.settings.task_queue, **more}
    await engine.parts.backend.client.start_workflow(type, args=list(inputs), id=id, **more)
    return id


async def _started_with(engine: Engine, job_id: str) -> dict[str, Any]:
    """The input of a workflow as the Temporal UI copies it."""
    history = await engine.history(job_id)
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    (value,) = await engine.parts.backend.client.data_converter.decode(payloads, [dict])
    copied: dict[str, Any] = value
    return copied


async def _alices(engine: Engine, target: str, input: dict[str, Any], **more: Any) -> str:
    request = StartRequest(kind=JobKind.WORKFLOW, target=target, input=input, **more)
    return (await engine.services.starter.start(ALICE, request)).job_id


async def _refused(engine: Engine, id: str) -> Job:
    job = await engine.ended(id, 20)
    assert job.state is JobState.FAILED, job
    assert job.error is not None
    page = await engine.services.reader.list(TESTER, JobFilter())
    assert id not in [row.id for row in page.rows]
    return job


async def test_a_copy_is_a_job_of_its_own_and_the_original_stays_as_it_was(engine: Engine) -> None:
    first = await _alices(engine, "t_three", {"topic": "tea"}, config=JobConfig(parallel_execution=False))
    await engine.ended(first)
    original = await engine.job(first)
    id = await _start(engine, "t_three", await _started_with(engine, first))
    copy = await engine.ended(id)
    assert (copy.id, copy.owner, copy.state, copy.definition) == (id, "alice", JobState.COMPLETED, "t_three")
    assert copy.config == original.config
    assert [call.attempts[0].number for call in copy.calls] == [1, 1, 1]
    assert copy.labels == {"started_by": "operator", "copy_of": first}
    rows = await engine.parts.backend.attempts.for_job(id)
    assert len(rows) == 3
    assert await engine.job(first) == original
    assert len(await engine.parts.backend.attempts.for_job(first)) == 3
    assert (await engine.services.reader.get(ALICE, id)).id == id
    assert id in [row.id for row in (await engine.services.reader.list(ALICE, JobFilter())).rows]


async def test_labels_and_the_name_of_a_copy_are_cut(engine: Engine) -> None:
    first = await _alices(engine, "t_three", {"topic": "tea"})
    await engine.ended(first)
    given = await _started_with(engine, first)
    labels = {f"{number} {'k' * 5000}": "v" * 5000 for number in range(100)}
    copy = await engine.ended(await _start(engine, "t_three", {**given, "name": "n" * 5000, "labels": labels}))
    assert copy.state is JobState.COMPLETED
    assert len(copy.name) <= 200
    assert len(copy.labels) == 22
    assert max(len(text) for label in copy.labels.items() for text in label) <= 200


async def test_a_copy_of_a_failing_job_ends_only_itself(engine: Engine) -> None:
    waiting = await _alices(engine, "t_approval", {})
    await engine.eventually(waiting, lambda job: job.waiting_steps == ["b"])
    id = await _start(engine, "t_approval", await _started_with(engine, waiting))
    await engine.eventually(id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.reject(ALICE, id, None, "not this one")
    assert (await engine.ended(id)).state is JobState.FAILED
    assert (await engine.job(waiting)).waiting_steps == ["b"]
    record = await engine.parts.backend.jobs.get(waiting)
    assert record is not None
    assert not record.state.terminal
    await engine.services.controller.approve(ALICE, waiting, None)
    assert (await engine.ended(waiting)).state is JobState.COMPLETED


async def test_a_plain_object_is_run_for_the_admin_with_the_catalogues_plan(engine: Engine) -> None:
    id = await _start(engine, "t_three", {"topic": "tea"}, id=_new_id("2026-11-26T08:00:00Z "))
    job = await engine.ended(id)
    assert (job.id, job.owner, job.state, job.input) == (id, "admin", JobState.COMPLETED, {"topic": "tea"})
    assert [call.step for call in job.calls] == ["a", "b", "c"]
    entries = [event.name for event in await engine.services.follower.past(TESTER, id, None)]
    assert entries[:2] == ["job.queued", "job.adopted"] or entries[:3] == ["job.queued", "job.started", "job.adopted"]
    assert entries[-1] == "job.completed"
    description = await engine.parts.backend.client.get_workflow_handle(id).describe()
    owner = SearchAttributeKey.for_keyword(names.ATTRIBUTE_OWNER)
    assert description.typed_search_attributes.get(owner) == "admin"


async def test_an_agent_can_be_started_and_so_can_a_workflow_in_code(engine: Engine) -> None:
    agent = await engine.ended(await _start(engine, "t_echo", {"topic": "tea"}))
    assert (agent.kind, agent.definition, agent.state) == (JobKind.AGENT, "t_echo", JobState.COMPLETED)
    id = await _start(engine, "t_countdown", {"seconds": 30})
    await engine.eventually(id, lambda job: job.owner == "admin")
    await engine.parts.backend.client.get_workflow_handle(id).signal("go")
    code = await engine.ended(id)
    assert (code.id, code.code, code.state, code.input) == (id, True, JobState.COMPLETED, {"seconds": 30})
    assert [call.step for call in code.calls] == ["go"]


async def test_a_start_without_an_input_is_one_with_an_empty_object(engine: Engine) -> None:
    job = await engine.ended(await _start(engine, "t_three"))
    assert (job.state, job.input) == (JobState.COMPLETED, {})


async def test_a_search_attribute_names_the_owner(engine: Engine) -> None:
    owner = SearchAttributePair(SearchAttributeKey.for_keyword(names.ATTRIBUTE_OWNER), "alice")
    id = await _start(engine, "t_three", {}, search_attributes=TypedSearchAttributes([owner]))
    await engine.ended(id)
    assert (await engine.services.reader.get(ALICE, id)).owner == "alice"


async def test_a_schedule_starts_jobs(engine: Engine) -> None:
    client = engine.parts.backend.client
    schedule_id, workflow_id = _new_id("every-night"), _new_id("report")
    action = ScheduleActionStartWorkflow(
        "t_three", {"topic": "tea"}, id=workflow_id, task_queue=engine.parts.settings.task_queue
    )
    schedule = await client.create_schedule(schedule_id, Schedule(action=action, spec=ScheduleSpec()))
    try:
        await schedule.trigger()

        async def started() -> list[str]:
            done = (await schedule.describe()).info.recent_actions
            return [each.action.workflow_id for each in done]

        (id,) = await eventually(started, lambda ids: len(ids) == 1)
    finally:
        await schedule.delete()
    assert id.startswith(f"{workflow_id}-")
    assert ":" in id
    job = await engine.ended(id)
    assert (job.state, job.owner) == (JobState.COMPLETED, "admin")
    assert job.labels == {"started_by": "schedule", "schedule": schedule_id}


@pytest.mark.parametrize("inputs", [{"with": {"topic": "tea"}}, {}], ids=["plain", "own_job"])
async def test_a_child_is_a_job_of_its_parents_owner(engine: Engine, inputs: dict[str, Any]) -> None:
    child = _new_id("child")
    parent = await _alices(engine, "t_parent", {"child": "t_three", "id": child, **inputs}, webhook_url=None)
    assert (await engine.ended(parent)).state is JobState.COMPLETED
    job = await engine.ended(child)
    assert (job.owner, job.definition, job.state) == ("alice", "t_three", JobState.COMPLETED)
    assert job.labels == {"started_by": "parent", "parent": parent}
    assert len(await engine.parts.backend.attempts.for_job(child)) == 3


async def test_a_child_gets_neither_a_plan_nor_an_owner_nor_large_parts_from_its_input(engine: Engine) -> None:
    large = {"topic": "tea " * 150_000}
    others = await engine.start("t_three", large)
    await engine.ended(others.job_id)
    (start, *_) = (await engine.history(others.job_id)).events
    forged = json.loads(start.workflow_execution_started_event_attributes.input.payloads[0].data)
    forged["plan"]["steps"] = forged["plan"]["steps"][:1]
    child = _new_id("child")
    parent = await _alices(engine, "t_parent", {"child": "t_three", "id": child, "with": forged})
    assert (await engine.ended(parent)).state is JobState.COMPLETED
    job = await engine.ended(child)
    assert (job.owner, job.input, len(job.calls)) == ("alice", forged["input"], 3)
    assert len(job.input["topic"]) < 1000


async def test_the_cancel_of_a_parent_reaches_its_child(engine: Engine) -> None:
    child = _new_id("child")
    parent = await _alices(engine, "t_parent", {"child": "t_slow", "id": child, "with": {}})
    await eventually(lambda: engine.parts.backend.jobs.get(child), lambda row: row is not None)
    await engine.services.controller.cancel(ALICE, parent, "enough", patience=20)
    assert (await engine.ended(parent)).state is JobState.CANCELLED
    assert (await engine.ended(child)).state is JobState.CANCELLED
    row = await engine.parts.backend.jobs.get(child)
    assert row is not None
    assert row.state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("type", "inputs", "words"),
    [
        ("t_strict", [{}], "Missing required field: topic"),
        ("t_three", [["tea"]], "must be a JSON object, not a list"),
        ("t_countdown", ["tea"], "must be a JSON object, not a text"),
        ("t_three", [{}, {}], "one input, but this workflow was started with 2"),
        ("t_at_init", [{}], "takes its input in __init__"),
    ],
)
async def test_what_cannot_be_a_job_is_refused_with_words(
    engine: Engine, type: str, inputs: list[Any], words: str
) -> None:
    id = await _start(engine, type, *inputs)
    with pytest.raises(WorkflowFailureError) as failure:
        await engine.parts.backend.client.get_workflow_handle(id).result()
    assert words in str(failure.value.cause)
    job = await _refused(engine, id)
    assert job.error is not None
    assert job.error.message.startswith("This workflow cannot be a job. ")
    assert words in job.error.message
    assert job.owner == ""


@pytest.mark.parametrize(("type", "form"), [("t_three", "plain"), ("t_countdown", "plain"), ("t_three", "other")])
async def test_a_worker_that_lacks_the_type_leaves_the_start_to_one_that_has_it(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], type: str, form: str
) -> None:
    queue, short = f"test-lacks-{uuid.uuid4().hex[:8]}", timedelta(seconds=1)
    more = {"task_queue": queue, "task_timeout": short}
    async with (
        running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue) as engine,
        running_engine(temporal_address, tmp_path, [BUILT_IN], task_queue=queue) as lacks,
    ):
        given = {"topic": "tea"}
        if form == "other":
            other = await lacks.start("market_research", given)
            given = {**await _started_with(lacks, other.job_id), "input": given}
        id = await _start(engine, type, given, **more)
        job = await engine.eventually(id, lambda job: job.reason is not None and job.reason.code is ReasonCode.STUCK)
        worker = lacks.parts.backend.client.identity
        assert (job.state, job.owner) == (JobState.PENDING, "")
        assert job.reason is not None
        assert job.reason.message == (
            f"Worker {worker} does not know workflow or agent {type!r}; "
            "the job waits for a worker whose plugins have it."
        )
        assert job.reason.last_error is not None
        assert job.reason.last_error.type == "unknown_workflow"
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, task_queue=queue) as engine:
        if type == "t_countdown":
            await engine.parts.backend.client.get_workflow_handle(id).signal("go")
        job = await engine.ended(id)
        assert (job.state, job.definition) == (JobState.COMPLETED, type)
        facts = [fact_of(event, "run") for event in (await engine.history(id)).events]
        assert len([fact for fact in facts if isinstance(fact, JobAdopted)]) == 1


async def test_a_type_that_no_worker_has_waits_with_words_until_it_is_cancelled(engine: Engine) -> None:
    id = await _start(engine, "t_unheard_of", {}, task_timeout=timedelta(seconds=1))
    job = await engine.eventually(id, lambda job: job.reason is not None and job.reason.code is ReasonCode.STUCK)
    assert job.reason is not None
    assert "does not know workflow or agent 't_unheard_of'" in job.reason.message
    assert id not in [row.id for row in (await engine.services.reader.list(TESTER, JobFilter())).rows]
    await engine.parts.backend.client.get_workflow_handle(id).cancel()
    assert (await engine.ended(id, 20)).state is JobState.CANCELLED


async def test_a_copy_that_was_changed_is_judged_again(engine: Engine) -> None:
    first = await _alices(engine, "t_strict", {"topic": "tea"})
    await engine.ended(first)
    copied = await _started_with(engine, first)
    empty = await _start(engine, "t_strict", {**copied, "input": {}})
    assert "Missing required field: topic" in str((await _refused(engine, empty)).error)
    hot = await _start(engine, "t_strict", {**copied, "config": {"temperature": 99}})
    assert "config.temperature" in str((await _refused(engine, hot)).error)
    other = await engine.ended(await _start(engine, "t_three", copied))
    assert (other.definition, other.owner, other.input) == ("t_three", "alice", {"topic": "tea"})
    assert len(other.calls) == 3


async def test_an_id_that_no_path_can_carry_is_refused(engine: Engine) -> None:
    id = await _start(engine, "t_three", {}, id=f"reports/{uuid.uuid4().hex}")
    with pytest.raises(WorkflowFailureError) as failure:
        await engine.parts.backend.client.get_workflow_handle(id).result()
    assert "cannot be the id of a job" in str(failure.value.cause)


@pytest.mark.parametrize(
    ("encoding", "data", "state"),
    [
        (b"json/protobuf", b'{"topic": "tea"}', JobState.COMPLETED),
        (b"binary/null", b"", JobState.COMPLETED),
        (b"binary/plain", b"\xff", JobState.FAILED),
        (b"json/plain", b'{"topic": "\\ud800"}', JobState.FAILED),
        (b"json/plain", b"{", JobState.FAILED),
    ],
)
@pytest.mark.parametrize("type", ["t_three", "t_countdown"])
async def test_no_encoding_of_an_input_holds_a_job(
    engine: Engine, type: str, encoding: bytes, data: bytes, state: JobState
) -> None:
    id, client = _new_id(), engine.parts.backend.client
    await client.workflow_service.start_workflow_execution(
        StartWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_id=id,
            workflow_type=WorkflowType(name=type),
            task_queue=TaskQueue(name=engine.parts.settings.task_queue),
            input=Payloads(payloads=[Payload(metadata={"encoding": encoding}, data=data)]),
            request_id=id,
        )
    )
    if type == "t_countdown" and state is JobState.COMPLETED:
        await client.get_workflow_handle(id).signal("go")
    assert (await engine.ended(id, 20)).state is state


async def test_an_adopted_job_is_paused_resumed_and_cancelled_like_any_other(engine: Engine) -> None:
    id = await _start(engine, "t_slow", {"seconds": 0.2})
    await engine.eventually(id, lambda job: job.owner == "admin")
    await engine.services.controller.pause(TESTER, id)
    await engine.eventually(id, lambda job: job.state is JobState.PAUSED)
    await engine.services.controller.resume(TESTER, id)
    assert (await engine.ended(id)).state is JobState.COMPLETED
    long = await _start(engine, "t_slow", {})
    await engine.eventually(long, lambda job: job.owner == "admin")
    await engine.services.controller.cancel(TESTER, long, "enough", patience=20)
    assert (await engine.ended(long)).state is JobState.CANCELLED


async def test_without_a_worker_only_an_admin_sees_it_and_early_signals_count(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        first = await _alices(engine, "t_three", {})
        id = await _start(engine, "t_three", await _started_with(engine, first))
        job = await engine.job(id)
        assert (job.id, job.owner, job.reason and job.reason.code) == (id, "", ReasonCode.NO_WORKER)
        with pytest.raises(NotFound):
            await engine.services.reader.get(ALICE, id)
        await engine.signal(id, names.SIGNAL_PAUSE, Control())
        async with engine.parts.workers.for_jobs():
            await engine.eventually(id, lambda job: job.owner == "alice" and job.state is JobState.PAUSED)
            await engine.services.controller.resume(ALICE, id)
            assert (await engine.ended(id)).state is JobState.COMPLETED


async def test_a_silent_index_holds_no_adoption_and_hears_of_the_job_later(engine: Engine) -> None:
    jobs = engine.parts.backend.jobs
    with sqlite3.connect(engine.parts.settings.data_dir / "index.sqlite3") as index:
        index.execute("ALTER TABLE jobs RENAME TO jobs_away")
        index.commit()
        id = await _start(engine, "t_three", {})
        assert await engine.parts.backend.client.get_workflow_handle(id).result() is not None
        detail = await engine.parts.backend.gateway.read(id)
        assert project(id, *detail).owner == "admin"
        index.execute("ALTER TABLE jobs_away RENAME TO jobs")
        index.commit()
    row = await eventually(lambda: jobs.get(id), lambda row: row is not None)
    assert (row.owner, row.definition, row.state.terminal) == ("admin", "t_three", False)
    await engine.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    row = await jobs.get(id)
    assert row is not None
    assert row.state is JobState.COMPLETED
    assert (await engine.job(id)).usage == project(id, *detail).usage


async def test_an_adopted_job_stays_one_job_over_continued_runs(tmp_path: Path) -> None:
    binary = await locate(os.environ)
    settings = {"limit.historyCount.suggestContinueAsNew": 25}
    async with (
        DevServer(binary, tmp_path, port=0, in_memory=True, settings=settings) as server,
        running_engine(server.address, tmp_path, [TEST_PLUGIN]) as engine,
    ):
        job = await engine.ended(await _start(engine, "t_long", {"topic": "tea"}))
        assert (job.state, job.progress, len(job.calls), job.owner) == (JobState.COMPLETED, 100, 12, "admin")
        entries = [event.name for event in await engine.services.follower.past(TESTER, job.id, None)]
        assert (entries.count("job.adopted"), entries.count("agent.completed")) == (1, 12)
        assert "job.continued" in entries
        # The last run was started with what the first ones had done; a copy of it begins with the first step.
        copied = await _started_with(engine, job.id)
        assert copied["carried"]["results"]
        copy = await engine.ended(await _start(engine, "t_long", copied))
        assert (copy.state, len(await engine.parts.backend.attempts.for_job(copy.id))) == (JobState.COMPLETED, 12)


async def test_a_large_input_is_carried_plain_and_as_a_copy(engine: Engine) -> None:
    large = {"topic": "tea " * 150_000}
    plain = await engine.ended(await _start(engine, "t_three", large))
    assert (plain.state, plain.input) == (JobState.COMPLETED, large)
    first = await _alices(engine, "t_three", large)
    await engine.ended(first)
    (start, *_) = (await engine.history(first)).events
    payload = start.workflow_execution_started_event_attributes.input.payloads[0]
    copied = await _start(engine, "t_three", RawValue(payload))
    copy = await engine.ended(copied)
    assert (copy.state, copy.input, copy.owner) == (JobState.COMPLETED, large, "alice")
    # The UI copies the data alone, without the payload's metadata and so without the references to large parts.
    data = json.loads(payload.data)
    assert len(data["input"]["topic"]) < 1000
    shown = await engine.ended(await _start(engine, "t_three", data))
    assert (shown.state, shown.input) == (JobState.COMPLETED, large)
    data["input"] = {"topic": "coffee"}
    assert (await engine.ended(await _start(engine, "t_three", data))).input == {"topic": "coffee"}
    for id in (plain.id, copied, shown.id):
        description = await engine.parts.backend.client.get_workflow_handle(id).describe()
        assert description.raw_info.history_size_bytes < 1_000_000


async def test_an_adopted_job_takes_a_slot_of_its_owner(engine: Engine) -> None:
    free = replace(ALICE, tier=Tier.FREE)
    first = await _alices(engine, "t_slow", {"seconds": 0.1})
    await engine.ended(first)
    id = await _start(engine, "t_slow", {**await _started_with(engine, first), "input": {}})
    await engine.eventually(id, lambda job: job.owner == "alice")
    request = StartRequest(kind=JobKind.WORKFLOW, target="t_three", input={})
    with pytest.raises(LimitExceeded) as refused:
        await engine.services.starter.start(free, request)
    assert id in refused.value.details["job_ids"]


async def test_an_input_made_by_hand_with_an_id_like_ours_is_in_lists_too(engine: Engine) -> None:
    first = await _alices(engine, "t_three", {})
    await engine.ended(first)
    id = f"wf_job_{uuid.uuid4().hex}"
    await engine.ended(await _start(engine, "t_three", {**await _started_with(engine, first), "job_id": id}, id=id))
    row = await engine.parts.backend.jobs.get(id)
    assert row is not None
    assert (row.owner, row.state) == ("alice", JobState.COMPLETED)


async def test_a_new_run_under_the_id_of_an_ended_job_is_that_job(engine: Engine) -> None:
    first = await _alices(engine, "t_three", {})
    await engine.ended(first)
    description = await engine.parts.backend.client.get_workflow_handle(first).describe()
    kept = description.typed_search_attributes.search_attributes
    attributes = TypedSearchAttributes([pair for pair in kept if pair.key.name.startswith("Job")])
    await _start(engine, "t_three", await _started_with(engine, first), id=first, search_attributes=attributes)
    assert (await engine.parts.backend.client.get_workflow_handle(first).result())["status"] == "success"
    facts = [fact_of(event, "run") for event in (await engine.history(first)).events]
    assert not [fact for fact in facts if isinstance(fact, JobAdopted)]
    job = project(first, facts)
    assert (job.owner, job.state) == ("alice", JobState.COMPLETED)


async def test_workflows_of_the_engine_itself_and_foreign_ones_are_no_jobs(engine: Engine) -> None:
    client = engine.parts.backend.client
    id = await _start(engine, names.WORKFLOW_RECONCILE, ReconcileRequest())
    await client.get_workflow_handle(id).result()
    with pytest.raises(NotFound):
        await engine.job(id)
    foreign = _new_id("foreign")
    await client.start_workflow("somebody_elses", id=foreign, task_queue="somewhere-else")
    with pytest.raises(NotFound):
        await engine.job(foreign)
    await client.get_workflow_handle(foreign).terminate()
