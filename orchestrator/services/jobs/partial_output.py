"""The partial output of a job that ended without a result: the answers of its finished calls."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PartialOutputs:
    """Stores partial outputs when jobs are closed, so that they outlive the history."""

    gateway: TemporalGateway
    artifacts: ArtifactStore
    values: ValueStore

    async def store(self, job: Job, start: JobInput) -> None:
        """Store the answers of a job's finished calls, unless the job has a result. `start` is the job's input.

        Raises `Unavailable`.
        """
        if job.result is not None or _has_no_answers(job):
            return
        try:
            answers = await self.gateway.answers(job.id, with_inputs=job.code)
        except NotFound:  # deleted in Temporal
            return
        if answers.results:
            output = partial(start, answers.results, _failures(job), job.closed_at or job.created_at)
            await self._put(job.id, _NAME, output.model_dump(mode="json"))
            results = [result.model_dump(mode="json") for result in answers.results]
            await self._put(job.id, _ANSWERS, {"results": results, "asks": dict(answers.asks)})

    async def of(self, job: Job) -> dict[str, Any] | None:
        """The stored partial output of a job, or None. Raises `NotFound` if a part of it is gone, `Unavailable`."""
        try:
            body = await self.artifacts.get(f"{job.id}/{_NAME}")
        except NotFound:
            return None
        if "result" not in body:  # an older release stored it in one piece
            return body
        output: dict[str, Any] = await self._restored(body)
        return output

    async def answers(self, job: Job) -> Answers:
        """The full answers of an ended job's finished calls, from the store or else from history.

        Raises `NotFound` if neither has them, `Unavailable`.
        """
        if _has_no_answers(job):
            return Answers()
        try:
            body = await self.artifacts.get(f"{job.id}/{_ANSWERS}")
        except NotFound:  # closed by an older release, or not yet closed
            return await self.gateway.answers(job.id, with_inputs=job.code)
        stored = await self._restored(body)
        return Answers([AgentResult.model_validate(result) for result in stored["results"]], stored["asks"])

    async def _put(self, job_id: str, name: str, value: Any) -> None:
        parts = split(job_id, value)
        if parts.bodies:  # Most of them are stored already, by the results of the calls.
            await self.values.put(job_id, parts.bodies)
        stored = [part.model_dump() for part in parts.stored]
        await self.artifacts.put(job_id, name, {"result": parts.rest, "stored": stored})

    async def _restored(self, body: dict[str, Any]) -> Any:
        stored = references(body["stored"])
        return restored(body["result"], stored, await bodies_of(self.values, stored))


def _has_no_answers(job: Job) -> bool:
    """True if the job cannot have answers. A retry of code may have reused answers that its calls do not show."""
    reuses_answers = job.code and job.retry_of is not None
    return not reuses_answers and all(call.status is not CallStatus.COMPLETED for call in job.calls)


def _failures(job: Job) -> dict[str, JobError]:
    errors = {call.step: call.error for call in job.calls if call.error is not None}
    if job.error is not None:  # a step may fail without a call, such as a rejected one
        errors.setdefault(job.error.step or "", job.error)
    return errors
