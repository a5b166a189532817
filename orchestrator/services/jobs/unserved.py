"""Finds the open jobs that a worker cannot serve. They are logged at its start: it may lack a plugin."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.requirements import JobRequirements, RequirementsRepository

log = structlog.get_logger(__name__)

_MAX_CHECKED: Final = 500
_MAX_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Unserved:
    """Open jobs that wait for another worker or for an upgrade of this one, and the agents and workflows they need."""

    jobs: list[str]
    agents: list[str]
    workflows: list[str]


def unserved(jobs: Iterable[JobRequirements], catalogue: Catalogue, framework_queue: str | None = None) -> Unserved:
    """What a worker with this catalogue lacks for open jobs. A worker of a framework only takes calls of its queue."""
    classes = {entry.definition.id for entry in catalogue.code_workflows}
    agent_ids = catalogue.agents.keys() | catalogue.unlisted.keys()
    waiting: list[str] = []
    agents: set[str] = set()
    workflows: set[str] = set()
    for job in jobs:
        lacking = {agent for queue, agent in job.agents if queue == framework_queue and agent not in agent_ids}
        classless = job.code and framework_queue is None and job.definition not in classes
        if lacking or classless:
            waiting.append(job.id)
        agents |= lacking
        workflows |= {job.definition} if classless else set()
    return Unserved(waiting, sorted(agents), sorted(workflows))


async def report_unserved(
    rows: RequirementsRepository, catalogue: Catalogue, framework_queue: str | None = None
) -> None:
    """Log the open jobs that this worker cannot serve, in one line. Without the index it only logs a warning."""
    try:
        jobs = await rows.oldest(_MAX_CHECKED)
    except Unavailable as error:
        log.warning("open_jobs_not_read", error=error.message)
        return
    report = unserved(jobs, catalogue, framework_queue)
    if report.jobs:
        log.warning(
            "open_jobs_not_served",
            count=len(report.jobs),
            of=len(jobs),
            agents=report.agents[:_MAX_NAMED],
            workflows=report.workflows[:_MAX_NAMED],
            jobs=report.jobs[:_MAX_NAMED],
            remedy="start a worker whose plugins have these agents and workflows",
        )
