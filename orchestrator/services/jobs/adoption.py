"""Makes jobs of workflows that were not started through the API: copies, schedules' starts, children."""

import asyncio
import hashlib
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
from orchestrator.storage.jobs import JobRecord, JobRepository

log = structlog.get_logger(__name__)

_INDEX_PATIENCE: Final = 5.0  # Seconds that an adoption waits for the index.
_MOST_LABELS: Final = 20


class JobAdopter:
    """The port `JobAdoption`.

    It trusts the owner that an input or a search attribute names: who may start workflows in Temporal is an operator.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        starter: JobStarter,
        gateway: TemporalGateway,
        jobs: JobRepository,
        values: JobValues,
        *,
        worker: str,
    ) -> None:
        self._catalogue = catalogue
        self._starter = starter
        self._gateway = gateway
        self._jobs = jobs
        self._values = values
        self._worker = worker

    async def adopt(self, adoption: Adoption) -> Adopted:
        """The job that the workflow is from now on. Its owner's slots are counted and not checked.

        Raises `UnknownWorkflow` if only a worker with other plugins can; `NotFound`, `PayloadTooLarge`, `InvalidInput`,
        also for the id of another job; `Unavailable` if nobody can say who owns the parent.
        """
        _check(adoption)
        parent = await self._parent(adoption.parent) if adoption.parent else None
        job = await self._job(adoption, _owner(adoption, parent))
        if adoption.parent is not None:
            job = job.model_copy(update={"tokens": _budget(parent)})
        try:
            async with asyncio.timeout(_INDEX_PATIENCE):
                there = await self._jobs.get(job.job_id)
                if there is not None:  # an earlier attempt, or a reset
                    _check_not_used(adoption, there)
                    job = job.model_copy(update={"owner": there.owner})
                await self.index(JobIndexing(job=job, run_id=adoption.run_id, at=adoption.at))
        except (Unavailable, TimeoutError) as fault:
            log.warning("adopted_job_not_indexed", job_id=job.job_id, error=str(fault))
            return Adopted(job=job, indexed=False)
        log.info("job_adopted", job_id=job.job_id, definition=job.definition, owner=job.owner)
        return Adopted(job=job, indexed=True)

    async def index(self, indexing: JobIndexing) -> None:
        """Write the row of an adopted job as that of one that runs, unless it is there. Raises `Unavailable`."""
        job = indexing.job
        digest = hashlib.sha256(job.model_dump_json().encode()).hexdigest()
        await self._jobs.accept(job, request_hash=digest, at=indexing.at, runs=True)
        await self._jobs.started(job.job_id, indexing.run_id, await self._gateway.namespace_id())

    async def _job(self, adoption: Adoption, owner: str) -> JobInput:
        """An operator's copy keeps its plan; anything else gets the catalogue's plan of today.

        A child's input may be what a user sent: it names neither a plan nor another job whose large parts it gets.
        """
        given = adoption.given
        labels = _origin(adoption)
        if given is not None and adoption.parent is None:
            given = await self._whole(given, adoption.job_id)
            if given.definition == adoption.definition:
                return await self._copy(given, adoption, owner, labels)
        value = given.input if given is not None else {} if adoption.value is None else adoption.value
        if not isinstance(value, dict):
            raise InvalidInput(
                f"The input of a job is a JSON object, and this is {_kind(value)}",
                field="input",
                expected="a JSON object",
            )
        _check_no_broken_copy(value)
        request = StartRequest(kind=self._kind(adoption.definition), target=adoption.definition, input=value)
        job = await self._starter.composed(request, owner=owner, job_id=adoption.job_id)
        kept = {} if given is None else {"config": given.config, "webhook_url": _webhook_url(given, adoption)}
        return job.model_copy(update={"labels": labels, **kept})

    async def _whole(self, given: JobInput, job_id: str) -> JobInput:
        """A copy with its large parts: the UI copies an input without the references to them.

        Parts that were changed in the copy stay as they are. Raises `NotFound` for a part that is gone, `Unavailable`.
        """
        if given.job_id == job_id:
            return given
        try:
            facts, pending = await self._gateway.read(given.job_id)
        except NotFound:
            return given
        source = project(given.job_id, facts, pending)
        before, now = {"input": source.input}, {"input": given.input}
        left = [
            part for part in source.stored if part.at[:1] == ("input",) and _at(now, part.at) == _at(before, part.at)
        ]
        update = {"input": given.input, "result": None, "stored": left}
        whole = await self._values.whole(source.model_copy(update=update))
        return given.model_copy(update={"input": whole.input})

    async def _copy(self, given: JobInput, adoption: Adoption, owner: str, labels: dict[str, str]) -> JobInput:
        await self._check_copied(given)
        changes = {
            "job_id": adoption.job_id,
            "owner": owner,
            "name": headline(given.name),
            "labels": {**_bounded(given.labels), **labels},
            "webhook_url": _webhook_url(given, adoption),
            "carried": None,  # a copy begins with the first step
            "retry": None,
        }
        return given.model_copy(update=changes)

    async def _check_copied(self, given: JobInput) -> None:
        """Raise as `JobStarter.composed` does if a copy's input was changed into one that does not fit."""
        try:
            kind = self._kind(given.definition)
        except UnknownWorkflow:  # such as a turn of a conversation: its plan came from elsewhere
            return
        request = StartRequest(kind=kind, target=given.definition, input=given.input)
        await self._starter.composed(request, owner=given.owner, job_id=given.job_id)

    def _kind(self, definition: str) -> JobKind:
        """Raises `UnknownWorkflow`."""
        if definition in self._catalogue.workflows:
            return JobKind.WORKFLOW
        try:
            self._catalogue.agent(definition)
        except NotFound:
            raise UnknownWorkflow(
                f"Worker {self._worker} does not know workflow or agent {definition!r}; "
                "the job waits for a worker whose plugins have it.",
                workflow_id=definition,
            ) from None
        return JobKind.AGENT

    async def _parent(self, job_id: str) -> JobInput | None:
        """The job of a parent. Raises `Unavailable` if neither the index nor Temporal tells."""
        try:
            async with asyncio.timeout(_INDEX_PATIENCE):
                row = await self._jobs.get(job_id)
        except (Unavailable, TimeoutError):
            row = None
        if row is not None:
            return row.job
        try:
            facts, _ = await self._gateway.read(job_id)
        except NotFound:
            return None
        return job_input(job_id, facts)


def _owner(adoption: Adoption, parent: JobInput | None) -> str:
    """The parent's owner; else the one that the input or the search attribute names; else the admin."""
    given = adoption.given.owner if adoption.given else None
    return (parent.owner if parent else "") or given or adoption.owner or ADMIN.id


def _budget(parent: JobInput | None) -> TokenBudget | None:
    """A child pays from the same month as its parent."""
    if parent is None or parent.tokens is None:
        return None
    return TokenBudget(monthly=parent.tokens.monthly, root=parent.tokens.root or parent.job_id)


def _at(value: Any, place: Place) -> Any:
    """What a message holds at a place, or None."""
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
            f"A job has one input, and this workflow was started with {adoption.inputs}",
            field="input",
            expected="one JSON object",
        )


def _check_no_broken_copy(value: dict[str, Any]) -> None:
    """Raise `InvalidInput` for the input of a job that was changed into one that no job can have."""
    if not {"job_id", "definition", "plan"} <= value.keys():
        return
    try:
        JobInput.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"The copied input is not that of a job: {place}: {first['msg']}"
        raise InvalidInput(message, field=place, expected="what the copied job was started with") from error


def _bounded(labels: dict[str, str]) -> dict[str, str]:
    """A stranger's labels, cut: every list of jobs carries them."""
    return {name(key): name(labels[key], 2 * NAME_LIMIT) for key in list(labels)[:_MOST_LABELS]}


def _origin(adoption: Adoption) -> dict[str, str]:
    """Labels that say where an adopted job comes from."""
    labels: dict[str, str] = {JobLabel.STARTED_BY: "operator"}
    if adoption.schedule:
        labels = {JobLabel.STARTED_BY: "schedule", JobLabel.SCHEDULE: adoption.schedule}
    if adoption.parent:
        labels = {JobLabel.STARTED_BY: "parent", JobLabel.PARENT: adoption.parent}
    copied = adoption.given.job_id if adoption.given else ""
    if copied and copied not in (adoption.job_id, adoption.parent):
        labels[JobLabel.COPY_OF] = copied
    return labels


def _webhook_url(given: JobInput, adoption: Adoption) -> str | None:
    """A copy reports to the same URL. A child does not: the end of its parent says all."""
    return None if adoption.parent else given.webhook_url


def _kind(value: Any) -> str:
    match value:
        case list():
            return "a list"
        case str() | bytes():
            return "a text"
        case _:
            return repr(value)[:80]


def _check_not_used(adoption: Adoption, there: JobRecord) -> None:
    """Raise `InvalidInput` for another workflow under the id of a job: that job stays what it was."""
    new = adoption.first_run_id == adoption.run_id
    if new and there.run_id is not None and there.run_id != adoption.run_id:
        raise InvalidInput(
            f"The workflow id {adoption.job_id!r} is the id of a job that has ended; start it under another id",
            field="workflow id",
            expected="an id that no job has",
        )
