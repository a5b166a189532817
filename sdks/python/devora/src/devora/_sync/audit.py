"""The audit trail: who changed what; for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from devora._config import CallOptions
from devora._sync.pages import Page
from devora._sync.resource import Resource, not_none
from devora.models import AuditEntry


class Audit(Resource):
    """The audit trail: who changed what; for administrators."""

    def list(
        self,
        *,
        principal: str | None = None,
        username: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Page[AuditEntry]:
        """Who changed, or tried to change, what; newest first. `action` is how it begins: `POST /v1/jobs`."""
        query = not_none(
            principal=principal, username=username, action=action, since=since, until=until, limit=limit, after=after
        )
        return self._page(AuditEntry, "entries", "/audit", query, **options)
