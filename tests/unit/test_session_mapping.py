"""Sessions and jobs: the pure mapping of the surface of workflows by type."""

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from api.dialects.orchestrator import mapping
from api.dialects.orchestrator.cache import APICache
from api.dialects.orchestrator.models import WorkflowRequest
from api.dialects.orchestrator.socket import updates
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AgentCall, CallStatus, Job, JobError, JobState
from orchestrator.domain.json_schema import check_input
from orchestrator.domain.labels import JobLabel
from tests.ledger import ledger
from workflows.registry import DEFINITIONS

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SESSION = "6f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f9"


def job(state: JobState = JobState.RUNNING, calls: tuple[tuple[str, str, CallStatus], ...] = (), **more: Any) -> Job:
    fields: dict[str, Any] = {
        "id": mapping.job_of(SESSION),
        "run_id": "run",
        "kind": JobKind.WORKFLOW,
        "definition": "full_stack_development",
        "name": "Full",
        "owner": "public",
        "state": state,
        "progress": 100 if state is JobState.COMPLETED else 50,
        "input": {},
        "config": {},
        "labels": {"surface": mapping.SURFACE, "workflow_type": "full"},
        "calls": [AgentCall(step=step, agent=agent, title=step, status=status) for step, agent, status in calls],
        "created_at": NOW,
        "closed_at": NOW if state.terminal else None,
    }
    return Job(**{**fields, **more})


@ledger("M-021", "M-011", "C-43")
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.id)
def test_requirements_alone_make_a_valid_input_for_every_workflow(definition: Any):
    request = WorkflowRequest(requirements="Create a simple API", workflow_type=definition.id)
    command = mapping.to_command(request, definition, SESSION)
    check_input(definition.input_schema, command.input)
    assert "Create a simple API" in str(command.input)


@ledger("M-056")
def test_the_configuration_fills_the_input_and_overrides_the_model():
    definition = next(one for one in DEFINITIONS if one.id == "api_development")
    configuration = {"api_type": "graphql", "api_name": "Orders", "temperature": 0.2, "model": "openai:gpt"}
    request = WorkflowRequest(
        requirements="Orders", workflow_type="api_development", configuration=configuration, priority="high"
    )
    command = mapping.to_command(request, definition, SESSION)
    assert command.input == {
        "description": "Orders",
        "api_type": "graphql",
        "api_name": "Orders",
    }
    assert command.config == JobConfig(model="openai:gpt", temperature=0.2)
    assert command.labels["priority"] == "high"


def test_overrides_that_are_none_are_refused():
    request = WorkflowRequest(requirements="x", workflow_type="full", configuration={"temperature": "hot"})
    with pytest.raises(InvalidInput) as refused:
        mapping.to_command(request, DEFINITIONS[0], SESSION)
    assert refused.value.details["field"] == "configuration"


@ledger("C-29", "M-016")
def test_a_session_id_leads_to_its_job_and_the_job_reveals_nothing_of_it():
    native = mapping.job_of(SESSION)
    assert native == mapping.job_of(SESSION.upper())
    request = WorkflowRequest(requirements="x", workflow_type="full")
    assert mapping.to_command(request, DEFINITIONS[0], SESSION).id_tail == native[7:]
    assert uuid.UUID(SESSION).hex[:4] not in native
    with pytest.raises(NotFound):
        mapping.job_of("not-a-session")


def test_the_id_of_a_job_opens_no_session_but_one_of_an_earlier_release():
    read_in_a_log = str(uuid.UUID(hex=mapping.job_of(SESSION).rpartition("_")[2]))
    assert mapping.former_job_of(read_in_a_log) == mapping.job_of(SESSION)
    labels = {"surface": mapping.SURFACE, "workflow_type": "full"}
    assert not mapping.is_session(job(labels={**labels, JobLabel.SESSION_ID_HIDDEN: "true"}), read_in_a_log)
    assert mapping.is_session(job(labels={**labels, JobLabel.SESSION_ID_HIDDEN: "true"}), SESSION)
    assert mapping.is_session(job(id=mapping.former_job_of(SESSION), labels=labels), SESSION)
    assert not mapping.is_session(job(labels={}), SESSION)


@ledger("M-013", "M-026", "C-31")
@pytest.mark.parametrize(
    ("state", "status"),
    [
        (JobState.PENDING, "queued"),
        (JobState.RUNNING, "running"),
        (JobState.PAUSED, "running"),
        (JobState.COMPLETED, "completed"),
        (JobState.FAILED, "failed"),
        (JobState.CANCELLED, "failed"),
        (JobState.TIMEOUT, "failed"),
    ],
)
def test_every_state_has_a_status(state: JobState, status: str):
    answer = mapping.from_job(SESSION, job(state), None)
    assert answer.status == status
    assert (answer.completed_at is not None) == (status == "completed")
    assert (answer.failed_at is not None) == (status == "failed")
    assert (answer.error is not None) == (status == "failed")


def test_a_cancelled_session_says_so():
    assert (
        mapping.error_text(job(JobState.CANCELLED, cancel_reason="no longer needed")) == "cancelled: no longer needed"
    )
    assert mapping.error_text(job(JobState.TIMEOUT)) == "timeout"
    failed = job(JobState.FAILED, error=JobError(type="rejected", message="no", step="build"))
    assert mapping.error_text(failed) == "no"
    assert mapping.from_job(SESSION, failed, None).errors == [{"phase": "build", "type": "rejected", "message": "no"}]


def test_phases_follow_the_steps():
    calls = (
        ("plan", "a", CallStatus.COMPLETED),
        ("build", "b", CallStatus.COMPLETED),
        ("build", "c", CallStatus.RUNNING),
        ("test", "d", CallStatus.PENDING),
    )
    answer = mapping.from_job(SESSION, job(calls=calls), None)
    assert answer.phases_completed == ["plan"]
    assert answer.current_phase == "build"
    assert answer.partial_results == {"calls_completed": ["plan.a", "build.b"]}


@ledger("M-014", "C-63")
def test_generated_code_is_the_code_among_the_deliverables():
    files = [
        {"path": "app/main.py", "content": "print(1)"},
        {"path": "Dockerfile", "content": "FROM scratch"},
        {"path": "reports/plan.md", "content": "# Plan"},
        {"path": "gone.py", "content": None},
    ]
    output = {"status": "success", "output": "x", "deliverables": files}
    answer = mapping.from_job(SESSION, job(JobState.COMPLETED), output)
    assert answer.generated_code == {"app/main.py": "print(1)", "Dockerfile": "FROM scratch"}
    assert "generated_code" not in mapping.from_job(SESSION, job(), None).model_dump()


def event(name: str, kind: EventType, progress: int, **data: Any) -> JobEvent:
    return JobEvent(
        id="run:1",
        type=kind,
        name=name,
        job_id="wf_job_1",
        state=JobState.RUNNING,
        progress=progress,
        current_step=data.get("step"),
        message="",
        timestamp=NOW,
        data=data,
    )


@ledger("M-027")
def test_a_phase_is_complete_with_its_last_call():
    left = Counter({"build": 2})
    first = event("agent.completed", EventType.JOB_PROGRESS, 10, step="build", agent="a")
    second = event("agent.completed", EventType.JOB_PROGRESS, 20, step="build", agent="b")
    assert updates(first, left) == [{"type": "progress", "value": 10, "phase": "build"}]
    assert updates(second, left) == [
        {"type": "progress", "value": 20, "phase": "build"},
        {"type": "phase_complete", "phase": "build"},
    ]


@ledger("M-050")
async def test_the_cache_keeps_an_answer_for_its_time():
    clock = [0.0]
    cache = APICache(ttl=300, timer=lambda: clock[0])
    key = cache.get_key("workflow-types", {})
    assert key == "fc2d4e144145b68ade0a5b47a39b2d27"  # MD5 of `workflow-types:{}`
    assert await cache.get(key) is None
    await cache.set(key, {"a": 1})
    clock[0] = 299.9
    assert await cache.get(key) == {"a": 1}
    clock[0] = 300.0
    assert await cache.get(key) is None
