"""What the status of a workflow says before and after it became a job."""

import pytest
from temporalio.api.common.v1 import Payload

from orchestrator.domain import facts as f
from orchestrator.domain import names
from orchestrator.domain.commands import JobInput, PlainInput
from orchestrator.domain.ids import addressable
from orchestrator.domain.jobs import JobState
from orchestrator.engine.payloads import JobPayloadConverter
from orchestrator.projection.events import job_events
from orchestrator.projection.job import job_input, project
from tests.unit.histories import History, step
from tests.unit.histories import job_input as given

COPY = "nightly-1"


def _adopted(history: History) -> JobInput:
    return history.job.model_copy(update={"job_id": COPY, "labels": {"started_by": "operator", "copy_of": "wf_job_1"}})


def test_the_owner_that_a_copy_names_counts_only_once_it_is_adopted() -> None:
    history = History(given(step("a"), step("b")))
    before = project(COPY, history.facts)
    assert (before.owner, before.definition, before.input, before.calls) == ("", history.job.definition, {}, [])
    assert job_input(COPY, history.facts) is None
    history.add(f.JobAdopted, job=_adopted(history))
    after = project(COPY, history.facts)
    assert (after.owner, after.labels["copy_of"]) == (history.job.owner, "wf_job_1")
    assert [(call.step, call.agent) for call in after.calls] == history.job.plan.calls()
    assert job_input(COPY, history.facts) == _adopted(history)
    (event,) = [event for event in job_events(COPY, history.facts) if event.name == "job.adopted"]
    assert event.data == {"started_by": "operator", "copy_of": "wf_job_1"}


def test_a_signal_that_came_before_the_adoption_counts_as_the_workflow_counts_it() -> None:
    history = History(given(step("a"), step("b")))
    history.signal(names.SIGNAL_PAUSE).task()
    assert project(COPY, history.facts).state is JobState.RUNNING
    history.add(f.JobAdopted, job=_adopted(history))
    assert project(COPY, history.facts).state is JobState.PAUSED


@pytest.mark.parametrize(
    ("encoding", "data", "value"),
    [
        (b"json/plain", b'{"topic": "tea"}', {"topic": "tea"}),
        (b"json/protobuf", b'{"topic": "tea"}', {"topic": "tea"}),
        (b"json/plain", b"[1]", [1]),
        (b"json/plain", b"{", "{"),
        (b"json/plain", b'"\\ud800"', '"\\ud800"'),
        (b"binary/plain", b"\xff", "\ufffd"),
        (b"binary/null", b"", None),
    ],
)
def test_what_is_no_job_can_be_read_where_a_job_is_expected(encoding: bytes, data: bytes, value: object) -> None:
    payload = Payload(metadata={"encoding": encoding}, data=data)
    read = JobPayloadConverter().from_payload(payload, JobInput)
    assert isinstance(read, PlainInput)
    assert (read.job_id, read.value) == ("", value)


def test_the_input_of_a_job_is_read_as_it_was_written() -> None:
    job, converter = History(given(step("a"), step("b"))).job, JobPayloadConverter()
    assert converter.from_payload(converter.to_payload(job), JobInput) == job
    assert converter.from_payload(converter.to_payload({"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    ("id", "possible"),
    [
        ("wf_job_1", True),
        ("report-2026-11-26T08:00:00Z", True),
        ("Bericht für Q3", True),
        ("", False),
        ("..", False),
        ("reports/daily", False),
        ("two\nlines", False),
        ("x" * 256, False),
    ],
)
def test_ids_that_one_segment_of_a_path_can_carry(id: str, possible: bool) -> None:
    assert addressable(id) is possible
