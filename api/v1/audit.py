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
    """Filters and page of the audit trail."""

    principal: Word | None = None
    username: Word | None = Field(
        default=None, description="Failed sign-ins under this user name. Use it instead of `principal`."
    )
    action: Word | None = Field(default=None, description="Prefix of the action, for example `POST /v1/jobs`.")
    since: Moment | None = Field(default=None, description="Entries at or after this time.")
    until: Moment | None = Field(default=None, description="Entries before this time.")
    before: int | None = Field(default=None, ge=1, le=2_147_483_647, description="`next` of the previous page.")
    limit: int = Field(default=50, ge=1, le=200)


class AuditBody(Wire):
    """One call: caller, action, address and status."""

    id: int
    at: Timestamp
    principal: str
    key_id: str | None
    action: str = Field(description="Method and route.")
    path: str = Field(description="Path of the request, without its query.")
    status: int
    address: str | None
    request_id: str
    surface: str | None
    calls: int = Field(description="Number of calls. More than 1 for refused calls of one address in one entry.")


class AuditList(Wire):
    """One page of the audit trail, newest first. `next` is null on the last page."""

    entries: list[AuditBody]
    next: int | None


@router.get("", dependencies=[Depends(confidential)])
async def list_audit(_: Admin, services: Svc, query: Annotated[AuditQuery, Query()]) -> AuditList:
    """Recorded calls, newest first: changes, refused calls and reads of confidential data."""
    page = await services.audit.list(AuditFilter(**query.model_dump()))
    return AuditList(
        entries=[AuditBody.model_validate(entry, from_attributes=True) for entry in page.entries], next=page.next
    )
