"""Who looks at the page: the session of a request, and the checks of every form."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from structlog.contextvars import bind_contextvars

from api.deps import Svc
from api.limits import count_request
from api.origins import refuse_other_sites
from orchestrator.domain.access import START_SCOPES, Principal, Scope
from orchestrator.domain.errors import Forbidden, InvalidInput, Unauthenticated
from orchestrator.domain.ids import JobKind
from orchestrator.services.access.page_sessions import PageSession

COOKIE: Final = "orchestrator_session"
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 2_000
CATALOGUE_SCOPES: Final = (Scope.AGENTS_READ, Scope.WORKFLOWS_READ, Scope.METRICS_READ)
FORM_SCOPES: Final = {
    JobKind.WORKFLOW: (Scope.WORKFLOWS_READ, START_SCOPES[JobKind.WORKFLOW]),
    JobKind.AGENT: (Scope.AGENTS_READ, START_SCOPES[JobKind.AGENT]),
}
"""A form shows the description and the schema of what it starts."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form."""

    pairs: list[tuple[str, str]] = field(default_factory=list)

    def text(self, name: str) -> str:
        """The last value of a field, without spaces around it; empty without one."""
        return next((value for other, value in reversed(self.pairs) if other == name), "").strip()

    def texts(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for other, value in self.pairs if other == name]


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user or key that has signed in, and the token that its forms send."""

    session: PageSession

    @property
    def principal(self) -> Principal:
        """The caller of the services."""
        return self.session.principal

    def can(self, scope: str) -> bool:
        """Whether the page may offer an action that needs this scope."""
        return self.principal.admin or scope in self.principal.scopes

    def can_run(self, kind: JobKind) -> bool:
        """Whether the visitor may start, retry and schedule jobs of a kind."""
        return self.can(START_SCOPES[kind])

    def can_start(self, kind: JobKind) -> bool:
        """Whether the visitor may see the form that starts an agent or a workflow, and use it."""
        return all(map(self.can, FORM_SCOPES[kind]))

    @property
    def starts(self) -> list[JobKind]:
        """The kinds of jobs that the visitor may start."""
        return [kind for kind in FORM_SCOPES if self.can_start(kind)]

    @property
    def sees_catalogue(self) -> bool:
        """Whether the visitor may open the pages of agents and workflows."""
        return all(map(self.can, CATALOGUE_SCOPES))


async def visitor(request: Request, services: Svc) -> Visitor:
    """Return the visitor of a request and count it against their tier. Raises `Unauthenticated`, `LimitExceeded`."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise Unauthenticated("Sign in first")
    session = await services.page_sessions.read(cookie)
    principal = session.principal
    request.state.principal = request.state.authenticated = principal
    bind_contextvars(principal=principal.id)
    await count_request(request, services, principal)
    request.state.visitor = Visitor(session)
    return Visitor(session)


def holding(*scopes: Scope) -> Callable[..., Awaitable[Visitor]]:
    """Return a dependency that returns the visitor if they hold all the scopes. It raises `Forbidden`.

    A page needs the scopes of every route of the API whose answer it shows or whose action it carries out.
    """

    async def allowed(visitor: Annotated[Visitor, Depends(visitor)]) -> Visitor:
        for scope in scopes:
            visitor.principal.require(scope)
        return visitor

    return allowed


async def starter(kind: JobKind, visitor: Annotated[Visitor, Depends(visitor)]) -> Visitor:
    """Return the visitor if they may start jobs of the kind. Raises `Forbidden`."""
    for scope in FORM_SCOPES[kind]:
        visitor.principal.require(scope)
    return visitor


async def any_starter(visitor: Annotated[Visitor, Depends(visitor)]) -> Visitor:
    """Return the visitor if they may start jobs of any kind; the service checks the kind. Raises `Forbidden`."""
    if visitor.principal.scopes.isdisjoint(START_SCOPES.values()):
        visitor.principal.require(START_SCOPES[JobKind.WORKFLOW])
    return visitor


async def read_form(request: Request) -> Form:
    """Return the form in the body of a request of this site. Raises `Forbidden`, `InvalidInput`."""
    refuse_other_sites(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise InvalidInput("This page takes forms only", field="Content-Type", expected=_FORM_TYPE)
    try:
        body = (await request.body()).decode()
        return Form(parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"))
    except ValueError as error:
        raise InvalidInput("The form cannot be read", field="body", expected="a form in UTF-8") from error


async def submitted(request: Request, services: Svc, visitor: Annotated[Visitor, Depends(visitor)]) -> Form:
    """Return the form of a visitor. Raises `Forbidden` unless it has the token of their session."""
    form = await read_form(request)
    if not services.page_sessions.is_csrf(form.text("csrf"), visitor.session.family):
        raise Forbidden("This form is not from a page of your session: reload the page and try again")
    return form


AnyVisitor = Annotated[Visitor, Depends(visitor)]
Reader = Annotated[Visitor, Depends(holding(Scope.JOBS_READ))]
Controller = Annotated[Visitor, Depends(holding(Scope.JOBS_CANCEL))]
CatalogueVisitor = Annotated[Visitor, Depends(holding(*CATALOGUE_SCOPES))]
AgentVisitor = Annotated[Visitor, Depends(holding(Scope.AGENTS_READ, Scope.METRICS_READ))]
WorkflowVisitor = Annotated[Visitor, Depends(holding(Scope.WORKFLOWS_READ, Scope.METRICS_READ))]
Starter = Annotated[Visitor, Depends(starter)]
AnyStarter = Annotated[Visitor, Depends(any_starter)]
Admin = Annotated[Visitor, Depends(holding(Scope.ADMIN))]
Submitted = Annotated[Form, Depends(submitted)]
