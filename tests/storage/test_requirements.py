"""Open jobs as a starting worker reads them."""

from orchestrator.domain.plans import Plan, Step
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.requirements import JobRequirements, RequirementsRepository
from tests.storage.rows import accepted, closed, job_input


async def test_the_oldest_open_jobs_tell_what_they_need_of_a_worker(database: Database, jobs: JobRepository):
    elsewhere = Step(id="a", name="A", squad="backend", agents=("one",), task_queue="agents-crewai")
    await accepted(jobs, job_input("wf_job_1", agents=2))
    await accepted(jobs, job_input("wf_job_2", plan=Plan(steps=(elsewhere,)), code=True, definition="mine"), 1)
    await accepted(jobs, job_input("wf_job_3"), 2)
    await accepted(jobs, job_input("wf_job_0"), -1)
    await closed(jobs, "wf_job_0")
    assert await RequirementsRepository(database).oldest(2) == [
        JobRequirements("wf_job_1", "api_development", False, frozenset({(None, "agent_0"), (None, "agent_1")})),
        JobRequirements("wf_job_2", "mine", True, frozenset({("agents-crewai", "one")})),
    ]
