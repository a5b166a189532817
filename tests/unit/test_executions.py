"""Who performs a user's agent, and how executions and figures are reported; pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from api.dialects.agentorchestra import dashboard, mapping
from api.dialects.agentorchestra.document import served
from api.dialects.agentorchestra.paging import clamp
from orchestrator.agents.registry import AGENTS, UNLISTED
from orchestrator.domain.access import ORDINARY, Principal
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job, JobError, JobState
from orchestrator.domain.user_agents import (
    EXECUTING,
    UNAVAILABLE_AGENT,
    USER_AGENT,
    Dashboard,
    Estate,
    ExecutionTally,
    Framework,
    UserAgent,
    agent_id,
    is_user_agent,
)
from orchestrator.domain.webhooks import corrected, events_of
from orchestrator.services.jobs.start import Started, StartRequest
from orchestrator.services.user_agents.executions import (
    ExecutionRequest,
    Executions,
    Performer,
    model_settings,
    plan_for,
)
from tests.ledger import ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGENT = agent_id("0" * 32)


def job(state: JobState = JobState.COMPLETED, **more: Any) -> Job:
    labels = {"surface": "agentorchestra", "environment": "staging", "trigger": "manual"}
    fields: dict[str, Any] = {
        "id": "job_1",
        "run_id": "run",
        "kind": JobKind.AGENT,
        "definition": USER_AGENT,
        "name": "User Agent",
        "owner": "alice",
        "state": state,
        "progress": 100,
        "input": {"agent": "Scout", "input": {"topic": None}},
        "config": {},
        "subject": AGENT,
        "labels": {**labels, "agent_name": "Scout", "framework": "crewai", "executed_by": "native"},
        "created_at": NOON,
        "started_at": NOON + timedelta(seconds=1),
        "closed_at": NOON + timedelta(seconds=2.5),
    }
    return Job(**(fields | more))


def event(name: str, kind: EventType = EventType.AGENT_EVENT, **more: Any) -> JobEvent:
    fields: dict[str, Any] = {"state": JobState.RUNNING, "progress": 40, "message": "Written.", "timestamp": NOON}
    return JobEvent(id="run:7", type=kind, name=name, job_id="job_1", **(fields | more))


@ledger("O-018")
@pytest.mark.parametrize(
    ("configuration", "workers", "performer"),
    [
        ({}, (), Performer(USER_AGENT, "native")),
        ({"fallback": "native"}, ("autogen",), Performer(USER_AGENT, "native")),
        ({"fallback": "none"}, (), Performer(UNAVAILABLE_AGENT, "none")),
        ({}, ("crewai",), Performer(USER_AGENT, "crewai")),
        ({"fallback": "none"}, ("crewai", "autogen"), Performer(USER_AGENT, "crewai")),
    ],
)
def test_an_agent_is_performed_by_its_framework_or_by_what_the_fallback_says(
    configuration: dict[str, Any], workers: tuple[str, ...], performer: Performer
) -> None:
    assert plan_for("crewai", configuration, workers) == performer


@pytest.mark.parametrize("fallback", ["hope", None, [], 1])
def test_another_fallback_is_refused(fallback: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan_for("crewai", {"fallback": fallback}, ())
    assert refused.value.details["field"] == "configuration.fallback"


@ledger("O-022")
def test_the_model_settings_are_taken_from_the_configuration() -> None:
    given = {"model": "openai:gpt-4o", "temperature": 0.2, "maxTokens": 99, "role": "critic"}
    assert model_settings(given) == JobConfig(model="openai:gpt-4o", temperature=0.2, max_tokens=99)
    assert model_settings({}) == JobConfig()


@pytest.mark.parametrize("given", [{"maxTokens": 0}, {"temperature": "hot"}, {"model": {}}])
def test_model_settings_that_cannot_be_are_named(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        model_settings(given)
    assert refused.value.details["field"] == f"configuration.{next(iter(given))}"


@ledger("C-42")
def test_who_performs_users_agents_is_in_no_list() -> None:
    assert {agent.id for agent in UNLISTED} >= set(EXECUTING)
    assert not {agent.id for agent in AGENTS} & set(EXECUTING)
    assert not any(agent.listed for agent in UNLISTED)


@ledger("O-027", "O-030", "C-31", "C-35", "C-36")
def test_an_execution_reports_milliseconds_and_no_nulls_of_its_own() -> None:
    result = {"output": "done", "deliverables": [{"path": "a", "content": None}], "metadata": {"model": None}}
    answer = mapping.execution(job(result=result)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert answer["duration"] == 1500
    assert answer["output"] == {
        "output": "done",
        "deliverables": [{"path": "a"}],
        "metadata": {"executed_by": "native"},
    }
    assert answer["input"] == {"topic": None}  # as it came
    assert {"error", "cost"}.isdisjoint(answer)


@ledger("O-030", "C-31")
def test_every_state_has_a_status_of_the_document() -> None:
    known = served()["components"]["schemas"]["ExecutionStatus"]["enum"]
    assert {mapping.status_of(state) for state in JobState} == set(known)
    assert mapping.states_of("RUNNING") == [JobState.RUNNING, JobState.PAUSED]
    assert [state for status in known for state in mapping.states_of(status)] == list(JobState)


@ledger("C-50")
def test_a_stream_replays_an_execution_as_it_was() -> None:
    ended = job(result={"output": "done"}, error=JobError(type="x", message="y"))
    answer = mapping.progress(ended, event("agent.completed")).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert (answer["status"], answer["progress"]) == ("RUNNING", 40)
    assert {"output", "error", "duration", "completedAt"}.isdisjoint(answer)


@ledger("O-029", "O-031")
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("agent.scheduled", "DEBUG"),
        ("job.started", "INFO"),
        ("agent.completed", "INFO"),
        ("job.cancelling", "WARN"),
        ("agent.failed", "ERROR"),
        ("job.stuck", "ERROR"),
        ("job.failed", "FATAL"),
        ("job.timeout", "FATAL"),
    ],
)
def test_every_event_has_a_level(name: str, level: str) -> None:
    line = mapping.log_line(event(name, data={"agent": "x", "cost": None}))
    assert (line.id, line.level, line.message) == ("run:7", level, "Written.")
    assert line.metadata == {"event": name, "progress": 40, "agent": "x"}


def test_a_log_does_not_repeat_the_output() -> None:
    line = mapping.log_line(event("job.completed", EventType.JOB_COMPLETED, data={"output": {"output": "long"}}))
    assert line.metadata == {"event": "job.completed", "progress": 40}


@ledger("O-018")
@pytest.mark.parametrize(("executed_by", "lines"), [("native", 1), ("none", 1), ("crewai", 0)])
def test_the_log_says_when_the_framework_did_not_run(executed_by: str, lines: int) -> None:
    labels = job().labels | {"executed_by": executed_by}
    answer = mapping.logs(job(labels=labels), [])
    assert [(line.level, line.metadata["executed_by"]) for line in answer] == [("WARN", executed_by)] * lines


@ledger("O-047")
@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2)])
def test_the_last_page_may_be_short(total: int, pages: int) -> None:
    assert mapping.pagination(1, 10, total).pages == pages


@ledger("C-38")
@pytest.mark.parametrize(("value", "taken"), [(-5, 1), (0, 1), (7, 7), (100, 100), (10**30, 100)])
def test_what_is_beyond_an_undeclared_bound_is_the_bound(value: int, taken: int) -> None:
    assert clamp(value, 1, 100) == taken


@ledger("O-042")
@pytest.mark.parametrize(
    ("now", "before", "change", "way"),
    [(0, 0, 0.0, "up"), (3, 0, 100.0, "up"), (3, 2, 50.0, "up"), (1, 3, -66.7, "down"), (2, 2, 0.0, "up")],
)
def test_a_trend_is_percent_of_what_was(now: int, before: int, change: float, way: str) -> None:
    report = dashboard.trend(now, before)
    assert (report.value, report.change, report.trend) == (now, change, way)


@ledger("O-042", "O-049")
@pytest.mark.parametrize(
    ("tokens", "cost", "report"),
    [(10, 0.5, {"cost": 0.5}), (10, 0.0, {"cost": 0.0}), (0, None, {"cost": 0}), (10, None, {})],
)
def test_an_unknown_cost_is_not_reported(tokens: int, cost: float | None, report: dict[str, float]) -> None:
    tally = ExecutionTally(date(2026, 11, 20), Framework.CREWAI, JobState.COMPLETED, 1, 2.0, tokens=tokens, cost=cost)
    period = Dashboard(NOON, NOON, [tally], 0, Estate(0, 0, {}, 0, 0, 0))
    charts = dashboard.metrics(period, []).charts
    for sums in (charts.performance, charts.execution_trends[0]):
        assert {name: value for name, value in sums.items() if name == "cost"} == report


@ledger("O-042")
def test_the_dashboard_has_every_day_and_every_framework() -> None:
    def tally(day: int, framework: Framework, state: JobState, total: int, seconds: float = 0) -> ExecutionTally:
        return ExecutionTally(date(2026, 11, day), framework, state, total, seconds, tokens=10, cost=0.5)

    tallies = [
        tally(19, Framework.ORCA, JobState.COMPLETED, 3, seconds=6),
        tally(19, Framework.CREWAI, JobState.TIMEOUT, 1),
        tally(20, Framework.CREWAI, JobState.CANCELLED, 1),
    ]
    estate = Estate(1, 2, {Framework.AUTOGEN: 4}, 2, 0, 1)
    report = dashboard.metrics(Dashboard(NOON - timedelta(days=2), NOON, tallies, 10, estate), [job()])
    assert [(day["date"], day["executions"], day["failed"]) for day in report.charts.execution_trends] == [
        ("2026-11-18", 0, 0),
        ("2026-11-19", 4, 1),
        ("2026-11-20", 1, 0),
    ]
    shares = [(one["framework"], one["agents"], one["percentage"]) for one in report.charts.framework_distribution]
    assert shares == [("autogen", 4, 0.0), ("crewai", 0, 40.0), ("orca", 0, 60.0)]
    performance = report.charts.performance
    assert (performance["successRate"], performance["avgExecutionTime"], performance["cancelled"]) == (75.0, 2000.0, 1)
    assert (performance["tokensUsed"], performance["cost"]) == (30, 1.5)
    overview = report.overview
    assert (overview.frameworks.change, overview.saved_configs.change, overview.executions.change) == (-1, -1, -50.0)


@ledger("C-52")
@pytest.mark.parametrize(
    ("state", "events"),
    [
        (JobState.COMPLETED, ["job.completed", "execution.completed"]),
        (JobState.FAILED, ["job.failed", "execution.failed"]),
        (JobState.TIMEOUT, ["job.failed", "execution.failed"]),
        (JobState.CANCELLED, ["job.failed", "execution.cancelled"]),
    ],
)
def test_the_end_of_an_execution_is_reported_in_both_words(state: JobState, events: list[str]) -> None:
    assert events_of(state, AGENT) == events
    assert corrected("execution.completed", state, AGENT) == events[1]
    assert corrected("job.completed", state, AGENT) == events[0]
    assert events_of(state, None) == events[:1]
    assert not is_user_agent("agent_scout")


class Remembered:
    """Stands in for what an execution is started with: an agent that is gone once it has been found, and the rest."""

    def __init__(self) -> None:
        at = {"created_at": NOON, "updated_at": NOON}
        made = UserAgent(AGENT, "alice", "Scout", None, Framework.ORCA, {}, [], True, **at)
        self._found = [made, None]
        self.cancelled: list[str] = []

    async def find(self, owner: str, agent: str) -> UserAgent | None:
        return self._found.pop(0)

    async def named(self, *_: Any) -> None: ...

    async def has_framework_workers(self, _: str) -> bool:
        return False

    async def start(self, principal: Principal, request: StartRequest) -> Started:
        return Started("job_1", request.kind, request.target, NOON, None, replayed=False)

    async def cancel(self, principal: Principal, job_id: str, *_: Any, **__: Any) -> None:
        self.cancelled.append(job_id)


@ledger("O-015", "C-41")
async def test_an_execution_that_began_while_its_agent_was_deleted_is_cancelled() -> None:
    parts: Any = Remembered()
    executions = Executions(
        parts,
        parts,
        parts,
        configurations=parts,
        starter=parts,
        reader=parts,
        controller=parts,
        clock=lambda: NOON,
    )
    with pytest.raises(NotFound):
        await executions.start(Principal("alice", ORDINARY), ExecutionRequest(AGENT, {}, {}))
    assert parts.cancelled == ["job_1"]
