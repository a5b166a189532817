"""Strategic decisions (S-014). Each one is a job of an agent, and the caller waits for its end."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from orchestrator.agents.decisions import DECISION_STRATEGIST, DecisionOutput
from orchestrator.domain.access import Principal
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import DeadlineExceeded, Misconfigured, ModelNotConfigured, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.start import JobStarter, StartRequest

DECISION_TIMEOUT_SECONDS: Final = 20.0
_RETRY_AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the job that made it."""

    job_id: str
    decision: DecisionOutput


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DecisionMaker:
    """Runs the agent that decides. `model` names its model; None takes the configured default.

    The offline drafter answers in milliseconds, so its call is marked `short`.
    """

    starter: JobStarter
    follower: JobFollower
    outputs: JobOutputs
    _: KW_ONLY
    model: str | None = None
    patience: float = DECISION_TIMEOUT_SECONDS

    async def decide(self, principal: Principal, context: dict[str, Any], labels: dict[str, str]) -> Decided:
        """The decision on a context.

        Raises `InvalidInput`, `PayloadTooLarge`, `LimitExceeded`; `Unavailable`, and `DeadlineExceeded` if the job
        takes longer than `patience` seconds (it continues). Both name the job, if it was started. `Misconfigured` if no
        provider serves the model.
        """
        request = StartRequest(
            kind=JobKind.AGENT,
            target=DECISION_STRATEGIST,
            input={"context": context},
            config=JobConfig(model=self.model),
            labels=labels,
            short=self.model == OFFLINE_MODEL,
        )
        try:
            started = await self.starter.start(principal, request)
        except ModelNotConfigured as error:  # the caller cannot choose the model
            raise Misconfigured(
                error.message, remedy="Set ORCHESTRATOR_DECISION_MODEL to a model of a configured provider."
            ) from None
        try:
            job = await self.follower.until_end(principal, started.job_id, self.patience, just_started=started.just_now)
            return Decided(job.id, await self._decision(job))
        except Unavailable as error:
            if "job_id" in error.details:
                raise
            message = f"Job {started.job_id} was started and is still running, but: {error.message}"
            raise DeadlineExceeded(message, job_id=started.job_id) from error

    async def _decision(self, job: Job) -> DecisionOutput:
        if not job.state.terminal:
            message = f"Job {job.id} has not decided within {self.patience:g} seconds; it is still running"
            raise DeadlineExceeded(message, retry_after=_RETRY_AFTER, job_id=job.id)
        if not job.state.succeeded or job.result is None:
            reason = f": {job.error.message}" if job.error else ""
            raise Unavailable(f"Job {job.id} ended as {job.state} without a decision{reason}", job_id=job.id)
        result = await self.outputs.of_job(job)
        return DecisionOutput.model_validate(
            {"summary": "", "output": result["output"], **result["metadata"]["data"], "deliverables": []}
        )
