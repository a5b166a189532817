"""Workers of the deployment: who polls which task queue, and how long jobs wait for one, by owner."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Catalogue
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.inspection import Poller
from orchestrator.storage.overviews import OverviewRepository, OwnerWait

WINDOW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class QueueWorkers:
    """One task queue and the workers that poll it."""

    queue: str
    pollers: list[Poller]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WorkerReader:
    """Reads the workers. Every method raises `Unavailable`."""

    gateway: TemporalGateway
    overviews: OverviewRepository
    catalogue: Catalogue
    _: KW_ONLY
    task_queue: str
    clock: Callable[[], datetime]

    async def queues(self) -> list[QueueWorkers]:
        """The task queue of jobs, and every other queue that a workflow of the catalogue names."""
        steps = (step for workflow in self.catalogue.workflows.values() for step in workflow.plan.steps)
        names = dict.fromkeys([self.task_queue, *(step.task_queue for step in steps if step.task_queue)])
        return [QueueWorkers(name, await self.gateway.poller_states(name)) for name in names]

    async def waits(self, principal: Principal) -> list[OwnerWait]:
        """How long the jobs of the last hour waited for a worker, by owner. Admins only. Raises `Forbidden`."""
        principal.require(Scope.ADMIN)
        return await self.overviews.waits(self.clock() - WINDOW)
