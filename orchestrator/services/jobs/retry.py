"""Retries a failed job: a new job on the present plan reuses the finished calls of the old one (decision 0020)."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain.access import START_SCOPES, Principal
from orchestrator.domain.call_ids import CallKey
from orchestrator.domain.commands import AgentResult, Carried, JobInput, Retry, ReusedCall
from orchestrator.domain.errors import Forbidden, InvalidInput, NotFound, Unavailable, WrongState
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

_AT_ONCE: Final = 4  # Jobs whose answers are read at the same time.


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobRetrier:
    """Starts retries, each exactly once, and lists the retries of a job."""

    starter: JobStarter
    reader: JobReader
    jobs: JobRepository
    partials: PartialOutputs
    values: JobValues

    async def retry(
        self, principal: Principal, job_id: str, *, idempotency_key: str | None = None
    ) -> tuple[Started, Retry]:
        """Start a retry of a job that failed, was cancelled or timed out. Returns the start and what it reuses.

        The retry belongs to the owner of the old job. Raises `NotFound`, `Forbidden`, `WrongState` for a job that has
        not ended, is completed, or is completed by another retry, and as `JobStarter.start` does.
        """
        old = await self.reader.get(principal, job_id)
        principal.require(START_SCOPES[old.kind])
        new_id = self.starter.job_id(principal, old.kind, idempotency_key)
        digest = hashlib.sha256(f"retry of {job_id}".encode()).hexdigest()
        row = await self.jobs.get(new_id) if idempotency_key is not None else None
        if row is not None:
            job = await self.values.started_with(row)
            return await self.starter.begin(principal, job, digest), _retry_of(job, job_id)
        job = await self._checked(principal, old, new_id)
        await self.starter.check_callback(principal, job.webhook_url)
        return await self.starter.begin(principal, job, digest), _retry_of(job, job_id)

    async def refusal(self, principal: Principal, job: Job) -> str:
        """Why a retry of a job would be refused now, or an empty text. Starts nothing.

        Limits of the caller and the address of the callback are not checked; nothing is, if the index or Temporal does
        not answer.
        """
        try:
            principal.require(START_SCOPES[job.kind])
            retry = await self._checked(principal, job, self.starter.job_id(principal, job.kind, None))
            await self.jobs.check_not_retried(retry)
        except (Forbidden, InvalidInput, NotFound, WrongState) as error:
            return error.message
        except Unavailable as error:
            log.warning("retry_not_checked", job_id=job.id, error=error.message)
        return ""

    async def refusals(self, principal: Principal, job_ids: Sequence[str]) -> dict[str, str]:
        """Why retries of these jobs would be refused. Jobs that can be retried are left out. Raises `Unavailable`."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def refusal(job_id: str) -> str:
            async with gate:
                try:
                    return await self.refusal(principal, await self.reader.get(principal, job_id))
                except NotFound as error:  # deleted meanwhile
                    return error.message

        texts = await asyncio.gather(*map(refusal, job_ids))
        return {job_id: text for job_id, text in zip(job_ids, texts, strict=True) if text}

    async def retried_by(self, job_id: str) -> list[str] | None:
        """The retries of a job, oldest first. None if the index does not answer."""
        try:
            return (await self.jobs.retried_by(job_id)).get(job_id, [])
        except Unavailable as error:
            log.warning("retries_not_read", job_id=job_id, error=error.message)
            return None

    async def _checked(self, principal: Principal, old: Job, new_id: str) -> JobInput:
        """The job of a retry that its caller may start."""
        _check_retryable(old)
        job = await self._composed(old, new_id)
        self.starter.models.check(job)
        return self.starter.permitted(principal, job)

    async def _composed(self, old: Job, new_id: str) -> JobInput:
        row = await self.jobs.get(old.id)
        if row is None:
            raise Unavailable(f"The index has no row of job {old.id} yet: try again", job_id=old.id)
        start = await self.values.started_with(row)
        try:
            job = await self.starter.composed(_request(start), owner=old.owner, job_id=new_id)
        except NotFound as error:
            message = f"Job {old.id} cannot be retried: there is no {start.kind} {start.definition!r} any more"
            raise WrongState(message, job_id=old.id, state=str(old.state)) from error
        if job.code != start.code:
            message = f"Job {old.id} cannot be retried: {start.definition!r} was rewritten since. Start a new job"
            raise WrongState(message, job_id=old.id, state=str(old.state))
        root = start.retry.root if start.retry else old.id
        return _with_reuse(job, start, old, await self._answers(old), root)

    async def _answers(self, old: Job) -> Answers:
        try:
            return await self.partials.answers(old)
        except NotFound as error:
            message = (
                f"Job {old.id} cannot be retried: the answers of its finished calls are no longer kept. Start a new job"
            )
            raise WrongState(message, job_id=old.id, state=str(old.state)) from error


def _check_retryable(job: Job) -> None:
    if job.state.retryable:
        return
    if job.state.succeeded:
        message = f"Job {job.id} is completed: there is nothing to retry. Start a new job"
    else:
        message = f"Job {job.id} is {job.state}: only a job that has failed, was cancelled or timed out can be retried"
    raise WrongState(message, job_id=job.id, state=str(job.state))


def _request(start: JobInput) -> StartRequest:
    """The request that started the old job. The plan of a workflow comes from the catalogue again."""
    labels = {name: value for name, value in start.labels.items() if name not in ORIGIN_LABELS}
    agent = start.kind is JobKind.AGENT
    only_step = start.plan.steps[0] if agent else None
    return StartRequest(
        kind=start.kind,
        target=start.definition,
        input=start.input,
        config=start.config,
        webhook_url=start.webhook_url,
        name=start.name if agent else None,
        subject=start.subject,
        labels=labels,
        task_queue=only_step.task_queue if only_step else None,
        short=only_step.short if only_step else False,
    )


def _with_reuse(new: JobInput, start: JobInput, old: Job, answers: Answers, root: str) -> JobInput:
    """The new job with the calls and approvals of the old one that are still valid."""
    available = {_key(answer): answer for answer in answers.results if answer.artifact is None}
    calls = _finished_calls(start, old, answers.asks)
    if new.code:
        valid = Reuse(frozenset(_pair(key) for key, call in calls.items() if call.asks))
        reused = {key: call for key, call in calls.items() if key in available and call.asks}
    else:
        approved = [approval.step for approval in old.approvals]
        done = {_pair(key) for key in calls if key in available}
        valid = reuse(_walked(start), _walked(new), done=done, approved=approved, settled=_settled(old))
        reused = {key: call for key, call in calls.items() if key in available and _pair(key) in valid.calls}
    retry = Retry(
        of=old.id,
        root=root,
        calls=list(reused.values()),
        approvals=[approval for approval in old.approvals if approval.step in valid.approvals],
    )
    results = [available[key] for key in available if key in reused]
    carried = Carried(results=results, approved=sorted(valid.approvals))
    return new.model_copy(update={"retry": retry, "carried": carried if results or valid.approvals else None})


def _finished_calls(start: JobInput, old: Job, asks: Mapping[str, str]) -> dict[CallKey, ReusedCall]:
    """The finished calls of a job. For workflow code, also reused calls that the code has not made again yet."""
    calls: dict[CallKey, ReusedCall] = {}
    if start.code and start.retry is not None:
        calls = {call.call_id.call: call for call in start.retry.calls}
    for call in old.calls:
        if call.status is not CallStatus.COMPLETED:
            continue
        calls[call.call_id.call] = ReusedCall(
            step=call.step,
            key=call.key,
            agent=call.agent,
            call=call.number,
            job_id=call.reused_from or old.id,
            usage=call.usage.plus(call.reused),
            model=call.model,
            started_at=call.started_at,
            completed_at=call.completed_at,
            asks=asks.get(str(call.call_id)) if start.code else None,
        )
    return calls


def _settled(job: Job) -> set[str]:
    """The steps all of whose calls have completed, or were skipped by the plan."""
    return {
        step
        for step, calls in job.steps().items()
        # A call that was never made because its job ended is skipped, too, but not by the plan.
        if all(call.status is CallStatus.COMPLETED or call.why is not None for call in calls)
    }


def _pair(key: CallKey) -> tuple[str, str]:
    step, _, agent, _ = key
    return step, agent


def _key(answer: AgentResult) -> CallKey:
    return answer.call_id.call


def _walked(job: JobInput) -> Plan:
    """The plan as the interpreter executes it."""
    return job.plan if job.config.parallel_execution or job.plan.decides else job.plan.in_sequence()


def _retry_of(job: JobInput, old_id: str) -> Retry:
    return job.retry or Retry(of=old_id, root=old_id)
