"""Schedules: their times, next and last runs; trigger, pause, unpause and delete."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.actions import note_of
from api.page.errors import PageRoute
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import AnyStarter, Reader, Submitted
from orchestrator.domain.schedules import Interval, ScheduleTimes

router = APIRouter(prefix=f"{ROOT}/schedules", include_in_schema=False, route_class=PageRoute)

_ROWS: Final = 100


@router.get("")
async def schedules_page(request: Request, services: Svc, visitor: Reader) -> Response:
    """The visitor's schedules, or all of them for an admin."""
    listed = await services.schedules.list(visitor.principal, limit=_ROWS)
    return page(request, visitor, "schedules.html", listed=listed, times=times_in_words)


@router.get("/{schedule_id}")
async def schedule_page(request: Request, services: Svc, visitor: Reader, schedule_id: str) -> Response:
    """One schedule."""
    schedule = await services.schedules.get(visitor.principal, schedule_id)
    return page(request, visitor, "schedule.html", schedule=schedule, times=times_in_words)


@router.post("/{schedule_id}/trigger")
async def trigger(services: Svc, visitor: AnyStarter, form: Submitted, schedule_id: str) -> Response:
    """Start a run now, and open its job unless the overlap policy holds it back."""
    _, job_id = await services.schedules.trigger(visitor.principal, schedule_id, None)
    return see_other(url(f"/jobs/{job_id}") if job_id else url(f"/schedules/{schedule_id}"))


@router.post("/{schedule_id}/pause")
async def pause(services: Svc, visitor: AnyStarter, form: Submitted, schedule_id: str) -> Response:
    """Pause the schedule."""
    await services.schedules.pause(visitor.principal, schedule_id, note_of(form.text("note")))
    return see_other(url(f"/schedules/{schedule_id}"))


@router.post("/{schedule_id}/unpause")
async def unpause(services: Svc, visitor: AnyStarter, form: Submitted, schedule_id: str) -> Response:
    """Unpause the schedule."""
    await services.schedules.unpause(visitor.principal, schedule_id, "")
    return see_other(url(f"/schedules/{schedule_id}"))


@router.post("/{schedule_id}/delete")
async def delete(services: Svc, visitor: AnyStarter, form: Submitted, schedule_id: str) -> Response:
    """Delete the schedule. Its running jobs continue."""
    await services.schedules.delete(visitor.principal, schedule_id)
    return see_other(url("/schedules"))


def times_in_words(times: ScheduleTimes) -> str:
    """The times of a schedule on one line."""
    parts = [*times.cron, *map(_interval, times.intervals)]
    if times.calendars:
        parts.append(f"{len(times.calendars)} calendars" if len(times.calendars) > 1 else "a calendar")
    return f"{', '.join(parts)} ({times.time_zone})"


def _interval(interval: Interval) -> str:
    seconds = int(interval.every.total_seconds())
    units = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    unit, word = next((unit, word) for unit, word in units if seconds % unit == 0 and seconds >= unit)
    number = seconds // unit
    return f"every {word}" if number == 1 else f"every {number} {word}s"
