"""Which open jobs a worker cannot serve: said when it starts, so that a forgotten plugin is seen at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.requirements import JobRequirements, RequirementsRepository

log = structlog.get_logger(__name__)

_LOOKED_AT: Final = 500
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Unserved:
    """Open jobs that have to wait for another worker, or for an upgrade of this one, and what they need."""

    jobs: list[str]
    agents: list[str]
    workflows: list[str]


def unserved(jobs: Iterable[JobRequirements], catalogue: Catalogue, framework_queue: str | None = None) -> Unserved:
    """What a worker with this catalogue lacks for open jobs; one of a framework takes the calls of its queue alone."""
    classes = {entry.definition.id for entry in catalogue.code_workflows}
    known = catalogue.agents.keys() | catalogue.unlisted.keys()
    waiting: list[str] = []
    agents: set[str] = set()
    workflows: set[str] = set()
    for job in jobs:
        lacking = {agent for queue, agent in job.agents if queue == framework_queue and agent not in known}
        classless = job.code and framework_queue is None and job.definition not in classes
        if lacking or classless:
            waiting.append(job.id)
        agents |= lacking
        workflows |= {job.definition} if classless else set()
    return Unserved(waiting, sorted(agents), sorted(workflows))


async def report_unserved(
    rows: RequirementsRepository, catalogue: Catalogue, framework_queue: str | None = None
) -> None:
    """Log in one line which open jobs this worker cannot serve, if there are any. An absent index is no obstacle."""
    try:
        jobs = await rows.oldest(_LOOKED_AT)
    except Unavailable as fault:
        log.warning("open_jobs_not_read", error=fault.message)
        return
    found = unserved(jobs, catalogue, framework_queue)
    if found.jobs:
        log.warning(
            "open_jobs_not_served",
            count=len(found.jobs),
            of=len(jobs),
            agents=found.agents[:_NAMED],
            workflows=found.workflows[:_NAMED],
            jobs=found.jobs[:_NAMED],
            remedy="a worker whose plugins have them goes on with these jobs",
        )
