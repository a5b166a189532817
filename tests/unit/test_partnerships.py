"""Partnerships from what was measured, and decisions drafted from their context alone."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.decisions import AGENT, DecisionOutput
from orchestrator.domain.access import ORDINARY, Principal, Role
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.domain.ids import JobKind
from orchestrator.domain.metrics import ExecutionCounts, Overview, TimeSpan
from orchestrator.domain.plans import Step
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.runtime.offline.drafter import draft
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.reports.deployment import shown_value
from orchestrator.services.reports.partnerships import (
    CACHE_TIME,
    MAX_DELIVERABLES,
    Health,
    PartnershipReader,
    PartnershipReport,
    groups,
    health,
    percent,
)
from orchestrator.storage.work import Work
from tests.ledger import ledger

CATALOGUE = build_catalogue([BUILT_IN])
T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Measured:
    """What the services below would tell, and how often they were asked."""

    def __init__(self, ended: dict[str, ExecutionCounts], work: list[Work], *, worker: bool = True) -> None:
        self.ended, self.work, self.worker = ended, work, worker
        self.now = T0
        self.asked = 0
        self.owners: list[str | None] = []

    def clock(self) -> datetime:
        return self.now

    async def checks(self) -> list[Finding]:
        return [Finding.of("worker", ok=self.worker, message="")]

    async def overview(self, principal: Principal, length: timedelta) -> Overview:
        self.asked += 1
        self.owners.append(None if principal.admin else principal.id)
        return Overview(TimeSpan.last(length, self.now), ExecutionCounts(), self.ended, {}, [])

    async def calls_since(self, agents: Collection[str], *, since: datetime, owner: str | None) -> list[Work]:
        self.owners.append(owner)
        assert since == self.now - timedelta(hours=24)
        return [one for one in self.work if one.agent in agents]

    def reader(self) -> PartnershipReader:
        seen: Any = self
        return PartnershipReader(CATALOGUE, seen, seen, seen, clock=self.clock)


async def report(*args: Any, **more: Any) -> dict[str, Any]:
    reported: PartnershipReport = await Measured(*args, **more).reader().report(ADMIN)
    return {one.id: one for one in reported.partnerships}


@ledger("S-017")
def test_the_documented_partnerships_stand_before_the_squads():
    found = groups(CATALOGUE)
    assert [group.id for group in found[:2]] == ["cursor_technical", "grok_brand"]
    assert found[0].name == "Cursor Technical Partnership"
    assert {squad for group in found[2:] for squad in group.squads} == {a.squad for a in CATALOGUE.agents.values()}
    assert len({group.id for group in found}) == len(found)


@ledger("S-012", "S-017")
@pytest.mark.parametrize(
    ("successful", "failed", "word"),
    [
        (0, 0, Health.UNKNOWN),
        (1, 0, Health.EXCELLENT),
        (950, 50, Health.EXCELLENT),
        (949, 51, Health.GOOD),
        (871, 129, Health.GOOD),
        (849, 151, Health.FAIR),
        (70, 30, Health.FAIR),
        (69, 31, Health.POOR),
        (0, 1, Health.POOR),
    ],
)
def test_health_follows_the_score(successful: int, failed: int, word: Health):
    assert health(ExecutionCounts(successful=successful, failed=failed)) is word


@pytest.mark.parametrize(
    ("part", "whole", "reported"), [(0, 0, 0.0), (0, 3, 0.0), (2, 3, 66.7), (3, 3, 100.0), (9999, 10000, 99.9)]
)
def test_a_hundred_percent_is_all(part: int, whole: int, reported: float):
    assert percent(part, whole) == reported


@ledger("S-013", "S-016")
async def test_a_partnership_is_the_sum_of_its_agents():
    reported = await report(
        {
            "api_architect": ExecutionCounts(successful=3, failed=1, seconds=0.6),
            "cicd_engineer": ExecutionCounts(successful=1, seconds=0.2),
            "ui_ux_designer": ExecutionCounts(failed=2),
            "somebody_gone": ExecutionCounts(failed=9),
        },
        [
            Work("api_architect", "api_design", calls=3, completed=3, attempts=4, lost=1),
            Work("cicd_engineer", "api_design", calls=1, completed=0, attempts=1, lost=0),
            Work("api_architect", "execute", calls=1, completed=1, attempts=1, lost=0),
        ],
    )
    technical = reported["cursor_technical"]
    assert (technical.score, technical.response_time, technical.health) == (80.0, 200.0, Health.FAIR)
    assert (technical.progress, technical.uptime) == (80.0, 83.3)
    assert [(one.name, one.progress) for one in technical.deliverables] == [
        ("Api design", 75.0),
        ("API Architect", 100.0),
    ]
    assert (reported["backend_squad"].score, reported["devops_squad"].score) == (75.0, 100.0)
    assert (reported["grok_brand"].score, reported["grok_brand"].health) == (0.0, Health.POOR)
    assert reported["data_squad"].deliverables == []


@ledger("S-013")
@pytest.mark.parametrize(("worker", "uptime"), [(True, 100.0), (False, 0.0)])
async def test_without_work_uptime_is_whether_there_is_a_worker(worker: bool, uptime: float):
    reported = await report({}, [], worker=worker)
    assert {one.uptime for one in reported.values()} == {uptime}
    assert {one.health for one in reported.values()} == {Health.UNKNOWN}


async def test_only_so_many_deliverables_are_listed():
    work = [Work("api_architect", f"step_{n}", calls=n + 1, completed=0, attempts=1, lost=0) for n in range(50)]
    reported = (await report({}, work))["backend_squad"].deliverables
    assert [one.name for one in reported] == [f"Step {n}" for n in range(49, 49 - MAX_DELIVERABLES, -1)]


@ledger("S-025")
async def test_it_is_measured_once_in_five_seconds():
    measured = Measured({}, [])
    reader = measured.reader()
    first = await reader.report(ADMIN)
    measured.now += CACHE_TIME - timedelta(milliseconds=1)
    assert await reader.report(ADMIN) is first
    measured.now += timedelta(milliseconds=1)
    assert (await reader.report(ADMIN)).at == measured.now
    assert measured.asked == 2


async def test_a_key_receives_its_own_jobs_and_users_and_admins_everybodys():
    measured = Measured({}, [])
    reader = measured.reader()
    user = Principal(id="user:ada", scopes=ORDINARY, roles=frozenset({Role.ORCHESTRATION_MANAGER}))
    key = Principal(id="acme", scopes=ORDINARY)
    everybodys = await reader.report(ADMIN)
    assert await reader.report(user) is everybodys
    own = await reader.report(key)
    assert own is not everybodys
    assert await reader.report(key) is own
    assert measured.owners == [None, None, "acme", "acme"]


@ledger("S-026")
async def test_an_index_that_does_not_answer_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch):
    measured = Measured({}, [])
    reader = measured.reader()

    async def gone(*_: Any, **__: Any) -> list[Work]:
        raise Unavailable("The job index does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(measured, "calls_since", gone)
        with pytest.raises(Unavailable, match="does not answer"):
            await reader.report(ADMIN)
    with pytest.raises(Unavailable, match="does not answer"):
        await reader.report(ADMIN)
    assert measured.asked == 1
    measured.now += CACHE_TIME
    assert (await reader.report(ADMIN)).ready


def decided(context: dict[str, Any]) -> DecisionOutput:
    step = Step(id="execute", name=AGENT.name, squad=AGENT.squad, agents=(AGENT.id,))
    task = AgentTask(
        job_id="job_1",
        definition=AGENT.id,
        kind=JobKind.AGENT,
        step=step,
        agent=AGENT.id,
        input={"context": context},
    )
    return DecisionOutput.model_validate(draft(AGENT, task))


@ledger("S-014", "S-015")
def test_a_drafted_decision_keeps_to_time_and_money():
    decision = decided({"business_goal": "increase_revenue", "timeframe": "Q1_2025", "budget": 50000})
    assert decision.decision == "PILOT_INCREASE_REVENUE"
    assert "10000 of 50000" in decision.implementation_plan[1].action
    assert decision.implementation_plan[0].timeline == "first quarter of Q1_2025"
    assert "Spending stays within 50000" in decision.success_metrics


@ledger("S-014")
@pytest.mark.parametrize("context", [{}, {"budget": "$5,000"}, {"timeframe": "soon", "budget": 1}])
def test_without_a_goal_the_decision_is_to_ask_for_one(context: dict[str, Any]):
    decision = decided(context)
    assert decision.decision == "GATHER_CONTEXT"
    assert all(str(value) in decision.rationale for value in context.values())


@ledger("S-014")
def test_everything_that_is_given_is_passed_on():
    decision = decided({"company": "Acme", "goal": "Grow in Asia", "constraints": ["no layoffs"], "owner": "Ada"})
    for word in ("Acme", "Grow in Asia", "no layoffs", "Ada"):
        assert word in decision.rationale
    assert decision.decision == "PILOT_GROW_IN_ASIA"


def test_a_list_of_nothing_says_nothing():
    assert decided({"constraints": [" "]}).decision == "GATHER_CONTEXT"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@ledger("S-014", "S-015")
@given(st.dictionaries(st.sampled_from(["goal", "budget", "time", "name", "tools", "ü", ""]), JSON, max_size=5))
def test_any_context_is_decided_on(context: dict[str, Any]):
    decision = decided(context)
    assert [phase.phase for phase in decision.implementation_plan] == list(
        range(1, len(decision.implementation_plan) + 1)
    )


@ledger("S-019")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://user:p@ss/word@db:5432/index?sslpassword=x", "postgresql://db:5432/index"),
        ("https://llm.example/v1", "https://llm.example/v1"),
        ("plain words? yes", "plain words? yes"),
        (5, 5),
    ],
)
def test_a_url_is_shown_without_what_it_carries(value: Any, shown: Any):
    assert shown_value(value) == shown
