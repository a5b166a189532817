"""A job that is read while its log grows is the job that a read of the whole log returns, at every length."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from orchestrator.domain import facts as f
from orchestrator.domain.facts import Fact
from orchestrator.domain.ids import JobKind
from orchestrator.projection.events import job_events
from orchestrator.projection.facts import fact_of
from orchestrator.projection.job import JobFold, project
from orchestrator.projection.log_fold import LogFold, event_fold, job_fold
from tests.replay.record import HISTORIES
from tests.unit.histories import START, History, job_input, step

FILES = sorted(HISTORIES.glob("*.json"))


def facts_of(path: Path) -> tuple[str, list[Fact]]:
    events = WorkflowHistory.from_json(path.stem, path.read_text()).events
    job_id = events[0].workflow_execution_started_event_attributes.workflow_id or path.stem
    return job_id, [fact_of(event, "run") for event in events]


def assert_same(job_id: str, log: list[Fact], job: LogFold[JobFold]) -> None:
    assert job.current(log).job().model_dump_json() == project(job_id, log).model_dump_json()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reads_of_a_growing_log_return_what_one_read_of_it_returns(path: Path) -> None:
    job_id, facts = facts_of(path)
    log: list[Fact] = []
    job, events = job_fold(job_id), event_fold(job_id)
    for fact in facts:
        log.append(fact)
        if len(log) % 5 == 1 or len(log) == len(facts):
            assert_same(job_id, log, job)
            assert events.current(log).events == job_events(job_id, log)


def test_a_read_applies_only_the_new_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Fact] = []
    apply = JobFold.apply

    def counted(self: JobFold, fact: Fact) -> None:
        applied.append(fact)
        apply(self, fact)

    monkeypatch.setattr(JobFold, "apply", counted)
    log = History(job_input(step("one"))).task().completed("one", "one_agent").facts
    job = job_fold("wf_job_1")
    job.current(log[:0])
    job.current(log)
    assert applied == log
    job.current(log)
    assert applied == log


def test_a_read_after_a_reset_begins_with_the_new_log() -> None:
    job = job_fold("wf_job_1")
    assert_same("wf_job_1", History(job_input(step("one"))).task().completed("one", "one_agent").facts, job)
    assert_same("wf_job_1", History(job_input(step("one"))).task().facts, job)


def test_a_fact_that_cannot_be_applied_fails_every_read() -> None:
    class Unknown(f.Fact):
        """No fold knows it."""

    log = History(job_input(step("one"), kind=JobKind.WORKFLOW)).task().facts
    job = job_fold("wf_job_1")
    assert_same("wf_job_1", log, job)
    log.append(Unknown(event_id=9, run_id="run-1", time=START))
    for _ in range(2):
        with pytest.raises(TypeError, match="no fold for Unknown"):
            job.current(log)
