"""Start a job: a form from the input schema of an agent or a workflow, and the same request for a shell."""

import json
import shlex
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Svc, known_job_id
from api.page.errors import PageRoute
from api.page.forms import value_of_form
from api.page.rendering import ROOT, page, see_other, url
from api.page.target_forms import Entry, body_of_form, entry_of, form_values, key_of, labels_of
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
    entry = entry_of(services, kind, target)
    if not of:
        return _form_page(request, visitor, entry)
    visitor.principal.require(Scope.JOBS_READ)
    return _form_page(request, visitor, entry, of=await services.reader.get(visitor.principal, known_job_id(of)))


@router.post("/start/{kind}/{target}/run")
async def start(
    *, request: Request, services: Svc, visitor: Starter, form: Submitted, kind: JobKind, target: str
) -> Response:
    """Start the job and open it; or show the form again with its fault, or with the request for a shell."""
    entry = entry_of(services, kind, target)
    try:
        body = _body(entry, form)
        if form.text("show") == "curl":
            return _form_page(request, visitor, entry, form=form, body=body)
        started = await services.starter.start(visitor.principal, start_request(kind, target, body, key_of(form)))
    except InvalidInput as fault:
        return _form_page(request, visitor, entry, form=form, fault=fault)
    return see_other(url(f"/jobs/{started.job_id}"))


def _form_page(
    request: Request,
    visitor: Visitor,
    entry: Entry,
    *,
    of: Job | None = None,
    form: Form | None = None,
    fault: InvalidInput | None = None,
    body: StartBody | None = None,
) -> Response:
    own = {"labels": _labels(of), "model": ""}
    values = form_values(entry, own, values=of.input if of else None, form=form, fault=fault)
    curl = _curl(request, entry, body) if body else ""
    return page(request, visitor, "start.html", status=400 if fault else 200, curl=curl, **values)


def _labels(job: Job | None) -> str:
    """The labels that the starter of a job gave it, as the field of a form has them."""
    own = {name: value for name, value in job.labels.items() if name not in ORIGIN_LABELS} if job else {}
    return ", ".join(f"{name}:{value}" for name, value in own.items())


def _body(entry: Entry, form: Form) -> StartBody:
    """The body of the request that the form stands for. Raises `InvalidInput`."""
    body: dict[str, Any] = {"input": value_of_form(entry.schema, form), "async": True}
    if labels := labels_of(form):
        body["labels"] = labels
    if model := form.text("model"):
        body["config"] = {"model": model}
    return body_of_form(StartBody, body, {}, ("labels", "model"))


def _curl(request: Request, entry: Entry, body: StartBody) -> str:
    group, verb = _VERBS[entry.kind]
    address = f"{request.url.scheme}://{request.url.netloc}{located(f'/v1/{group}/{entry.target}/{verb}')}"
    document = json.dumps(body.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False)
    return (
        f'curl {shlex.quote(address)} \\\n  -H "Authorization: Bearer $KEY" \\\n'
        f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(document)}"
    )
