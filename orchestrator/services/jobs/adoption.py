"""Adopts workflows that were not started through the API as jobs: operators' copies, schedules, child workflows."""

import asyncio
import hashlib
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

import structlog
from pydantic import ValidationError

from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import Adopted, Adoption, JobIndexing, JobInput
from orchestrator.domain.errors import InvalidInput, NotFound, Unavailable, UnknownWorkflow
from orchestrator.domain.ids import JOB_ID_LIMIT, JobKind, addressable
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.text import NAME_LIMIT, headline, name
from orchestrator.domain.values import Place
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.job import job_input, project
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.jobs.start import JobStarter, StartRequest
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.schedules.runs import ScheduledRuns
from orchestrator.storage.jobs import JobRecord, JobRepository

log = structlog.get_logger(__name__)

_INDEX_TIMEOUT_SECONDS: Final = 5.0  # Seconds that an adoption waits for the index.
_MAX_LABELS: Final = 20


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobAdopter:
    """The port `JobAdoption`.

    It trusts the owner that an input or a search attribute names: only an operator may start workflows in Temporal.
    """

    catalogue: Catalogue
    starter: JobStarter
    gateway: TemporalGateway
    jobs: JobRepository
    values: JobValues
    scheduled: ScheduledRuns
    _: KW_ONLY
    worker: str

    async def adopt(self, adoption: Adoption) -> Adopted:
        """The job of the workflow. It counts as an open job of its owner.

        Limits refuse only the runs of the API's schedules.

        Raises `UnknownWorkflow` if only a worker with other plugins can adopt it; `NotFound`, `PayloadTooLarge`,
        `InvalidInput`, also for the id of another job; `Unavailable` if the owner of the parent cannot be read.
        """
        _check(adoption)
        if adoption.schedule is not None:
            self._kind(adoption.definition)
            if (run := await self.scheduled.accept(adoption)) is not None:
                return run
        parent = await self._parent(adoption.parent) if adoption.parent else None
        job = await self._job(adoption, _owner(adoption, parent))
        if adoption.parent is not None:
            job = job.model_copy(update={"tokens": _budget(parent)})
        try:
            async with asyncio.timeout(_INDEX_TIMEOUT_SECONDS):
                row = await self.jobs.get(job.job_id)
                if row is not None:  # of an earlier attempt, or of the run before a reset
                    _check_not_used(adoption, row)
                    job = job.model_copy(update={"owner": row.owner})
                await self.index(JobIndexing(job=job, run_id=adoption.run_id, at=adoption.at))
        except (Unavailable, TimeoutError) as error:
            log.warning("adopted_job_not_indexed", job_id=job.job_id, error=str(error))
            return Adopted(job=job, indexed=False)
        log.info("job_adopted", job_id=job.job_id, definition=job.definition, owner=job.owner)
        return Adopted(job=job, indexed=True)

    async def index(self, indexing: JobIndexing) -> None:
        """Write the row of an adopted job, as a running one, unless the row exists. Raises `Unavailable`."""
        job = indexing.job
        digest = hashlib.sha256(job.model_dump_json().encode()).hexdigest()
        await self.jobs.accept(job, request_hash=digest, at=indexing.at, runs=True)
        await self.jobs.started(job.job_id, indexing.run_id, await self.gateway.namespace_id())

    async def _job(self, adoption: Adoption, owner: str) -> JobInput:
        """The job. An operator's copy keeps its plan; every other workflow gets the present plan of the catalogue.

        The input of a child may come from a user, so its plan and its references to another job are ignored.
        """
        source = adoption.job_input
        labels = _origin(adoption)
        if source is not None and adoption.parent is None:
            source = await self._with_large_parts(source, adoption.job_id)
            if source.definition == adoption.definition:
                return await self._copy(source, adoption, owner, labels)
        value = source.input if source is not None else {} if adoption.value is None else adoption.value
        if not isinstance(value, dict):
            raise InvalidInput(
                f"The input of a job must be a JSON object, not {_type_name(value)}",
                field="input",
                expected="a JSON object",
            )
        _check_no_broken_copy(value)
        request = StartRequest(kind=self._kind(adoption.definition), target=adoption.definition, input=value)
        job = await self.starter.composed(request, owner=owner, job_id=adoption.job_id)
        options = {} if source is None else {"config": source.config, "webhook_url": _webhook_url(source, adoption)}
        return job.model_copy(update={"labels": labels, **options})

    async def _with_large_parts(self, copy: JobInput, job_id: str) -> JobInput:
        """A copy with its large parts: the Temporal UI copies an input without its references to them.

        Parts that were changed in the copy stay as they are. Raises `NotFound` for a part that is gone, `Unavailable`.
        """
        if copy.job_id == job_id:
            return copy
        try:
            facts, pending = await self.gateway.read(copy.job_id)
        except NotFound:
            return copy
        job = project(copy.job_id, facts, pending)
        before, now = {"input": job.input}, {"input": copy.input}
        unchanged = [
            part for part in job.stored if part.at[:1] == ("input",) and _at(now, part.at) == _at(before, part.at)
        ]
        update = {"input": copy.input, "result": None, "stored": unchanged}
        complete_job = await self.values.whole(job.model_copy(update=update))
        return copy.model_copy(update={"input": complete_job.input})

    async def _copy(self, source: JobInput, adoption: Adoption, owner: str, labels: dict[str, str]) -> JobInput:
        await self._check_copied(source)
        changes = {
            "job_id": adoption.job_id,
            "owner": owner,
            "name": headline(source.name),
            "labels": {**_bounded(source.labels), **labels},
            "webhook_url": _webhook_url(source, adoption),
            "carried": None,  # a copy begins with the first step
            "retry": None,
        }
        return source.model_copy(update=changes)

    async def _check_copied(self, copy: JobInput) -> None:
        """Raise as `JobStarter.composed` does if the input of a copy was changed into an invalid one."""
        try:
            kind = self._kind(copy.definition)
        except UnknownWorkflow:  # such as a turn of a conversation, whose plan is not in the catalogue
            return
        request = StartRequest(kind=kind, target=copy.definition, input=copy.input)
        await self.starter.composed(request, owner=copy.owner, job_id=copy.job_id)

    def _kind(self, definition: str) -> JobKind:
        """Raises `UnknownWorkflow`."""
        if definition in self.catalogue.workflows:
            return JobKind.WORKFLOW
        try:
            self.catalogue.agent(definition)
        except NotFound:
            raise UnknownWorkflow(
                f"Worker {self.worker} does not know workflow or agent {definition!r}; "
                "the job waits for a worker whose plugins have it.",
                workflow_id=definition,
            ) from None
        return JobKind.AGENT

    async def _parent(self, job_id: str) -> JobInput | None:
        """The job of a parent, from the index or from Temporal. Raises `Unavailable` if neither answers."""
        try:
            async with asyncio.timeout(_INDEX_TIMEOUT_SECONDS):
                row = await self.jobs.get(job_id)
        except (Unavailable, TimeoutError):
            row = None
        if row is not None:
            return row.job
        try:
            facts, _ = await self.gateway.read(job_id)
        except NotFound:
            return None
        return job_input(job_id, facts)


def _owner(adoption: Adoption, parent: JobInput | None) -> str:
    """The owner of the parent, else the one that the input or the search attribute names, else the admin."""
    input_owner = adoption.job_input.owner if adoption.job_input else None
    return (parent.owner if parent else "") or input_owner or adoption.owner or ADMIN.id


def _budget(parent: JobInput | None) -> TokenBudget | None:
    """The token budget of a child: that of its parent."""
    if parent is None or parent.tokens is None:
        return None
    return TokenBudget(monthly=parent.tokens.monthly, root=parent.tokens.root or parent.job_id)


def _at(value: Any, place: Place) -> Any:
    """The value at a place of a message, or None."""
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _check(adoption: Adoption) -> None:
    if not addressable(adoption.job_id):
        raise InvalidInput(
            f"The workflow id {adoption.job_id[:80]!r} cannot be the id of a job",
            field="workflow id",
            expected=f"1 to {JOB_ID_LIMIT} printable characters without a slash",
        )
    if adoption.inputs > 1:
        raise InvalidInput(
            f"A job has one input, but this workflow was started with {adoption.inputs}",
            field="input",
            expected="one JSON object",
        )


def _check_no_broken_copy(value: dict[str, Any]) -> None:
    """Raise `InvalidInput` if the input of a job was copied and changed into one that no job can have."""
    if not {"job_id", "definition", "plan"} <= value.keys():
        return
    try:
        JobInput.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"The copied input is not the input of a job: {place}: {first['msg']}"
        raise InvalidInput(message, field=place, expected="what the copied job was started with") from error


def _bounded(labels: dict[str, str]) -> dict[str, str]:
    """Labels from outside, shortened: every list of jobs includes them."""
    return {name(key): name(labels[key], 2 * NAME_LIMIT) for key in list(labels)[:_MAX_LABELS]}


def _origin(adoption: Adoption) -> dict[str, str]:
    """Labels that say where an adopted job comes from."""
    labels: dict[str, str] = {JobLabel.STARTED_BY: "operator"}
    if adoption.schedule:
        labels = {JobLabel.STARTED_BY: "schedule", JobLabel.SCHEDULE: adoption.schedule}
    if adoption.parent:
        labels = {JobLabel.STARTED_BY: "parent", JobLabel.PARENT: adoption.parent}
    copied = adoption.job_input.job_id if adoption.job_input else ""
    if copied and copied not in (adoption.job_id, adoption.parent):
        labels[JobLabel.COPY_OF] = copied
    return labels


def _webhook_url(source: JobInput, adoption: Adoption) -> str | None:
    """The callback of a copy is that of its source. A child has none: the end of its parent is reported."""
    return None if adoption.parent else source.webhook_url


def _type_name(value: Any) -> str:
    match value:
        case list():
            return "a list"
        case str() | bytes():
            return "a text"
        case _:
            return repr(value)[:80]


def _check_not_used(adoption: Adoption, row: JobRecord) -> None:
    """Raise `InvalidInput` for another workflow under the id of a job: the row belongs to that job."""
    new = adoption.first_run_id == adoption.run_id
    if new and row.run_id is not None and row.run_id != adoption.run_id:
        raise InvalidInput(
            f"The workflow id {adoption.job_id!r} is the id of a job that has ended; start it under another id",
            field="workflow id",
            expected="an id that no job has",
        )
