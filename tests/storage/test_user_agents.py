"""Users' agents, their executions and saved configurations in the index, on both databases."""

from datetime import date, timedelta
from typing import Any

import pytest

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, JobState
from orchestrator.domain.user_agents import USER_AGENT, AgentStatus, Configuration, Framework, UserAgent
from orchestrator.storage.configurations import ConfigurationRepository
from orchestrator.storage.database import Database
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.user_agents import UserAgentRepository
from tests.ledger import ledger
from tests.storage.ended import attempt_row, job_row, write
from tests.storage.rows import T0, accepted, at, closed, job_input

MONTH = timedelta(days=30)


@pytest.fixture
def agents(database: Database) -> UserAgentRepository:
    return UserAgentRepository(database)


@pytest.fixture
def executions(database: Database) -> ExecutionRepository:
    return ExecutionRepository(database)


@pytest.fixture
def configurations(database: Database) -> ConfigurationRepository:
    return ConfigurationRepository(database)


def user_agent(number: int = 1, **more: Any) -> UserAgent:
    fields: dict[str, Any] = {
        "id": f"agent_{number:032x}",
        "owner": "alice",
        "name": "Scout ü",
        "description": None,
        "framework": Framework.CREWAI,
        "configuration": {"z": 1, "a": [None, "nul \0"]},
        "tags": ["b", "a"],
        "active": True,
        "created_at": at(number),
        "updated_at": at(number),
    }
    return UserAgent(**(fields | more))


def configuration(number: int = 1, **more: Any) -> Configuration:
    fields: dict[str, Any] = {
        "id": f"config_{number}",
        "owner": "alice",
        "name": f"Style {number}",
        "description": None,
        "framework": Framework.CREWAI,
        "configuration": {"z": 1, "a": [None]},
        "template": False,
        "public": False,
        "usage_count": 0,
        "created_at": at(number),
        "updated_at": at(number),
    }
    return Configuration(**(fields | more))


def execution(job_id: str, state: JobState = JobState.COMPLETED, agent: int = 1, **more: Any) -> dict[str, Any]:
    about = {"kind": JobKind.AGENT, "definition": USER_AGENT, "subject": user_agent(agent).id}
    return job_row(job_id, state, **about | more)


async def status(agents: UserAgentRepository, number: int = 1) -> AgentStatus:
    found = await agents.get("alice", user_agent(number).id)
    assert found is not None
    return found.status


@ledger("O-009", "O-016")
async def test_an_agent_is_kept_as_it_was_made(agents: UserAgentRepository):
    made = user_agent()
    await agents.add(made, most=100)
    found = await agents.get("alice", made.id)
    assert found is not None
    assert (found.agent, found.status, found.figures.total) == (made, AgentStatus.IDLE, 0)
    assert await agents.find("alice", made.id) == made
    assert await agents.get("bob", made.id) is None
    assert await agents.find("bob", made.id) is None
    assert not await agents.change("bob", made.id, name="Mine")
    assert await agents.change("alice", made.id, name="Ranger", active=False)
    assert await status(agents) is AgentStatus.STOPPED


@ledger("O-019", "C-71")
@pytest.mark.parametrize(
    ("states", "report"),
    [
        ([], AgentStatus.IDLE),
        ([JobState.COMPLETED], AgentStatus.IDLE),
        ([JobState.PENDING, JobState.FAILED], AgentStatus.RUNNING),
        ([JobState.RUNNING, JobState.PAUSED], AgentStatus.RUNNING),
        ([JobState.PAUSED, JobState.FAILED], AgentStatus.PAUSED),
        ([JobState.COMPLETED, JobState.FAILED], AgentStatus.ERROR),
        ([JobState.COMPLETED, JobState.TIMEOUT], AgentStatus.ERROR),
        ([JobState.FAILED, JobState.CANCELLED], AgentStatus.IDLE),
    ],
)
async def test_the_status_follows_the_executions(
    agents: UserAgentRepository, database: Database, states: list[JobState], report: AgentStatus
):
    await agents.add(user_agent(), most=100)
    rows = [execution(f"job_{n}", state, created_at=at(n)) for n, state in enumerate(states)]
    others = [
        execution("job_bobs", JobState.RUNNING, owner="bob"),
        execution("job_other", JobState.RUNNING, definition="api_development"),
    ]
    await write(database, job_rows=[*rows, *others])
    assert await status(agents) is report
    for wanted in AgentStatus:
        page, total = await agents.list("alice", framework=None, status=wanted, limit=10, offset=0)
        assert (len(page), total) == ((1, 1) if wanted is report else (0, 0))


@ledger("O-016")
async def test_the_figures_are_counted_from_the_executions(agents: UserAgentRepository, database: Database):
    await agents.add(user_agent(1), most=100)
    await agents.add(user_agent(2), most=100)
    await write(
        database,
        job_rows=[
            execution("job_1", seconds=2, created_at=at(1)),
            execution("job_2", seconds=4, created_at=at(3)),
            execution("job_3", JobState.FAILED, seconds=100, created_at=at(2)),
            execution("job_4", owner="bob", created_at=at(9)),
        ],
    )
    page, total = await agents.list("alice", framework=None, status=None, limit=10, offset=0)
    assert ([one.agent.id for one in page], total) == ([user_agent(2).id, user_agent(1).id], 2)
    unused, used = (one.figures for one in page)
    assert (unused.total, unused.mean_seconds, unused.last_at) == (0, None, None)
    assert (used.total, used.successful, used.last_at) == (3, 2, at(3))
    assert used.mean_seconds == pytest.approx(3, abs=0.01)


@ledger("O-015", "O-020", "C-41")
async def test_a_deleted_agent_takes_its_executions_along(
    agents: UserAgentRepository, executions: ExecutionRepository, database: Database
):
    await agents.add(user_agent(1), most=100)
    await agents.add(user_agent(2), most=100)
    rows = [execution("job_1", JobState.RUNNING), execution("job_2", JobState.PAUSED), execution("job_3")]
    await write(database, job_rows=[*rows, execution("job_4", JobState.RUNNING, agent=2)])
    assert sorted(await executions.open("alice", user_agent(1).id)) == ["job_1", "job_2"]
    assert await agents.delete("alice", user_agent(1).id, at=T0)
    assert not await agents.delete("alice", user_agent(1).id, at=T0)
    assert await agents.get("alice", user_agent(1).id) is None
    assert sorted(await executions.open("alice", user_agent(1).id)) == ["job_1", "job_2"]
    assert await executions.open("bob", user_agent(1).id) == []
    assert (await executions.list("alice", agent_id=user_agent(1).id, states=None, limit=9, offset=0))[1] == 0
    page, total = await agents.list("alice", framework=None, status=None, limit=10, offset=0)
    assert ([one.agent.id for one in page], total) == ([user_agent(2).id], 1)
    report = await executions.dashboard("alice", before=T0 - 2 * MONTH, since=T0 - MONTH, until=at(60))
    assert [tally.total for tally in report.tallies] == [1]


@ledger("O-020", "O-027")
async def test_executions_are_listed_open_and_ended(
    agents: UserAgentRepository, executions: ExecutionRepository, jobs: JobRepository
):
    await agents.add(user_agent(), most=100)
    for number in range(3):
        job = job_input(
            f"job_{number}", agents=1, kind=JobKind.AGENT, definition=USER_AGENT, subject=user_agent().id,
            labels={"surface": "agentorchestra"},
        )  # fmt: skip
        await accepted(jobs, job, number)
    await accepted(jobs, job_input("wf_job_9"))
    snapshot = {
        "id": "job_0", "run_id": "run", "kind": "agent", "definition": USER_AGENT, "name": "User Agent",
        "owner": "alice", "state": "FAILED", "progress": 0, "input": {}, "config": {},
        "created_at": at(0).isoformat(), "result": {"output": "done"},
    }  # fmt: skip
    await closed(jobs, "job_0", JobState.FAILED, snapshot=snapshot)
    await closed(jobs, "job_1", JobState.FAILED, snapshot=None, events=None)
    wanted: dict[str, Any] = {"agent_id": None, "states": None, "limit": 10, "offset": 0}
    page, total = await executions.list("alice", **wanted)
    assert [(job.id, job.state, job.run_id) for job in page] == [
        ("job_2", JobState.PENDING, ""),
        ("job_1", JobState.FAILED, ""),
        ("job_0", JobState.FAILED, "run"),
    ]
    assert (page[0].labels, page[0].input["z"], page[2].result) == (
        {"surface": "agentorchestra"},
        1,
        {"output": "done"},
    )
    assert page[1].error is not None
    assert total == 3
    failed, total = await executions.list("alice", **wanted | {"states": [JobState.FAILED], "limit": 1, "offset": 1})
    assert ([job.id for job in failed], total) == (["job_0"], 2)
    assert await executions.list("alice", **wanted | {"agent_id": "agent_0"}) == ([], 0)
    assert await executions.list("bob", **wanted) == ([], 0)


@ledger("O-042")
async def test_the_dashboard_sums_a_period_and_the_one_before(
    agents: UserAgentRepository,
    executions: ExecutionRepository,
    configurations: ConfigurationRepository,
    database: Database,
):
    old, new = T0 - MONTH - timedelta(days=1), T0 - timedelta(days=2)
    await agents.add(user_agent(1, created_at=old), most=100)
    await agents.add(user_agent(2, created_at=new, framework=Framework.ORCA, active=False), most=100)
    await agents.add(user_agent(3, created_at=old, framework=Framework.AUTOGEN), most=100)
    await agents.delete("alice", user_agent(3).id, at=new)
    await agents.add(user_agent(4, owner="bob"), most=100)
    await configurations.add(configuration(1, created_at=old), most=100)
    await configurations.add(configuration(2, created_at=new), most=100)
    await configurations.add(configuration(3, owner="bob"), most=100)
    await write(
        database,
        job_rows=[
            execution("job_1", created_at=new, started_at=new, closed_at=new + timedelta(seconds=5)),
            execution("job_2", created_at=new, started_at=new, closed_at=new + timedelta(seconds=7)),
            execution("job_3", JobState.FAILED, created_at=T0),
            execution("job_4", JobState.RUNNING, agent=2, created_at=T0),
            execution("job_5", created_at=old),
            execution("job_6", created_at=old - MONTH),
            execution("job_7", owner="bob", created_at=new),
        ],
        attempt_rows=[
            attempt_row("job_1"),
            attempt_row("job_1", AttemptStatus.FAILED, attempt=2),
            attempt_row("job_2"),
        ],
    )
    report = await executions.dashboard("alice", before=T0 - 2 * MONTH, since=T0 - MONTH, until=at(60))
    found = {(tally.day, tally.framework, tally.state): tally for tally in report.tallies}
    done = found.pop((new.date(), Framework.CREWAI, JobState.COMPLETED))
    assert (done.total, done.tokens) == (2, 60)
    assert done.seconds == pytest.approx(12, abs=0.01)
    assert done.cost == pytest.approx(0.03)
    assert {key: (tally.total, tally.tokens, tally.cost) for key, tally in found.items()} == {
        (date(2026, 11, 20), Framework.CREWAI, JobState.FAILED): (1, 0, None),
        (date(2026, 11, 20), Framework.ORCA, JobState.RUNNING): (1, 0, None),
    }
    assert report.executions_before == 1
    estate = report.estate
    assert (estate.active_agents, estate.active_agents_before) == (1, 2)
    assert estate.agents_by_framework == {Framework.CREWAI: 1, Framework.ORCA: 1}
    assert estate.frameworks_before == 2
    assert (estate.configurations, estate.configurations_before) == (2, 1)


@ledger("O-032", "O-035")
async def test_configurations_are_kept_found_and_counted(configurations: ConfigurationRepository):
    mine = configuration(1, description="All 100% MINE")
    template = configuration(2, template=True, framework=Framework.ORCA)
    await configurations.add(mine, most=100)
    await configurations.add(template, most=100)
    await configurations.add(configuration(3, owner="bob", public=True), most=100)
    await configurations.add(configuration(4, owner="bob"), most=100)
    assert await configurations.get(mine.id) == mine
    assert await configurations.get("config_0") is None

    async def ids(**more: Any) -> list[str]:
        wanted: dict[str, Any] = {"framework": None, "templates": False, "public": False, "search": None, "limit": 9}
        return [one.id for one in await configurations.list("alice", most_bytes=10**6, **wanted | more)]

    assert await ids() == ["config_2", "config_1"]
    assert await ids(public=True) == ["config_3", "config_2", "config_1"]
    assert await ids(public=True, limit=1) == ["config_3"]
    assert await ids(templates=True) == ["config_2"]
    assert await ids(framework=Framework.ORCA) == ["config_2"]
    assert await ids(search="mine") == ["config_1"]
    assert await ids(search="0% m") == ["config_1"]
    assert await ids(search="%") == ["config_1"]
    await configurations.used(mine.id)
    await configurations.used(mine.id)
    assert [one.usage_count for one in await configurations.list(
        "alice", framework=None, templates=False, public=False, search="mine", limit=9, most_bytes=10**6
    )] == [2]  # fmt: skip
