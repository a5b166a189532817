"""Keys, users, limits and the audit trail, for admins. A secret is shown once, in the answer to the form."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.audit_trail import Confidential
from api.deps import Svc
from api.page.errors import PageRoute
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import Admin, Submitted, Visitor
from api.v1.auth import IssueBody, count_issue
from api.v1.users import UserBody
from orchestrator.domain.access import Role, Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.limits import Tier
from orchestrator.services.access.audit import AuditFilter
from orchestrator.services.access.keys import IssuedKey
from orchestrator.services.container import Services

router = APIRouter(prefix=f"{ROOT}/access", include_in_schema=False, route_class=PageRoute)

_ROWS: Final = 200
_ENTRIES: Final = 100
_OVERLAP: Final = timedelta(hours=1)
Word = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


@router.get("")
async def access_page(request: Request, services: Svc, visitor: Admin, _: Confidential) -> Response:
    """Keys, users and the limits of every tier."""
    return await _page(request, services, visitor)


@router.post("/keys")
async def issue_key(request: Request, services: Svc, visitor: Admin, form: Submitted) -> Response:
    """Issue a key and show its secret once."""
    await count_issue(request, visitor.principal, services)
    values = {"name": form.text("name"), "scopes": form.texts("scope"), "tier": form.text("tier")}
    if owner := form.text("owner"):
        values["owner"] = owner
    body = _body(IssueBody, values)
    return await _page(request, services, visitor, await services.keys.issue(visitor.principal, body.request()))


@router.post("/keys/{key_id}/rotate")
async def rotate_key(request: Request, services: Svc, visitor: Admin, form: Submitted, key_id: str) -> Response:
    """Give a key a new secret and show it once. The old one is valid for another hour."""
    return await _page(
        request, services, visitor, await services.keys.rotate(visitor.principal, key_id, overlap=_OVERLAP)
    )


@router.post("/keys/{key_id}/revoke")
async def revoke_key(services: Svc, visitor: Admin, form: Submitted, key_id: str) -> Response:
    """Revoke a key for ever."""
    await services.keys.revoke(key_id)
    return see_other(url("/access"))


@router.post("/users")
async def add_user(services: Svc, visitor: Admin, form: Submitted) -> Response:
    """Add a user."""
    password = next((value for name, value in form.pairs if name == "password"), "")
    values = {"username": form.text("username"), "password": password, "roles": form.texts("role")}
    body = _body(UserBody, values)
    await services.users.add(visitor.principal, body.username, body.password, body.roles)
    return see_other(url("/access"))


@router.post("/users/{username}/remove")
async def remove_user(services: Svc, visitor: Admin, form: Submitted, username: str) -> Response:
    """Remove a user. Every session of the user ends."""
    await services.users.remove(username)
    return see_other(url("/access"))


@router.get("/audit")
async def audit_page(
    *,
    request: Request,
    services: Svc,
    visitor: Admin,
    _: Confidential,
    principal: Word = "",
    action: Word = "",
    before: Annotated[str, Query(pattern=r"^[0-9]{0,9}$")] = "",
) -> Response:
    """The audit trail, newest first."""
    listed = await services.audit.list(
        AuditFilter(
            principal=principal or None,
            action=action or None,
            before=int(before) if before else None,
            limit=_ENTRIES,
        )
    )
    return page(request, visitor, "audit.html", listed=listed, principal=principal, action=action)


async def _page(request: Request, services: Services, visitor: Visitor, issued: IssuedKey | None = None) -> Response:
    keys = await services.keys.list(limit=_ROWS)
    users, total = await services.users.list(limit=_ROWS, offset=0)
    return page(
        request,
        visitor,
        "access.html",
        keys=keys,
        users=users,
        users_total=total,
        issued=issued,
        scopes=list(Scope),
        tiers=list(Tier),
        roles=list(Role),
        limits=services.quotas.tiers,
        moment_now=datetime.now(UTC),
    )


def _body(model: type[Any], values: dict[str, Any]) -> Any:
    """The body of a request with the values of a form. Raises `InvalidInput`, which names the first wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{field}: {first['msg']}", field=field, expected=first["msg"]) from error
