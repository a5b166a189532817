"""Create a schedule: its times, and the input of its runs from the schema of an agent or a workflow."""

from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.forms import value_of_form
from api.page.rendering import ROOT, page, see_other, url
from api.page.target_forms import Entry, body_of_form, entry_of, form_values, key_of, labels_of, own_fault
from api.page.visitors import Form, Starter, Submitted, Visitor
from api.v1.schedule_bodies import NewScheduleBody
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.schedules import Overlap, Schedule

router = APIRouter(prefix=f"{ROOT}/schedules/new", include_in_schema=False, route_class=PageRoute)

_UNITS: Final = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
_FIELDS: Final = {"every_seconds": "every", "intervals": "every", "spec": "cron"}
"""Fields of the body of the API, each with the field of the form that sets it, where the names differ."""
_OWN: Final = {"name": "", "cron": "", "every": "", "unit": "", "time_zone": "UTC", "overlap": "", "labels": ""}


@router.get("/{kind}/{target}")
async def new_page(request: Request, services: Svc, visitor: Starter, kind: JobKind, target: str) -> Response:
    """The empty form."""
    return _form_page(request, visitor, entry_of(services, kind, target))


@router.post("/{kind}/{target}")
async def create(
    *, request: Request, services: Svc, visitor: Starter, form: Submitted, kind: JobKind, target: str
) -> Response:
    """Create the schedule and open it; or show the form again with its fault."""
    entry = entry_of(services, kind, target)
    try:
        body = _body(entry, form)
        schedule, _ = await services.schedules.create(visitor.principal, body.request(key_of(form)))
    except InvalidInput as fault:
        return _form_page(request, visitor, entry, form=form, fault=fault)
    if visitor.can(Scope.JOBS_READ):
        return see_other(url(f"/schedules/{schedule.row.id}"))
    return _form_page(request, visitor, entry, created=schedule)


def _form_page(
    request: Request,
    visitor: Visitor,
    entry: Entry,
    *,
    form: Form | None = None,
    fault: InvalidInput | None = None,
    created: Schedule | None = None,
) -> Response:
    values = form_values(entry, _OWN, form=form, fault=fault)
    choices = {"overlaps": list(Overlap), "units": list(_UNITS), "created": created}
    return page(request, visitor, "schedule_new.html", status=400 if fault else 200, **choices, **values)


def _body(entry: Entry, form: Form) -> NewScheduleBody:
    """The body of the request that the form stands for. Raises `InvalidInput`."""
    spec: dict[str, Any] = {"time_zone": form.text("time_zone") or "UTC"}
    if cron := form.text("cron"):
        spec["cron"] = [cron]
    if every := form.text("every"):
        unit = _UNITS.get(form.text("unit"), _UNITS["minutes"])
        if not every.isascii() or not every.isdigit() or len(every) > 6:
            raise own_fault("Write a whole number", "every", "a whole number")
        spec["intervals"] = [{"every_seconds": int(every) * int(unit.total_seconds())}]
    if "cron" not in spec and "intervals" not in spec:
        raise own_fault("Say when it runs: a cron expression or an interval", "cron", "0 6 * * 1-5")
    body = {
        f"{entry.kind}_id": entry.target,
        "labels": labels_of(form),
        "input": value_of_form(entry.schema, form),
        "spec": spec,
        "overlap": form.text("overlap") or Overlap.SKIP,
        "name": form.text("name") or None,
    }
    return body_of_form(NewScheduleBody, body, _FIELDS, list(_OWN))
