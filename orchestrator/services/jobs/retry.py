"""Finishes a job that failed: a new job on today's plan takes over what the old one has done (decision 0020)."""

import hashlib
from collections.abc import Mapping
from typing import Final

import structlog

from orchestrator.domain import names
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.commands import AgentResult, Carried, JobInput, Retry, ReusedCall
from orchestrator.domain.errors import NotFound, Unavailable, WrongState
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import CallStatus, Job
from orchestrator.domain.labels import ORIGIN_LABELS
from orchestrator.domain.plans import Plan
from orchestrator.domain.reuse import Reuse, reuse
from orchestrator.projection.answers import Answers
from orchestrator.services.jobs.partial_output import PartialOutputs
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.start import JobStarter, Started, StartRequest
from orchestrator.services.jobs.values import JobValues
from orchestrator.storage.jobs import JobRepository

log = structlog.get_logger(__name__)

_Call = tuple[str, str, int]
_SCOPE: Final = {JobKind.AGENT: Scope.AGENTS_EXECUTE, JobKind.WORKFLOW: Scope.WORKFLOWS_RUN}


class JobRetrier:
    """Starts retries, each exactly once, and tells which jobs were retried."""

    def __init__(
        self,
        starter: JobStarter,
        reader: JobReader,
        jobs: JobRepository,
        partials: PartialOutputs,
        values: JobValues,
    ) -> None:
        self._starter = starter
        self._reader = reader
        self._jobs = jobs
        self._partials = partials
        self._values = values

    async def retry(
        self, principal: Principal, job_id: str, *, idempotency_key: str | None = None
    ) -> tuple[Started, Retry]:
        """Start a job that finishes one which failed, was cancelled or ran out of time; and what it takes over.

        It belongs to the owner of the old one. Raises `NotFound`, `Forbidden`, `WrongState` for a job that has not
        ended or is done, by itself or by another retry, and as `JobStarter.start` does.
        """
        old = await self._reader.get(principal, job_id)
        principal.require(_SCOPE[old.kind])
        new_id = self._starter.new_id(principal, old.kind, idempotency_key)
        digest = hashlib.sha256(f"retry of {job_id}".encode()).hexdigest()
        there = await self._jobs.get(new_id) if idempotency_key is not None else None
        if there is not None:
            job = await self._values.started_with(there)
            return await self._starter.begin(principal, job, digest), _taken(job, job_id)
        _check_ended_undone(old)
        job = await self._composed(old, new_id)
        await self._starter.check_callback(principal, job.webhook_url)
        return await self._starter.begin(principal, job, digest), _taken(job, job_id)

    async def retried_by(self, job_id: str) -> list[str] | None:
        """The jobs that were started to finish a job, oldest first; None while the index does not answer."""
        try:
            return (await self._jobs.retried_by(job_id)).get(job_id, [])
        except Unavailable as fault:
            log.warning("retries_not_read", job_id=job_id, error=fault.message)
            return None

    async def _composed(self, old: Job, new_id: str) -> JobInput:
        row = await self._jobs.get(old.id)
        if row is None:
            raise Unavailable(f"The index does not know job {old.id} yet", job_id=old.id)
        given = await self._values.started_with(row)
        try:
            job = await self._starter.composed(_request(given), owner=old.owner, job_id=new_id)
        except NotFound as fault:
            message = f"Job {old.id} cannot be retried: there is no {given.kind} {given.definition!r} today"
            raise WrongState(message, job_id=old.id, state=str(old.state)) from fault
        if job.code != given.code:
            message = f"Job {old.id} cannot be retried: {given.definition!r} was rewritten since. Start a new job"
            raise WrongState(message, job_id=old.id, state=str(old.state))
        root = given.retry.root if given.retry else old.id
        return _taking_over(job, given, old, await self._answers(old), root)

    async def _answers(self, old: Job) -> Answers:
        try:
            return await self._partials.answers(old)
        except NotFound as fault:
            message = (
                f"Job {old.id} cannot be retried: the answers of its finished calls are no longer kept. Start a new job"
            )
            raise WrongState(message, job_id=old.id, state=str(old.state)) from fault


def _check_ended_undone(job: Job) -> None:
    if job.state.retryable:
        return
    if job.state.succeeded:
        message = f"Job {job.id} is done: there is nothing to retry. Start a new job"
    else:
        message = f"Job {job.id} is {job.state}: only a job that has failed, was cancelled or timed out can be retried"
    raise WrongState(message, job_id=job.id, state=str(job.state))


def _request(given: JobInput) -> StartRequest:
    """The request that the old job was started with, as far as its plan does not come from the catalogue."""
    labels = {name: value for name, value in given.labels.items() if name not in ORIGIN_LABELS}
    agent = given.kind is JobKind.AGENT
    only = given.plan.steps[0]
    return StartRequest(
        kind=given.kind,
        target=given.definition,
        input=given.input,
        config=given.config,
        webhook_url=given.webhook_url,
        name=given.name if agent else None,
        subject=given.subject,
        labels=labels,
        task_queue=only.task_queue if agent else None,
        short=only.short if agent else False,
    )


def _taking_over(new: JobInput, given: JobInput, old: Job, answers: Answers, root: str) -> JobInput:
    """The new job with all that stands of the old one."""
    found = {_key(answer): answer for answer in answers.results if answer.artifact is None}
    calls = _made(given, old, answers.asks)
    if new.code:
        stands = Reuse(frozenset(key[:2] for key, call in calls.items() if call.asks))
        kept = {key: call for key, call in calls.items() if key in found and call.asks}
    else:
        approved = [one.step for one in old.approvals]
        stands = reuse(_walked(given), _walked(new), done={key[:2] for key in calls if key in found}, approved=approved)
        kept = {key: call for key, call in calls.items() if key in found and key[:2] in stands.calls}
    retry = Retry(
        of=old.id,
        root=root,
        calls=list(kept.values()),
        approvals=[one for one in old.approvals if one.step in stands.approvals],
    )
    results = [found[key] for key in found if key in kept]
    carried = Carried(results=results, approved=sorted(stands.approvals))
    return new.model_copy(update={"retry": retry, "carried": carried if results or stands.approvals else None})


def _made(given: JobInput, old: Job, asks: Mapping[str, str]) -> dict[_Call, ReusedCall]:
    """The finished calls of a job, and those that it was given and, being code, has not asked for."""
    calls: dict[_Call, ReusedCall] = {}
    if given.code and given.retry is not None:
        calls = {(call.step, call.agent, call.call): call for call in given.retry.calls}
    for call in old.calls:
        if call.status is not CallStatus.COMPLETED:
            continue
        calls[call.step, call.agent, call.number] = ReusedCall(
            step=call.step,
            agent=call.agent,
            call=call.number,
            job_id=call.reused_from or old.id,
            usage=call.usage.plus(call.reused),
            model=call.model,
            started_at=call.started_at,
            completed_at=call.completed_at,
            asks=asks.get(names.activity_id(call.step, call.agent, call.number)) if given.code else None,
        )
    return calls


def _key(answer: AgentResult) -> _Call:
    return answer.step, answer.agent, answer.call


def _walked(job: JobInput) -> Plan:
    """The plan as the interpreter walks it."""
    return job.plan if job.config.parallel_execution else job.plan.in_sequence()


def _taken(job: JobInput, old_id: str) -> Retry:
    return job.retry or Retry(of=old_id, root=old_id)
