"""Cancel, pause, resume, approve, reject. Each returns whether it is in force or only requested."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from orchestrator.domain import names
from orchestrator.domain.access import Principal
from orchestrator.domain.commands import Control, Decision
from orchestrator.domain.errors import Forbidden, NotFound, Unavailable, WrongState
from orchestrator.domain.facts import Fact, SignalReceived
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.reader import JobReader
from orchestrator.storage.jobs import JobRepository

# Temporal delays a signal on its way into the history while a worker executes a workflow task.
_LANDING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Controlled:
    """A job after a control. `done` is False while the control is requested but not yet in force."""

    job: Job
    done: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobController:
    """Controls jobs. A control is durable once its call returns, even if no worker runs."""

    gateway: TemporalGateway
    reader: JobReader
    follower: JobFollower
    jobs: JobRepository

    async def cancel(self, principal: Principal, job_id: str, reason: str, *, patience: float = 10.0) -> Controlled:
        """Request cancellation and wait up to `patience` seconds for the end. Idempotent.

        Raises `NotFound`, `WrongState` if the job has ended in another way, `Unavailable`.
        """
        job = await self.reader.get(principal, job_id)
        if job.state is JobState.CANCELLED:
            return Controlled(job, done=True)
        self._refuse_ended(job, "cancelled")
        if job.cancel_requested_at is None:
            await self.gateway.cancel(job_id, reason or f"by {principal.id}")
        unattended = job.reason is not None and job.reason.code is ReasonCode.NO_WORKER
        job = await self.follower.until_end(principal, job_id, 0 if unattended else patience)
        return Controlled(job, done=job.state is JobState.CANCELLED)

    async def pause(self, principal: Principal, job_id: str, note: str = "") -> Controlled:
        """Start no further step from now on. Raises `NotFound`, `WrongState`, `Unavailable`.

        `WrongState` also means that another request resumed the job at the same moment.
        """
        job = self._require_declared(await self._open(principal, job_id, "paused"))
        landed = True
        if not job.paused:
            control = Control(actor=principal.id, note=note, id=uuid4().hex)
            landed = await self._signal(principal, job_id, names.SIGNAL_PAUSE, control, "paused")
        job = await self._open(principal, job_id, "paused")
        if landed and not job.paused:
            raise WrongState(f"Job {job_id} was resumed at the same moment", job_id=job_id, state=str(job.state))
        return await self._in_force(job, JobState.PAUSED)

    async def resume(self, principal: Principal, job_id: str, note: str = "") -> Controlled:
        """Continue after a pause, also after one that is not yet in force.

        Raises `NotFound`, `WrongState` if the job is not paused or is paused at the same moment, `Unavailable`.
        """
        job = await self._open(principal, job_id, "resumed")
        if not job.paused:
            raise WrongState(f"Job {job_id} is not paused", job_id=job_id, state=str(job.state))
        control = Control(actor=principal.id, note=note, id=uuid4().hex)
        landed = await self._signal(principal, job_id, names.SIGNAL_RESUME, control, "resumed")
        job = await self.reader.get(principal, job_id)
        if landed and job.paused:
            raise WrongState(f"Job {job_id} was paused at the same moment", job_id=job_id, state=str(job.state))
        return await self._in_force(job, JobState.RUNNING)

    async def approve(self, principal: Principal, job_id: str, step: str | None, note: str = "") -> Controlled:
        """Approve a waiting step. Raises `NotFound`, `Unavailable`, `WrongState` if the step does not wait, and
        `Forbidden` if others than the caller may approve it.

        Of two simultaneous decisions, the first one in the job's history is in force. The other raises `WrongState`.
        """
        return await self._decide(principal, job_id, step, note, names.SIGNAL_APPROVE)

    async def reject(self, principal: Principal, job_id: str, step: str | None, note: str = "") -> Controlled:
        """Reject a waiting step, which then counts as failed. Raises as `approve` does."""
        return await self._decide(principal, job_id, step, note, names.SIGNAL_REJECT)

    async def _decide(self, principal: Principal, job_id: str, step: str | None, note: str, signal: str) -> Controlled:
        job = await self.reader.get_asked(principal, job_id)
        self._refuse_ended(job, "decided on")
        waiting, forms = job.waiting_steps, [question.id for question in job.open_questions]
        if forms and not waiting:
            message = f"Job {job_id} waits for no approval. It asks a question: answer {', '.join(forms)}"
            raise WrongState(message, job_id=job_id, waiting=waiting)
        self._require_declared(job)
        step_id = step or (waiting[0] if len(waiting) == 1 else None)
        if step_id is None or step_id not in waiting:
            steps = ", ".join(waiting) or "none"
            raise WrongState(
                f"Step {step or '(not named)'} of job {job_id} does not wait for approval; steps that do: {steps}",
                job_id=job_id,
                waiting=waiting,
            )
        question = next((each for each in job.open_questions if each.id == step_id), None)
        if question is not None and not question.admits(principal, job.owner):
            raise Forbidden(f"Question {step_id} of job {job_id} is for {', '.join(question.by)}", job_id=job_id)
        decision = Decision(step=step_id, actor=principal.id, note=note, id=uuid4().hex)
        landed = await self._signal(principal, job_id, signal, decision, "decided on")
        job = await self.reader.get_asked(principal, job_id)
        done = job.decisions.get(step_id) == decision.id
        if landed and not done:
            raise WrongState(
                f"Step {step_id} of job {job_id} does not wait for approval any more: {_closing_reason(job, step_id)}",
                job_id=job_id,
                waiting=job.waiting_steps,
            )
        return Controlled(job, done=done)

    async def _signal(
        self, principal: Principal, job_id: str, name: str, message: Control | Decision, what: str
    ) -> bool:
        """Send a control and wait until the job's history contains it. False if that takes too long.

        Whether a control is in force follows from its place in the history. Raises `WrongState` for a job that has
        just ended, `NotFound`, `Unavailable`.
        """
        try:
            await self.gateway.signal(job_id, name, message)
        except NotFound:  # Temporal answers this for an ended workflow, too.
            self._refuse_ended(await self.reader.get_asked(principal, job_id), what)
            raise
        with suppress(TimeoutError):
            async with asyncio.timeout(_LANDING_SECONDS):
                return await self.gateway.wait_for_fact(job_id, lambda fact: _is_signal(fact, message.id))
        return False

    async def _open(self, principal: Principal, job_id: str, what: str) -> Job:
        job = await self.reader.get(principal, job_id)
        self._refuse_ended(job, what)
        return job

    @staticmethod
    def _refuse_ended(job: Job, what: str) -> None:
        if job.state.terminal:
            raise WrongState(
                f"Job {job.id} has ended ({job.state}) and cannot be {what}", job_id=job.id, state=str(job.state)
            )

    @staticmethod
    def _require_declared(job: Job) -> Job:
        if job.code and not job.controlled:
            raise WrongState(
                f"Workflow {job.definition} is written in code without `Flow`, or has not begun: "
                "control it by its own signals",
                job_id=job.id,
            )
        return job

    async def _in_force(self, job: Job, state: JobState) -> Controlled:
        """The result of a control that reached the job. Writes the new state to the index, so that lists show it.

        If the index does not answer, it is repaired from history later. A resumed job may have ended by now.
        """
        if job.state is state:
            with suppress(Unavailable):
                await self.jobs.set_state(job.id, state)
        return Controlled(job, done=job.state is state or job.state.terminal)


def _closing_reason(job: Job, step: str) -> str:
    if step in job.decisions:
        return "another decision came first"
    return "the job is being cancelled" if job.cancel_requested_at else "its time ran out"


def _is_signal(fact: Fact, signal_id: str) -> bool:
    return isinstance(fact, SignalReceived) and fact.control is not None and fact.control.id == signal_id
