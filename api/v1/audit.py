"""The audit trail, for admins."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from api.audit_trail import confidential
from api.deps import Svc
from api.security import Admin
from api.v1.bodies import Moment
from api.v1.envelope import ERRORS, V1Route
from api.v1.pages import CursorPage
from api.v1.wire import Timestamp, Wire
from orchestrator.domain.errors import InvalidInput
from orchestrator.services.access.audit import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=V1Route, responses=ERRORS)

_MAX_ID: Final = 2_147_483_647


def _checked_cursor(cursor: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", cursor) or int(cursor) > _MAX_ID:
        raise PydanticCustomError("cursor", "Input should be {expected}", {"expected": "`next` of an earlier page"})
    return cursor


Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


EntryCursor = Annotated[str, AfterValidator(_checked_cursor)]


class AuditQuery(BaseModel):
    """Filters and page of the audit trail."""

    principal: Word | None = None
    username: Word | None = Field(
        default=None, description="Failed sign-ins under this user name. Use it instead of `principal`."
    )
    action: Word | None = Field(default=None, description="Prefix of the action, for example `POST /v1/jobs`.")
    since: Moment | None = Field(default=None, description="Entries at or after this time.")
    until: Moment | None = Field(default=None, description="Entries before this time.")
    after: EntryCursor | None = Field(default=None, description="`next` of the previous page.")
    before: int | None = Field(default=None, ge=1, le=_MAX_ID, description="The same; earlier name of `after`.")
    limit: int = Field(default=50, ge=1, le=200)

    def filter(self) -> AuditFilter:
        """Return the filter for the service. Raises `InvalidInput` for both `after` and `before`."""
        if self.after is not None and self.before is not None:
            raise InvalidInput("Give after or before, not both", field="after", expected="one of after and before")
        before = self.before if self.after is None else int(self.after)
        return AuditFilter(**self.model_dump(exclude={"after", "before"}), before=before)


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


class AuditList(CursorPage):
    """One page of the audit trail, newest first."""

    entries: list[AuditBody]


@router.get("", dependencies=[Depends(confidential)])
async def list_audit(_: Admin, services: Svc, query: Annotated[AuditQuery, Query()]) -> AuditList:
    """Recorded calls, newest first: changes, refused calls and reads of confidential data."""
    page = await services.audit.list(query.filter())
    entries = [AuditBody.model_validate(entry, from_attributes=True) for entry in page.entries]
    return AuditList(
        entries=entries, next=None if page.next is None else str(page.next), has_more=page.next is not None
    )
