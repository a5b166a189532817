"""Strategic decisions: an agent's job that is waited for, and that stays inspectable like any other (S-014)."""

from dataclasses import dataclass
from typing import Any, Final

from orchestrator.agents.deciding import DECISION_STRATEGIST, DecisionOutput
from orchestrator.domain.access import Principal
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import DeadlineExceeded, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.start import JobStarter, StartRequest

PATIENCE: Final = 20.0
_RETRY_AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the job that it came from."""

    job_id: str
    decision: DecisionOutput


class DecisionMaker:
    """Asks the decision strategist. `model` names its model; the configured default without it.

    The offline drafter, when it is named, answers in milliseconds: its call is a short one.
    """

    def __init__(
        self,
        starter: JobStarter,
        follower: JobFollower,
        outputs: JobOutputs,
        *,
        model: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._starter = starter
        self._follower = follower
        self._outputs = outputs
        self._model = model
        self._patience = patience

    async def decide(self, principal: Principal, context: dict[str, Any], labels: dict[str, str]) -> Decided:
        """The decision on a context.

        Raises `InvalidInput`, `PayloadTooLarge`, `LimitExceeded`; `Unavailable`, and `DeadlineExceeded` for a job that
        takes longer than the patience of this service and goes on: both name the job once there is one.
        """
        request = StartRequest(
            kind=JobKind.AGENT,
            target=DECISION_STRATEGIST,
            input={"context": context},
            config=JobConfig(model=self._model),
            labels=labels,
            short=self._model == OFFLINE_MODEL,
        )
        started = await self._starter.start(principal, request)
        try:
            job = await self._follower.until_end(
                principal, started.job_id, self._patience, just_started=started.just_now
            )
            return Decided(job.id, await self._decision(job))
        except Unavailable as fault:
            if "job_id" in fault.details:
                raise
            message = f"Job {started.job_id} was started and goes on, but: {fault.message}"
            raise DeadlineExceeded(message, job_id=started.job_id) from fault

    async def _decision(self, job: Job) -> DecisionOutput:
        if not job.state.terminal:
            message = f"Job {job.id} has not decided within {self._patience:g} seconds; it goes on"
            raise DeadlineExceeded(message, retry_after=_RETRY_AFTER, job_id=job.id)
        if not job.state.succeeded or job.result is None:
            why = f": {job.error.message}" if job.error else ""
            raise Unavailable(f"Job {job.id} ended as {job.state} without a decision{why}", job_id=job.id)
        result = await self._outputs.of(job)
        return DecisionOutput.model_validate(
            {"summary": "", "output": result["output"], **result["metadata"]["data"], "deliverables": []}
        )
