"""The complete output of a job, with its large parts read from the stores."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobOutputs:
    """Reads outputs (D-053)."""

    reader: JobReader
    partials: PartialOutputs
    artifacts: ArtifactStore
    values: JobValues

    async def get(self, principal: Principal, job_id: str) -> dict[str, Any]:
        """The whole output of a job. For a job that ended without a result: the answers of its finished calls.

        Raises `NotFound`, `WrongState` while there is no output, `Unavailable`.
        """
        job = await self.reader.get(principal, job_id)
        if job.result is None and job.state.terminal:
            job = job.model_copy(update={"result": await self.partials.of(job)})
        return await self.of_job(job)

    async def output_or_preview(self, job: Job) -> dict[str, Any] | None:
        """The output of a job, or its preview if a part is gone. None while there is none. Raises `Unavailable`."""
        if job.result is None:
            return None
        try:
            return await self.of_job(job)
        except NotFound as error:
            log.warning("output_not_whole", job_id=job.id, error=error.message)
            return job.result

    async def of_job(self, job: Job) -> dict[str, Any]:
        """The whole output of a job that the caller has read. Raises `WrongState`, `NotFound`, `Unavailable`."""
        if job.result is None:
            raise WrongState(
                f"Job {job.id} has no output: its state is {job.state}", job_id=job.id, state=str(job.state)
            )
        job = await self.values.whole(job)
        result = dict(job.result or {})
        files: list[dict[str, Any]] = []
        for item in result.get("deliverables", []):
            files += await self._files_of(item) if item.get("artifact") else [item]
        result["deliverables"] = files
        artifacts = [item["artifact"] for item in (job.result or {}).get("deliverables", []) if item.get("artifact")]
        if job.kind == "agent" and artifacts:
            result["output"] = (await self.artifacts.get(artifacts[0]))["output"]
        return result

    async def _files_of(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The files of one stored agent result, which replace the reference to it."""
        body = await self.artifacts.get(item["artifact"])
        report = {**item, "content": body["output"], "artifact": None}
        files = [
            {**file, "step": item["step"], "agent": item["agent"], "artifact": None}
            for file in body.get("deliverables", [])
        ]
        return [*files, report]
