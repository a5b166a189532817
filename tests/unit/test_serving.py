"""Which open jobs a worker cannot serve, and how it says so."""

from typing import Any

from structlog.testing import capture_logs

from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.services.jobs.unserved import Unserved, report_unserved, unserved
from orchestrator.storage.requirements import JobRequirements
from tests.catalogue import TEST_PLUGIN

CATALOGUE = build_catalogue([BUILT_IN, TEST_PLUGIN])
QUEUE = "agents-crewai"


def job(id: str, *agents: str | tuple[str, str], definition: str = "d", code: bool = False) -> JobRequirements:
    called = frozenset((None, one) if isinstance(one, str) else one for one in agents)
    return JobRequirements(id, definition, code, called)


class Index:
    """The open jobs of an index that answers, or does not."""

    def __init__(self, *jobs: JobRequirements) -> None:
        self.jobs = list(jobs)

    async def oldest(self, limit: int) -> list[JobRequirements]:
        if not self.jobs:
            raise Unavailable("away")
        return self.jobs[:limit]


async def logged(index: Any, catalogue: Catalogue = CATALOGUE) -> list[Any]:
    with capture_logs() as lines:
        await report_unserved(index, catalogue)
    return lines


def test_a_worker_serves_jobs_whose_agents_and_classes_it_has():
    served = [job("1", "t_echo"), job("2", "t_echo", definition="t_countdown", code=True), job("3", (QUEUE, "other"))]
    assert unserved(served, CATALOGUE) == Unserved([], [], [])


def test_what_it_lacks_is_named_once():
    jobs = [job("1", "gone", "t_echo"), job("2", "gone", "left"), job("3", "t_echo", definition="lost", code=True)]
    assert unserved(jobs, CATALOGUE) == Unserved(["1", "2", "3"], ["gone", "left"], ["lost"])


def test_a_worker_of_a_framework_is_asked_for_the_agents_of_its_queue_alone():
    jobs = [job("1", "gone", (QUEUE, "t_echo")), job("2", (QUEUE, "gone"), definition="lost", code=True)]
    assert unserved(jobs, CATALOGUE, QUEUE) == Unserved(["2"], ["gone"], [])


async def test_it_says_so_in_one_line():
    [line] = await logged(Index(job("1", "gone"), job("2", "t_echo")))
    entries = {name: line[name] for name in ("event", "count", "of", "agents", "workflows", "jobs")}
    assert entries == {
        "event": "open_jobs_not_served",
        "count": 1,
        "of": 2,
        "agents": ["gone"],
        "workflows": [],
        "jobs": ["1"],
    }


async def test_it_says_nothing_where_it_serves_all_and_starts_without_an_index():
    assert await logged(Index(job("1", "t_echo"))) == []
    [line] = await logged(Index())
    assert line["event"] == "open_jobs_not_read"
