"""The complete output of a job, with what was too large to carry fetched from where it lies."""

from typing import Any

import structlog

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import NotFound, WrongState
from orchestrator.domain.jobs import Job
from orchestrator.domain.ports import ArtifactStore
from orchestrator.services.jobs.partial_output import PartialOutputs
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.values import JobValues

log = structlog.get_logger(__name__)


class JobOutputs:
    """Reads outputs (D-053)."""

    def __init__(
        self, reader: JobReader, partials: PartialOutputs, artifacts: ArtifactStore, values: JobValues
    ) -> None:
        self._reader = reader
        self._partials = partials
        self._artifacts = artifacts
        self._values = values

    async def get(self, principal: Principal, job_id: str) -> dict[str, Any]:
        """The job's whole output; of one that ended without, what its finished calls answered.

        Raises `NotFound`, `WrongState` while there is none, `Unavailable`.
        """
        job = await self._reader.get(principal, job_id)
        if job.result is None and job.state.terminal:
            job = job.model_copy(update={"result": await self._partials.of(job)})
        return await self.of(job)

    async def shown(self, job: Job) -> dict[str, Any] | None:
        """The job's output, whole but for parts that are gone; None while there is none. Raises `Unavailable`."""
        if job.result is None:
            return None
        try:
            return await self.of(job)
        except NotFound as fault:
            log.warning("output_not_whole", job_id=job.id, error=fault.message)
            return job.result

    async def of(self, job: Job) -> dict[str, Any]:
        """The whole output of a job that was read already. Raises `WrongState`, `NotFound`, `Unavailable`."""
        if job.result is None:
            what = f"ended as {job.state} without one" if job.state.terminal else f"is {job.state}"
            raise WrongState(f"Job {job.id} has no output: it {what}", job_id=job.id, state=str(job.state))
        job = await self._values.whole(job)
        result = dict(job.result or {})
        files: list[dict[str, Any]] = []
        for item in result.get("deliverables", []):
            files += await self._whole(item) if item.get("artifact") else [item]
        result["deliverables"] = files
        only = [item["artifact"] for item in (job.result or {}).get("deliverables", []) if item.get("artifact")]
        if job.kind == "agent" and only:
            result["output"] = (await self._artifacts.get(only[0]))["output"]
        return result

    async def _whole(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The files that one stored agent result holds, in place of the reference to it."""
        body = await self._artifacts.get(item["artifact"])
        report = {**item, "content": body["output"], "artifact": None}
        own = [
            {**file, "step": item["step"], "agent": item["agent"], "artifact": None}
            for file in body.get("deliverables", [])
        ]
        return [*own, report]
