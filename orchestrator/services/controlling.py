"""Cancel, pause, resume, approve, reject: each says whether it is done or only requested."""

from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain import names
from orchestrator.domain.access import Principal
from orchestrator.domain.commands import Control, Decision
from orchestrator.domain.errors import Unavailable, WrongState
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.services.following import JobFollower
from orchestrator.services.reading import JobReader
from orchestrator.storage.jobs import JobRepository


@dataclass(frozen=True, slots=True)
class Controlled:
    """A job after a control was asked for. `done` is False while it is requested but not yet in force."""

    job: Job
    done: bool


class JobController:
    """Every control is durable once its call returns, whether or not a worker is there to act on it."""

    def __init__(self, gateway: TemporalGateway, reader: JobReader, follower: JobFollower, jobs: JobRepository) -> None:
        self._gateway = gateway
        self._reader = reader
        self._follower = follower
        self._jobs = jobs

    async def cancel(self, principal: Principal, job_id: str, reason: str, *, patience: float = 10.0) -> Controlled:
        """Ask for cancellation and wait up to `patience` seconds for the end. A second call changes nothing.

        Raises `NotFound`, `WrongState` when the job has ended, `Unavailable`.
        """
        job = await self._open(principal, job_id, "cancelled")
        if job.cancel_requested_at is None:
            await self._gateway.cancel(job_id, reason or f"by {principal.id}")
        unattended = job.reason is not None and job.reason.code is ReasonCode.NO_WORKER
        job = await self._follower.until_end(principal, job_id, 0 if unattended else patience)
        return Controlled(job, done=job.state is JobState.CANCELLED)

    async def pause(self, principal: Principal, job_id: str, note: str = "") -> Controlled:
        """Start nothing new from now on. Raises `NotFound`, `WrongState`, `Unavailable`."""
        job = self._declared(await self._open(principal, job_id, "paused"))
        if not job.paused:
            await self._gateway.signal(job_id, names.SIGNAL_PAUSE, Control(actor=principal.id, note=note))
        return await self._after(principal, job_id, JobState.PAUSED)

    async def resume(self, principal: Principal, job_id: str, note: str = "") -> Controlled:
        """Go on after a pause, one not yet in force included.

        Raises `NotFound`, `WrongState` when the job is not paused, `Unavailable`.
        """
        job = await self._open(principal, job_id, "resumed")
        if not job.paused:
            raise WrongState(f"Job {job_id} is not paused", job_id=job_id, state=str(job.state))
        await self._gateway.signal(job_id, names.SIGNAL_RESUME, Control(actor=principal.id, note=note))
        return await self._after(principal, job_id, JobState.RUNNING)

    async def approve(self, principal: Principal, job_id: str, step: str | None, note: str = "") -> Controlled:
        """Let a waiting step run. Raises `NotFound`, `WrongState` when nothing waits, `Unavailable`."""
        return await self._decide(principal, job_id, step, note, names.SIGNAL_APPROVE)

    async def reject(self, principal: Principal, job_id: str, step: str | None, note: str = "") -> Controlled:
        """Refuse a waiting step; it counts as failed. Raises `NotFound`, `WrongState`, `Unavailable`."""
        return await self._decide(principal, job_id, step, note, names.SIGNAL_REJECT)

    async def _decide(self, principal: Principal, job_id: str, step: str | None, note: str, signal: str) -> Controlled:
        job = self._declared(await self._open(principal, job_id, "decided on"))
        waiting = job.waiting_steps
        chosen = step or (waiting[0] if len(waiting) == 1 else None)
        if chosen is None or chosen not in waiting:
            asks = ", ".join(waiting) or "none"
            raise WrongState(
                f"Step {step or '(not named)'} of job {job_id} does not wait for approval; steps that do: {asks}",
                job_id=job_id,
                waiting=waiting,
            )
        await self._gateway.signal(job_id, signal, Decision(step=chosen, actor=principal.id, note=note))
        return Controlled(await self._reader.get(principal, job_id), done=True)

    async def _open(self, principal: Principal, job_id: str, what: str) -> Job:
        job = await self._reader.get(principal, job_id)
        if job.state.terminal:
            raise WrongState(
                f"Job {job_id} has ended ({job.state}) and cannot be {what}", job_id=job_id, state=str(job.state)
            )
        return job

    @staticmethod
    def _declared(job: Job) -> Job:
        if job.code:
            raise WrongState(
                f"Workflow {job.definition} is written in code and answers to signals of its own", job_id=job.id
            )
        return job

    async def _after(self, principal: Principal, job_id: str, state: JobState) -> Controlled:
        """The job as it is now; lists show a new state at once, and a silent index is repaired from history."""
        job = await self._reader.get(principal, job_id)
        if job.state is state:
            with suppress(Unavailable):
                await self._jobs.set_state(job_id, state)
        return Controlled(job, done=job.state is state)
