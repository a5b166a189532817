"""Create a schedule: its times, and the input of its runs from the schema of an agent or a workflow."""

import secrets
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.forms import fields_of_form, value_of_form
from api.page.rendering import ROOT, page, see_other, url
from api.page.start import entry_of, key_of, labels_of
from api.page.visitors import Form, Starter, Submitted, Visitor
from api.v1.schedule_bodies import NewScheduleBody
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.schedules import Overlap, Schedule
from orchestrator.services.container import Services

router = APIRouter(prefix=f"{ROOT}/schedules/new", include_in_schema=False, route_class=PageRoute)

_UNITS: Final = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
_FIELDS: Final = {"every_seconds": "every", "intervals": "every", "spec": "cron"}
"""Fields of the body of the API, each with the field of the form that sets it, where the names differ."""
_OWN: Final = ("name", "cron", "every", "time_zone", "overlap", "labels")


@router.get("/{kind}/{target}")
async def new_page(request: Request, services: Svc, visitor: Starter, kind: JobKind, target: str) -> Response:
    """The empty form."""
    return _form_page(request, services, visitor, kind, target)


@router.post("/{kind}/{target}")
async def create(
    *, request: Request, services: Svc, visitor: Starter, form: Submitted, kind: JobKind, target: str
) -> Response:
    """Create the schedule and open it; or show the form again with its fault."""
    try:
        body = _body(kind, target, entry_of(services, kind, target)["schema"], form)
        schedule, _ = await services.schedules.create(visitor.principal, body.request(key_of(form)))
    except InvalidInput as fault:
        return _form_page(request, services, visitor, kind, target, form=form, fault=fault)
    if visitor.can(Scope.JOBS_READ):
        return see_other(url(f"/schedules/{schedule.row.id}"))
    return _form_page(request, services, visitor, kind, target, created=schedule)


def _form_page(
    request: Request,
    services: Services,
    visitor: Visitor,
    kind: JobKind,
    target: str,
    *,
    form: Form | None = None,
    fault: InvalidInput | None = None,
    created: Schedule | None = None,
) -> Response:
    entry = entry_of(services, kind, target)
    field = "" if fault is None else str(fault.details.get("field", ""))
    # A field of the input can have the name of a field of the schedule.
    own_fault = field if field in _OWN and fault is not None and fault.details.get("of") == "schedule" else ""
    fields = fields_of_form(entry["schema"], {}, None if own_fault else fault, form)
    is_shown = own_fault or any(each.fault for each in fields)
    return page(
        request,
        visitor,
        "schedule_new.html",
        status=400 if fault else 200,
        kind=kind,
        target=target,
        entry=entry,
        fields=fields,
        own={name: form.text(name) if form else "" for name in (*_OWN, "unit")},
        faults={own_fault: fault.message} if own_fault and fault else {},
        fault="" if fault is None or is_shown else fault.message,
        overlaps=list(Overlap),
        units=list(_UNITS),
        once=(form.text("once") if form else "") or secrets.token_hex(12),
        created=created,
    )


def _body(kind: JobKind, target: str, schema: dict[str, Any], form: Form) -> NewScheduleBody:
    """The body of the request that the form stands for. Raises `InvalidInput`."""
    spec: dict[str, Any] = {"time_zone": form.text("time_zone") or "UTC"}
    if cron := form.text("cron"):
        spec["cron"] = [cron]
    if every := form.text("every"):
        unit = _UNITS.get(form.text("unit"), _UNITS["minutes"])
        if not every.isascii() or not every.isdigit() or len(every) > 6:
            raise InvalidInput("Write a whole number", field="every", expected="a whole number", of="schedule")
        spec["intervals"] = [{"every_seconds": int(every) * int(unit.total_seconds())}]
    if "cron" not in spec and "intervals" not in spec:
        message = "Say when it runs: a cron expression or an interval"
        raise InvalidInput(message, field="cron", expected="0 6 * * 1-5", of="schedule")
    try:
        labels = labels_of(form)
    except InvalidInput as error:
        raise InvalidInput(error.message, **{**error.details, "of": "schedule"}) from error
    body = {
        f"{kind}_id": target,
        "input": value_of_form(schema, form),
        "spec": spec,
        "overlap": form.text("overlap") or Overlap.SKIP,
        "labels": labels,
        "name": form.text("name") or None,
    }
    try:
        return NewScheduleBody.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(part) for part in first["loc"] if isinstance(part, str)]
        field = next((name for name in reversed(names) if name in _OWN or name in _FIELDS), "")
        fault = InvalidInput(f"{' '.join(names)}: {first['msg']}", field=_FIELDS.get(field, field), of="schedule")
        raise fault from error
