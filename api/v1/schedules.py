"""Routes of schedules: create, list, read, change, pause, trigger, backfill, delete."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.deps import Svc
from api.idempotency import REPLAYED, IdempotencyKey, Idempotent
from api.prefix import located
from api.security import JobsRead, Starter
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, V1Route
from api.v1.pages import CursorQuery, Listing, cursor
from api.v1.schedule_bodies import BackfillBody, ChangeScheduleBody, NewScheduleBody, NoteBody, TriggerBody
from api.v1.schedule_views import BackfilledBody, ScheduleBody, ScheduleList, TriggeredBody
from api.v1.starts import START_ERRORS
from orchestrator.domain.pages import Position

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=V1Route, responses=ERRORS)

ScheduleId = Annotated[str, Path(description="`sch_…`", max_length=100)]


@router.post("", status_code=201, responses={**START_ERRORS, **ONCE})
async def create_schedule(
    *,
    body: NewScheduleBody,
    principal: Starter,
    services: Svc,
    response: Response,
    key: IdempotencyKey = None,
    once: Idempotent,
) -> ScheduleBody:
    """Create a schedule. Its runs are ordinary jobs of the caller with the label `schedule`."""
    schedule, replayed = await services.schedules.create(principal, body.request(key))
    response.headers["Location"] = located(f"/v1/schedules/{schedule.row.id}")
    if replayed:
        response.headers[REPLAYED] = "true"
    return ScheduleBody.of(schedule)


@router.get("")
async def list_schedules(principal: JobsRead, services: Svc, query: Annotated[CursorQuery, Query()]) -> ScheduleList:
    """The caller's schedules, oldest first; for an admin those of all owners."""
    after = query.position(Listing.SCHEDULES)
    page = await services.schedules.list(principal, limit=query.limit, offset=query.offset, after=after)
    more = page.more and page.last is not None
    end = cursor(Listing.SCHEDULES, Position(page.last.created_at, page.last.id)) if more and page.last else None
    rows = [ScheduleBody.of(schedule) for schedule in page.schedules]
    return ScheduleList(
        schedules=rows, total=page.total, limit=query.limit, offset=query.offset, next=end, has_more=more
    )


@router.get("/{schedule_id}", responses=NOT_FOUND)
async def get_schedule(schedule_id: ScheduleId, principal: JobsRead, services: Svc) -> ScheduleBody:
    """One schedule with its next five times and its last runs."""
    return ScheduleBody.of(await services.schedules.get(principal, schedule_id))


@router.patch("/{schedule_id}", responses=START_ERRORS)
async def change_schedule(
    schedule_id: ScheduleId, body: ChangeScheduleBody, principal: Starter, services: Svc
) -> ScheduleBody:
    """Change a schedule. A field that is left out does not change."""
    return ScheduleBody.of(await services.schedules.change(principal, schedule_id, body.change()))


@router.post("/{schedule_id}/pause", responses={**NOT_FOUND, **ONCE})
async def pause_schedule(
    *, schedule_id: ScheduleId, principal: Starter, services: Svc, body: NoteBody | None = None, once: Idempotent
) -> ScheduleBody:
    """Pause a schedule, with a note. Only a trigger or a backfill starts runs of it then."""
    note = (body or NoteBody()).note
    return ScheduleBody.of(await services.schedules.pause(principal, schedule_id, note))


@router.post("/{schedule_id}/unpause", responses={**NOT_FOUND, **ONCE})
async def unpause_schedule(
    *, schedule_id: ScheduleId, principal: Starter, services: Svc, body: NoteBody | None = None, once: Idempotent
) -> ScheduleBody:
    """Unpause a schedule, with a note."""
    note = (body or NoteBody()).note
    return ScheduleBody.of(await services.schedules.unpause(principal, schedule_id, note))


@router.post("/{schedule_id}/trigger", status_code=202, responses={**NOT_FOUND, **ONCE})
async def trigger_schedule(
    *, schedule_id: ScheduleId, principal: Starter, services: Svc, body: TriggerBody | None = None, once: Idempotent
) -> TriggeredBody:
    """Start a run now, in addition to the times of the schedule."""
    overlap = (body or TriggerBody()).overlap
    return TriggeredBody.of_trigger(*await services.schedules.trigger(principal, schedule_id, overlap))


@router.post("/{schedule_id}/backfill", status_code=202, responses={**NOT_FOUND, **ONCE})
async def backfill_schedule(
    schedule_id: ScheduleId, body: BackfillBody, principal: Starter, services: Svc, once: Idempotent
) -> BackfilledBody:
    """Start the runs of a period, at most 500, as if it passed now."""
    filled = await services.schedules.backfill(
        principal, schedule_id, start=body.start_at, end=body.end_at, overlap=body.overlap
    )
    return BackfilledBody.of_backfill(*filled)


@router.delete("/{schedule_id}", status_code=204, responses=NOT_FOUND)
async def delete_schedule(schedule_id: ScheduleId, principal: Starter, services: Svc) -> None:
    """Delete a schedule. Its running jobs continue."""
    await services.schedules.delete(principal, schedule_id)
