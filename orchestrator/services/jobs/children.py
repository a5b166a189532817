"""Opens child jobs before they start, and reads their ends: the result, and the cost of all their calls."""

import asyncio
import hashlib
import json
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

import structlog
from pydantic import ValidationError

from orchestrator.domain.agents import Deliverable
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.children import ChildClosing, ChildEnd, ChildRequest
from orchestrator.domain.commands import AgentResult, JobInput, JobResult
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job
from orchestrator.domain.text import headline
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.job import project
from orchestrator.services.jobs.start import JobStarter, StartRequest
from orchestrator.services.jobs.values import JobValues
from orchestrator.storage.jobs import JobRepository

log = structlog.get_logger(__name__)

_INDEX_TIMEOUT_SECONDS: Final = 5.0  # Seconds that a child waits for the index.


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChildOpener:
    """The port `ChildJobs`."""

    starter: JobStarter
    gateway: TemporalGateway
    jobs: JobRepository
    _: KW_ONLY
    values: JobValues

    async def open(self, request: ChildRequest) -> JobInput:
        """The job of a child, whose row is written. It counts as an open job of its owner, and no limit refuses it.

        If the index does not answer, the job has no parent: it is adopted when it starts, and gets its row later.
        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge`.
        """
        start = StartRequest(
            kind=JobKind.WORKFLOW,
            target=request.definition,
            input=request.input,
            config=request.config,
            labels=request.labels,
        )
        job = await self.starter.composed(start, owner=request.owner, job_id=request.job_id)
        lineage = {"tokens": request.tokens, "priority": request.priority, "parent": request.parent}
        job = job.model_copy(update=lineage)
        try:
            async with asyncio.timeout(_INDEX_TIMEOUT_SECONDS):
                hash_ = hashlib.sha256(request.model_dump_json(exclude={"at"}).encode()).hexdigest()
                await self.jobs.accept(job, request_hash=hash_, at=request.at, runs=True)
        except (Unavailable, TimeoutError) as error:
            log.warning("child_not_indexed", job_id=job.job_id, error=str(error))
            return job.model_copy(update={"parent": None})
        return job

    async def close(self, closing: ChildClosing) -> ChildEnd:
        """The end of a child. Raises `Unavailable`, also while the child has not ended."""
        facts, pending = await self.gateway.read(closing.job_id)
        job = project(closing.job_id, facts, pending)
        if not job.state.terminal:
            raise Unavailable(f"Child job {job.id} has not ended yet", job_id=job.id)
        result = await self._answer(job, closing) if job.state.succeeded else None
        return ChildEnd(job_id=job.id, state=job.state, usage=job.usage, error=job.error, result=result)

    async def _answer(self, job: Job, closing: ChildClosing) -> AgentResult | None:
        call = CallId.parse(closing.call)
        if call is None:
            return None
        try:
            job = await self.values.whole(job)
        except NotFound as error:
            return _answer(call, job, JobResult(output=f"The output is gone: {error.message}"))
        return _answer(call, job, _result(job.result or {}))


def _result(data: dict[str, Any]) -> JobResult:
    """The result of a job. The class of an author may return another object."""
    try:
        return JobResult.model_validate(data)
    except ValidationError:
        return JobResult(output=json.dumps(data))


def _answer(call: CallId, job: Job, result: JobResult) -> AgentResult:
    data = result.metadata.get("data")
    files = [
        Deliverable(path=file.path, media_type=file.media_type, content=file.content)
        for file in result.deliverables
        if file.content is not None
    ]
    return AgentResult(
        step=call.step,
        agent=call.agent,
        key=call.key,
        call=call.number,
        summary=headline(result.output),
        output=result.output,
        deliverables=files,
        data=data if isinstance(data, dict) else {},
        metadata={"status": result.status, "models": result.metadata.get("models", [])},
        usage=job.usage,
        model=job.definition,
        child=job.id,
    )
