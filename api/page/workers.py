"""Workers: who polls which task queue, and how long jobs wait for one."""

import shlex

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.rendering import ROOT, page
from api.page.visitors import Reader

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)


@router.get("/workers")
async def workers_page(request: Request, services: Svc, visitor: Reader) -> Response:
    """Workers by task queue. For admins also the waits of each owner."""
    queues = await services.workers.queues()
    waits = await services.workers.waits(visitor.principal) if visitor.principal.admin else []
    return page(
        request, visitor, "workers.html", queues=queues, waits=waits, temporal=services.jobs_page, command=command
    )


def command(queue: str = "") -> str:
    """The command that starts a worker; a queue that steps name needs a worker of its own with that queue."""
    return f"ORCHESTRATOR_TASK_QUEUE={shlex.quote(queue)} orchestrator worker" if queue else "orchestrator worker"
