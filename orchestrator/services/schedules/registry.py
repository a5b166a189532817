"""Creates, lists, changes, pauses, triggers and deletes schedules of callers."""

import asyncio
import builtins
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from orchestrator.domain.access import START_SCOPES, Principal
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import (
    IdempotencyReuse,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    WrongState,
)
from orchestrator.domain.ids import digest
from orchestrator.domain.pages import Position
from orchestrator.domain.schedules import (
    MAX_BACKFILL,
    MAX_SCHEDULE_INPUT,
    Overlap,
    Schedule,
    SchedulePlan,
    ScheduleRow,
    schedule_id,
)
from orchestrator.engine.job_schedules import JobSchedules
from orchestrator.services.access.idempotency import check_idempotency_key
from orchestrator.services.access.permissions import permitted
from orchestrator.services.jobs.start import JobStarter, StartRequest
from orchestrator.storage.schedules import ScheduleRepository

log = structlog.get_logger(__name__)

_READS_AT_ONCE: Final = 10
_CREATING: Final = timedelta(minutes=1)  # A younger row without a schedule in Temporal may be of a request that runs.
_RECORDING: Final = timedelta(seconds=2)
_LOOK: Final = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A new schedule. The job of `plan` is made of `start`, the start of each run."""

    start: StartRequest
    plan: Callable[[JobInput], SchedulePlan]
    name: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """The changes of a schedule: fields of `StartRequest`, fields of `SchedulePlan`, and its name."""

    start: dict[str, Any]
    plan: dict[str, Any]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """One page of schedules, oldest first, the last row of the page, and the total."""

    schedules: builtins.list[Schedule]
    last: ScheduleRow | None
    more: bool
    total: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Schedules:
    """Schedules of callers; an admin sees and changes those of everybody.

    Every method raises `Unavailable`. Methods that name a schedule raise `NotFound`, also for another owner's; those
    that change one raise `Forbidden` without the scope that its runs need.
    """

    rows: ScheduleRepository
    temporal: JobSchedules
    starter: JobStarter
    _: KW_ONLY
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    async def create(self, principal: Principal, request: ScheduleRequest) -> tuple[Schedule, bool]:
        """A new schedule of the caller, and whether an earlier request with the idempotency key created it.

        Creates nothing unless the whole request is valid. Raises as `JobStarter.start` does, and `InvalidInput` for
        times that never come, and for a caller with too many schedules.
        """
        principal.require(START_SCOPES[request.start.kind])
        new_id = self._id(principal, request.idempotency_key)
        job = await self._checked(principal, request.start, owner=principal.id, schedule=new_id)
        plan = request.plan(job)
        await self.temporal.check_available()
        at = self.clock()
        row = ScheduleRow(
            id=new_id,
            owner=principal.id,
            kind=job.kind,
            name=request.name or job.name,
            key_id=principal.key,
            tier=principal.tier,
            request_hash=_digest(plan, request.name),
            created_at=at,
            updated_at=at,
        )
        existing = await self.rows.add(row)
        if existing is not None and existing.request_hash != row.request_hash:
            raise _reused(new_id)
        try:
            # Again for an existing row: the earlier request may have got no answer from Temporal.
            await self.temporal.create(new_id, plan)
        except (InvalidInput, NotFound):
            if existing is None:
                await self.rows.delete(new_id)
            raise
        schedule = await self._read(existing or row)
        if existing is None and not schedule.course.next_runs:
            await self._drop(new_id)
            raise InvalidInput(
                "invalid spec: none of its times is in the future", field="spec", expected="future times"
            )
        log.info("schedule_created", schedule_id=new_id, owner=row.owner)
        return schedule, existing is not None

    async def list(
        self, principal: Principal, *, limit: int, offset: int = 0, after: Position | None = None
    ) -> SchedulePage:
        """One page of the caller's schedules, oldest first. An admin lists those of everybody."""
        owner = None if principal.admin else principal.id
        rows, total = await self.rows.list(owner=owner, limit=limit + 1, offset=offset, after=after)
        page, at_once = rows[:limit], asyncio.Semaphore(_READS_AT_ONCE)

        async def read(row: ScheduleRow) -> Schedule | None:
            async with at_once:
                try:
                    return await self._read(row)
                except (NotFound, WrongState) as error:
                    log.warning("schedule_not_listed", schedule_id=row.id, error=error.message)
                    return None

        schedules = [each for each in await asyncio.gather(*map(read, page)) if each is not None]
        return SchedulePage(schedules, page[-1] if page else None, len(rows) > limit, total)

    async def get(self, principal: Principal, schedule_id: str) -> Schedule:
        """One schedule."""
        return await self._read(await self._row(principal, schedule_id))

    async def change(self, principal: Principal, schedule_id: str, change: ScheduleChange) -> Schedule:
        """Change a schedule. It depends on the caller's credential from now on, unless another admin changes it.

        Changes nothing unless all changes are valid. Raises as `create` does.
        """
        row = await self._changeable(principal, schedule_id)
        before = (await self._read(row)).plan
        request = replace(_request(before.job), **change.start)
        job = await self._checked(principal, request, owner=row.owner, schedule=row.id)

        def changed(plan: SchedulePlan) -> SchedulePlan:
            return replace(plan, job=job, **change.plan)

        await self.temporal.change(schedule_id, changed)
        values: dict[str, Any] = {"updated_at": self.clock(), "name": change.name or row.name}
        if principal.id == row.owner:
            values |= {"key_id": principal.key, "tier": principal.tier}
        log.info("schedule_changed", schedule_id=schedule_id, owner=row.owner)
        return await self._read(await self.rows.change(schedule_id, **values) or row)

    async def pause(self, principal: Principal, schedule_id: str, note: str) -> Schedule:
        """Pause a schedule: it starts no runs, except by `trigger` and `backfill`."""
        row = await self._changeable(principal, schedule_id)
        await self.temporal.pause(schedule_id, note or f"Paused by {principal.id}")
        return await self._read(row)

    async def unpause(self, principal: Principal, schedule_id: str, note: str) -> Schedule:
        """Unpause a schedule."""
        row = await self._changeable(principal, schedule_id)
        await self.temporal.unpause(schedule_id, note or f"Unpaused by {principal.id}")
        return await self._read(row)

    async def trigger(
        self, principal: Principal, schedule_id: str, overlap: Overlap | None
    ) -> tuple[Schedule, str | None]:
        """Start a run now, also of a paused schedule. Returns its job id; None if the overlap policy holds it back."""
        row = await self._changeable(principal, schedule_id)
        job_id = await self.temporal.trigger(schedule_id, overlap)
        if job_id is not None:
            await self._recorded(job_id)
        return await self._read(row), job_id

    async def _recorded(self, job_id: str) -> None:
        """Wait until the run is a job of its owner, who reads it next. Without a worker, it is one only later."""
        for _ in range(_RECORDING // _LOOK):
            if await self.starter.jobs.get(job_id) is not None:
                return
            await asyncio.sleep(_LOOK.total_seconds())

    async def backfill(
        self, principal: Principal, schedule_id: str, *, start: datetime, end: datetime, overlap: Overlap
    ) -> tuple[Schedule, int]:
        """Start the runs of a period as if it passed now. Returns how many there are.

        Raises `InvalidInput` for a period without runs, or with more than `MAX_BACKFILL`.
        """
        row = await self._changeable(principal, schedule_id)
        if start > end:
            raise InvalidInput("invalid end_at: it is before start_at", field="end_at", expected="a later time")
        runs = await self.temporal.times(schedule_id, start, end)
        if not 0 < runs <= MAX_BACKFILL:
            message = f"invalid period: the schedule has {runs} runs in it"
            raise InvalidInput(message, field="end_at", expected=f"a period with 1 to {MAX_BACKFILL} runs")
        await self.temporal.backfill(schedule_id, start, end, overlap)
        return await self._read(row), runs

    async def delete(self, principal: Principal, schedule_id: str) -> None:
        """Delete a schedule. Its running jobs continue."""
        await self._changeable(principal, schedule_id)
        await self._drop(schedule_id)
        log.info("schedule_deleted", schedule_id=schedule_id)

    async def _drop(self, schedule_id: str) -> None:
        with suppress(NotFound):  # deleted in Temporal
            await self.temporal.delete(schedule_id)
        await self.rows.delete(schedule_id)

    async def _checked(self, principal: Principal, request: StartRequest, *, owner: str, schedule: str) -> JobInput:
        """The start of each run, checked as a start is now."""
        size = len(json.dumps(request.input, ensure_ascii=False).encode())
        if size > MAX_SCHEDULE_INPUT:
            raise PayloadTooLarge(
                f"The input is {size} bytes as JSON, more than a schedule may have ({MAX_SCHEDULE_INPUT})",
                field="input",
                expected=f"at most {MAX_SCHEDULE_INPUT} bytes as JSON",
            )
        job = await self.starter.composed(request, owner=owner, job_id=schedule)
        job = permitted(job, principal, self.starter.quotas.limits(principal))
        self.starter.models.check(job, field=request.model_field)
        await self.starter.check_callback(principal, request.webhook_url)
        return job

    def _id(self, principal: Principal, key: str | None) -> str:
        if key is None:
            return schedule_id(self.new_id())
        check_idempotency_key(key)
        return schedule_id(digest("schedule", principal.id, key)[:32])

    async def _row(self, principal: Principal, schedule_id: str) -> ScheduleRow:
        row = await self.rows.get(schedule_id)
        if row is None or not principal.can_see(row.owner):
            raise _unknown(schedule_id)
        return row

    async def _changeable(self, principal: Principal, schedule_id: str) -> ScheduleRow:
        row = await self._row(principal, schedule_id)
        principal.require(START_SCOPES[row.kind])
        return row

    async def _read(self, row: ScheduleRow) -> Schedule:
        try:
            plan, course = await self.temporal.read(row.id)
        except NotFound:
            if self.clock() - row.created_at > _CREATING:
                await self.rows.delete(row.id)
                log.warning("schedule_deleted_in_temporal", schedule_id=row.id, owner=row.owner)
            raise _unknown(row.id) from None
        return Schedule(row, plan, course)


def _request(job: JobInput) -> StartRequest:
    """The request that a schedule's runs were composed from."""
    return StartRequest(
        kind=job.kind,
        target=job.definition,
        input=job.input,
        config=job.config,
        webhook_url=job.webhook_url,
        labels=job.labels,
    )


def _digest(plan: SchedulePlan, name: str) -> str:
    job = plan.job.model_dump_json(include={"kind", "definition", "input", "config", "webhook_url", "labels"})
    others = [getattr(plan, field) for field in SchedulePlan.__dataclass_fields__ if field != "job"]
    return hashlib.sha256(repr((name, job, others)).encode()).hexdigest()


def _reused(new_id: str) -> IdempotencyReuse:
    return IdempotencyReuse(
        "This Idempotency-Key was used before with another request",
        field="Idempotency-Key",
        expected="the same request, or a new key",
        schedule_id=new_id,
    )


def _unknown(schedule_id: str) -> NotFound:
    return NotFound(f"Unknown schedule: {schedule_id[:80]}", schedule_id=schedule_id[:80])
