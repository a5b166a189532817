"""The audit trail, for admins."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.auditing import confidential
from api.deps import Svc
from api.security import Admin
from api.v1.bodies import Moment
from api.v1.envelope import ERRORS, V1Route
from api.v1.wire import Timestamp, Wire
from orchestrator.services.access.audit import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=V1Route, responses=ERRORS)

Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AuditQuery(BaseModel):
    """Which entries are wanted."""

    principal: Word | None = None
    username: Word | None = Field(default=None, description="The name of failed sign-ins, instead of `principal`.")
    action: Word | None = Field(default=None, description="How it begins: `POST /v1/jobs`.")
    since: Moment | None = Field(default=None, description="From this time on.")
    until: Moment | None = Field(default=None, description="Before this time.")
    before: int | None = Field(default=None, ge=1, le=2_147_483_647, description="`next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)


class AuditBody(Wire):
    """One call: who asked for what, from where, and what became of it."""

    id: int
    at: Timestamp
    principal: str
    key_id: str | None
    action: str = Field(description="Method and route.")
    path: str = Field(description="What was asked for, without its query.")
    status: int
    address: str | None
    request_id: str
    surface: str | None
    calls: int = Field(description="More than one for refused calls of one address that were counted together.")


class AuditList(Wire):
    """One page of the trail, newest first. `next` is null at its end."""

    entries: list[AuditBody]
    next: int | None


@router.get("", dependencies=[Depends(confidential)])
async def list_audit(_: Admin, services: Svc, query: Annotated[AuditQuery, Query()]) -> AuditList:
    """Who changed, or tried to change, what; newest first."""
    page = await services.audit.list(AuditFilter(**query.model_dump()))
    return AuditList(
        entries=[AuditBody.model_validate(entry, from_attributes=True) for entry in page.entries], next=page.next
    )
