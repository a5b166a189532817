"""Routes of executions (O-020 to O-031, C-40, C-50)."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from api.deps import Svc, api_state, known_job_id
from api.dialects.agentorchestra import mapping, sse
from api.dialects.agentorchestra.errors import ERRORS, AgentOrchestraRoute
from api.dialects.agentorchestra.guards import AgentsWrite, JobsCancel, JobsRead, counted_execution
from api.dialects.agentorchestra.models import (
    ExecutionDetailed,
    ExecutionList,
    ExecutionStarted,
    ExecutionStatus,
    LogLevel,
    LogList,
    LogPagination,
    Message,
    StartExecutionRequest,
)
from api.dialects.agentorchestra.paging import LAST_PAGE, MAX_EXECUTIONS, MAX_LINES, clamp
from api.outputs import whole_output
from api.streaming import EventStream
from orchestrator.domain.errors import NotFound
from orchestrator.services.jobs.follower import skipped
from orchestrator.services.user_agents.executions import ExecutionFilter, unknown_execution

router = APIRouter(prefix="/api/executions", tags=["Executions"], route_class=AgentOrchestraRoute, responses=ERRORS)

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Event stream"}
}


async def _execution_id(id: Annotated[str, Path()]) -> str:
    try:
        bind_contextvars(job_id=known_job_id(id))
    except NotFound:
        raise unknown_execution(id) from None
    return id


ExecutionId = Annotated[str, Depends(_execution_id)]


@router.get("", response_model_exclude_none=True)
async def list_executions(
    *,
    principal: JobsRead,
    services: Svc,
    agent_id: Annotated[str | None, Query(alias="agentId")] = None,
    status: Annotated[ExecutionStatus | None, Query()] = None,
    page: Annotated[int, Query()] = 1,
    limit: Annotated[int, Query(description="At most 100; a higher value counts as 100.")] = 20,
) -> ExecutionList:
    """Executions of the caller's agents, newest first."""
    page, limit = clamp(page, 1, LAST_PAGE), clamp(limit, 1, MAX_EXECUTIONS)
    states = None if status is None else mapping.states_of(status)
    criteria = ExecutionFilter(agent_id=agent_id, states=states, limit=limit, offset=(page - 1) * limit)
    result = await services.executions.list(principal, criteria)
    rows = [mapping.execution(job) for job in result.rows]
    return ExecutionList(executions=rows, pagination=mapping.pagination(page, limit, result.total))


@router.post("", status_code=201, dependencies=[Depends(counted_execution)])
async def start_execution(body: StartExecutionRequest, principal: AgentsWrite, services: Svc) -> ExecutionStarted:
    """Start an execution of one of the caller's agents."""
    started = await services.executions.start(principal, mapping.start_request(body))
    return ExecutionStarted(execution_id=started.job_id)


@router.get("/{id}", response_model_exclude_none=True)
async def get_execution(principal: JobsRead, services: Svc, id: ExecutionId) -> ExecutionDetailed:
    """One execution, with its log."""
    job = await services.executions.get(principal, id)
    lines = mapping.logs(job, await services.follower.past(principal, id, None))
    execution = mapping.execution(job, await whole_output(services, job))
    return ExecutionDetailed(**dict(execution), logs=lines)


@router.delete("/{id}")
async def cancel_execution(principal: JobsCancel, services: Svc, id: ExecutionId) -> Message:
    """Cancel an execution that has not ended."""
    done = (await services.executions.cancel(principal, id)).done
    return Message(message="Execution cancelled" if done else "Cancellation requested")


@router.get("/{id}/logs", response_model_exclude_none=True)
async def get_logs(
    *,
    principal: JobsRead,
    services: Svc,
    id: ExecutionId,
    level: Annotated[LogLevel | None, Query(description="Lines of exactly this level.")] = None,
    limit: Annotated[int, Query(description="At most 1000; a higher value counts as 1000.")] = 100,
    offset: Annotated[int, Query()] = 0,
) -> LogList:
    """The log of an execution, oldest line first."""
    job = await services.executions.get(principal, id)
    offset, limit = clamp(offset, 0, LAST_PAGE), clamp(limit, 1, MAX_LINES)
    lines = mapping.logs(job, await services.follower.past(principal, id, None))
    matching = [line for line in lines if level in (None, line.level)]
    rest = len(matching) - offset - limit
    pagination = LogPagination(offset=offset, limit=limit, total=len(matching), has_more=rest > 0)
    return LogList(logs=matching[offset : offset + limit], pagination=pagination)


@router.get("/{id}/stream", response_class=Response, responses=STREAM)
async def stream_execution(
    *,
    request: Request,
    principal: JobsRead,
    services: Svc,
    id: ExecutionId,
    last_event_id: Annotated[str | None, Header(description="`id` of the last event received.")] = None,
) -> EventStream:
    """Events of an execution until its end, from the first one or after the last one received."""
    job = await services.executions.get(principal, id)
    past = await services.follower.past(principal, id, None)
    start = skipped(past, last_event_id)
    frames = sse.execution_frames(services, principal, job, past, start)
    state = api_state(request.app)
    return EventStream(frames, state.closing, connection=state.connections.hold(principal))
