"""Forms about an agent or a workflow: what those of a start and of a schedule share, their faults above all."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from api.page.forms import fields_of_form
from api.page.visitors import Form
from orchestrator.domain.errors import InvalidInput, ModelNotConfigured
from orchestrator.domain.ids import JobKind
from orchestrator.services.container import Services

_OWN: Final = "form"  # A field of the input can have the name of a field of the form itself.
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Entry:
    """The agent or workflow that a form is about."""

    kind: JobKind
    target: str
    name: str
    description: str
    schema: dict[str, Any]


def entry_of(services: Services, kind: JobKind, target: str) -> Entry:
    """The agent or workflow of a form. Raises `NotFound`."""
    if kind is JobKind.AGENT:
        agent = services.catalogue.agent(target)
        return Entry(kind, target, agent.name, agent.description, agent.input_schema())
    definition = services.catalogue.workflow(target)
    return Entry(kind, target, definition.name, definition.description, definition.input_schema)


def form_values(
    entry: Entry,
    own: Mapping[str, str],
    *,
    values: Mapping[str, Any] | None = None,
    form: Form | None = None,
    fault: InvalidInput | None = None,
) -> dict[str, Any]:
    """What the templates of both forms show. `own` has the fields beside the input, with their texts in an empty form.

    A fault is shown at its field, in `fields` or `faults`, else as `fault` above the form.
    """
    at = _own_field(fault, own)
    fields = fields_of_form(entry.schema, dict(values or {}), None if at else fault, form)
    is_shown = at or any(field.fault for field in fields)
    return {
        "kind": entry.kind,
        "target": entry.target,
        "entry": entry,
        "fields": fields,
        "own": {name: form.text(name) if form else text for name, text in own.items()},
        "faults": {at: fault.message} if at and fault else {},
        "fault": "" if fault is None or is_shown else fault.message,
        "once": (form.text("once") if form else "") or secrets.token_hex(12),
    }


def _own_field(fault: InvalidInput | None, own: Mapping[str, str]) -> str:
    if isinstance(fault, ModelNotConfigured):
        return "model" if "model" in own else ""
    if fault is None or fault.details.get("of") != _OWN:
        return ""
    field = str(fault.details.get("field") or "")
    return field if field in own else ""


def own_fault(message: str, field: str, expected: str) -> InvalidInput:
    """A fault of a field of the form itself."""
    return InvalidInput(message, field=field, expected=expected, of=_OWN)


def body_of_form(model: type[Body], body: Mapping[str, Any], names: Mapping[str, str], own: Sequence[str]) -> Body:
    """The body of the request that a form stands for. `names` are fields of the body, with those of the form that set
    them, where they differ. Raises `InvalidInput`, which names the field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"] if isinstance(part, str)]
        fields = (names.get(part, part) for part in reversed(path))
        field = next((field for field in fields if field in own), "")
        raise own_fault(f"{' '.join(path)}: {first['msg']}", field, first["msg"]) from error


def key_of(form: Form) -> str | None:
    """The idempotency key of a form: one that is sent twice takes effect once."""
    return f"page {form.text('once')}".replace(" ", "-")[:100] if form.text("once") else None


def labels_of(form: Form) -> dict[str, str]:
    """The labels that a form names. Raises `InvalidInput`."""
    pairs = [part.partition(":") for part in form.text("labels").split(",") if part.strip()]
    if not all(colon for _, colon, _ in pairs):
        raise own_fault("Write labels as NAME:VALUE, NAME:VALUE", "labels", "NAME:VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}
