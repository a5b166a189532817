"""Start a job: a form from the input schema of an agent or a workflow, and the same request for a shell."""

import json
import secrets
import shlex
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.deps import Svc, known_job_id
from api.page.errors import PageRoute
from api.page.forms import fields_of_form, value_of_form
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import FORM_SCOPES, AnyVisitor, Form, Starter, Submitted, Visitor
from api.prefix import located
from api.v1.bodies import StartBody
from api.v1.starts import start_request
from orchestrator.domain.access import Scope
from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import Forbidden, InvalidInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job
from orchestrator.domain.labels import ORIGIN_LABELS
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.services.container import Services

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

Destination = Annotated[Literal["", "schedule"], Query()]
"""What the chosen agent or workflow is for: a start now, or a schedule."""
_VERBS = {JobKind.AGENT: ("agents", "execute"), JobKind.WORKFLOW: ("workflows", "run")}


@router.get("/start")
async def choose_page(
    request: Request, services: Svc, visitor: AnyVisitor, q: str = "", to: Destination = ""
) -> Response:
    """The workflows and agents that the visitor may start."""
    if not visitor.starts:
        raise Forbidden(
            f"To start a job, this credential needs the scopes {' and '.join(FORM_SCOPES[JobKind.WORKFLOW])}, "
            f"or {' and '.join(FORM_SCOPES[JobKind.AGENT])}"
        )
    entries: list[tuple[JobKind, WorkflowDefinition | Agent]] = []
    if visitor.can_start(JobKind.WORKFLOW):
        entries += [(JobKind.WORKFLOW, entry) for entry in services.catalogue.workflows()]
    if visitor.can_start(JobKind.AGENT):
        entries += [(JobKind.AGENT, entry) for entry in services.catalogue.agents()]
    words = q.lower().split()
    matching = [
        (kind, entry)
        for kind, entry in entries
        if all(word in f"{entry.id} {entry.name} {entry.description}".lower() for word in words)
    ]
    return page(request, visitor, "start_choose.html", entries=matching, q=q, to=to)


@router.get("/start/{kind}/{target}")
async def start_page(
    *,
    request: Request,
    services: Svc,
    visitor: Starter,
    kind: JobKind,
    target: str,
    of: Annotated[str, Query(alias="from", max_length=255)] = "",
) -> Response:
    """The form, empty or with the input of an earlier job."""
    if not of:
        return _form_page(request, services, visitor, kind, target)
    visitor.principal.require(Scope.JOBS_READ)
    return _form_page(
        request, services, visitor, kind, target, of=await services.reader.get(visitor.principal, known_job_id(of))
    )


@router.post("/start/{kind}/{target}/run")
async def start(
    *, request: Request, services: Svc, visitor: Starter, form: Submitted, kind: JobKind, target: str
) -> Response:
    """Start the job and open it; or show the form again with its fault, or with the request for a shell."""
    try:
        body = _body(entry_of(services, kind, target)["schema"], form)
        if form.text("show") == "curl":
            return _form_page(request, services, visitor, kind, target, form=form, body=body)
        started = await services.starter.start(visitor.principal, start_request(kind, target, body, key_of(form)))
    except InvalidInput as fault:
        return _form_page(request, services, visitor, kind, target, form=form, fault=fault)
    return see_other(url(f"/jobs/{started.job_id}"))


def _form_page(
    request: Request,
    services: Services,
    visitor: Visitor,
    kind: JobKind,
    target: str,
    *,
    of: Job | None = None,
    form: Form | None = None,
    fault: InvalidInput | None = None,
    body: StartBody | None = None,
) -> Response:
    entry = entry_of(services, kind, target)
    fields = fields_of_form(entry["schema"], of.input if of else {}, fault, form)
    return page(
        request,
        visitor,
        "start.html",
        status=400 if fault else 200,
        kind=kind,
        target=target,
        entry=entry,
        fields=fields,
        fault="" if fault is None or any(field.fault for field in fields) else fault.message,
        labels=form.text("labels") if form else _labels(of),
        model=form.text("model") if form else "",
        once=(form.text("once") if form else "") or secrets.token_hex(12),
        curl=_curl(request, kind, target, body) if body else "",
    )


def _labels(job: Job | None) -> str:
    """The labels that the starter of a job gave it, as the field of a form has them."""
    own = {name: value for name, value in job.labels.items() if name not in ORIGIN_LABELS} if job else {}
    return ", ".join(f"{name}:{value}" for name, value in own.items())


def entry_of(services: Services, kind: JobKind, target: str) -> dict[str, Any]:
    """What a form says about its agent or workflow. Raises `NotFound`."""
    if kind is JobKind.AGENT:
        agent = services.catalogue.agent(target)
        return {"name": agent.name, "description": agent.description, "schema": agent.input_schema()}
    definition = services.catalogue.workflow(target)
    return {"name": definition.name, "description": definition.description, "schema": definition.input_schema}


def key_of(form: Form) -> str | None:
    """The idempotency key of a form: one that is sent twice takes effect once."""
    return f"page {form.text('once')}".replace(" ", "-")[:100] if form.text("once") else None


def labels_of(form: Form) -> dict[str, str]:
    """The labels that a form names. Raises `InvalidInput`."""
    pairs = [part.partition(":") for part in form.text("labels").split(",") if part.strip()]
    if not all(colon for _, colon, _ in pairs):
        raise InvalidInput("Write labels as NAME:VALUE, NAME:VALUE", field="labels", expected="NAME:VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _body(schema: dict[str, Any], form: Form) -> StartBody:
    """The body of the request that the form stands for. Raises `InvalidInput`."""
    body: dict[str, Any] = {"input": value_of_form(schema, form), "async": True}
    if labels := labels_of(form):
        body["labels"] = labels
    if model := form.text("model"):
        body["config"] = {"model": model}
    try:
        return StartBody.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "input"
        raise InvalidInput(f"{field}: {first['msg']}", field=field, expected=first["msg"]) from error


def _curl(request: Request, kind: JobKind, target: str, body: StartBody) -> str:
    group, verb = _VERBS[kind]
    address = f"{request.url.scheme}://{request.url.netloc}{located(f'/v1/{group}/{target}/{verb}')}"
    document = json.dumps(body.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False)
    return (
        f'curl {shlex.quote(address)} \\\n  -H "Authorization: Bearer $KEY" \\\n'
        f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(document)}"
    )
