"""What is left of a job that ended without a result: the answers of the calls that it finished, and paid for."""

from typing import Any, Final

from orchestrator.domain.commands import AgentResult, JobInput
from orchestrator.domain.errors import NotFound
from orchestrator.domain.jobs import CallStatus, Job, JobError
from orchestrator.domain.ports import ArtifactStore, ValueStore
from orchestrator.domain.results import partial
from orchestrator.domain.values import references, restored, split
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.values import bodies_of
from orchestrator.projection.answers import Answers

_NAME: Final = "partial"
_ANSWERS: Final = "answers"


class PartialOutputs:
    """Keeps them beside the job when it is closed, so that they outlive its history."""

    def __init__(self, gateway: TemporalGateway, artifacts: ArtifactStore, values: ValueStore) -> None:
        self._gateway = gateway
        self._artifacts = artifacts
        self._values = values

    async def keep(self, job: Job, told: JobInput) -> None:
        """Store what a job's finished calls answered, unless it has a result. `told` is what it was started with.

        Raises `Unavailable`.
        """
        if job.result is not None or _answers_nothing(job):
            return
        try:
            found = await self._gateway.answers(job.id, asked=job.code)
        except NotFound:  # deleted in Temporal
            return
        if found.results:
            left = partial(told, found.results, _failures(job), job.closed_at or job.created_at)
            await self._put(job.id, _NAME, left.model_dump(mode="json"))
            results = [result.model_dump(mode="json") for result in found.results]
            await self._put(job.id, _ANSWERS, {"results": results, "asks": dict(found.asks)})

    async def of(self, job: Job) -> dict[str, Any] | None:
        """What was stored of a job; None where nothing was. Raises `NotFound` for a value of it, `Unavailable`."""
        try:
            body = await self._artifacts.get(f"{job.id}/{_NAME}")
        except NotFound:
            return None
        if "result" not in body:  # stored whole, by an older release
            return body
        whole: dict[str, Any] = await self._whole(body)
        return whole

    async def answers(self, job: Job) -> Answers:
        """What the finished calls of an ended job answered, in full: from beside the job, else from its history.

        Raises `NotFound` if neither is kept any more, `Unavailable`.
        """
        if _answers_nothing(job):
            return Answers()
        try:
            body = await self._artifacts.get(f"{job.id}/{_ANSWERS}")
        except NotFound:  # closed by an older release, or just now
            return await self._gateway.answers(job.id, asked=job.code)
        kept = await self._whole(body)
        return Answers([AgentResult.model_validate(result) for result in kept["results"]], kept["asks"])

    async def _put(self, job_id: str, name: str, value: Any) -> None:
        parts = split(job_id, value)
        if parts.bodies:  # Mostly those that the calls' own results have stored.
            await self._values.put(job_id, parts.bodies)
        stored = [part.model_dump() for part in parts.stored]
        await self._artifacts.put(job_id, name, {"result": parts.rest, "stored": stored})

    async def _whole(self, body: dict[str, Any]) -> Any:
        stored = references(body["stored"])
        return restored(body["result"], stored, await bodies_of(self._values, stored))


def _answers_nothing(job: Job) -> bool:
    """Whether a job surely has no answers. Code that retries may have asked for none yet of those that it was given."""
    given = job.code and job.retry_of is not None
    return not given and all(call.status is not CallStatus.COMPLETED for call in job.calls)


def _failures(job: Job) -> dict[str, JobError]:
    found = {call.step: call.error for call in job.calls if call.error is not None}
    if job.error is not None:  # what failed a step without a call, such as a person's refusal
        found.setdefault(job.error.step or "", job.error)
    return found
