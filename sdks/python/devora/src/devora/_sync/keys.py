"""API keys, for administrators."""

from __future__ import annotations

from datetime import datetime
from types import EllipsisType
from typing import Any, Unpack

from devora._config import CallOptions, Words
from devora._sync.pages import Page
from devora._sync.resource import Resource, not_none
from devora._sync.transport import refuse_empty
from devora.models import ApiKey, IssuedKey


class Keys(Resource):
    """API keys, for administrators."""

    def create(
        self,
        name: str,
        scopes: Words,
        *,
        tier: str | None = None,
        owner: str | None = None,
        expires_at: datetime | None = None,
        expires_in: int | None = None,
        **options: Unpack[CallOptions],
    ) -> IssuedKey:
        """Issue a key. Its secret is only in this response. `expires_at` must have a time zone."""
        end = None if expires_at is None else expires_at.isoformat()
        body = {
            "name": name,
            "scopes": scopes,
            **not_none(tier=tier, owner=owner, expires_at=end, expires_in=expires_in),
        }
        return self._call(IssuedKey, "POST", "/auth/api-keys", body=body, **options)

    def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Page[ApiKey]:
        """Every issued key, newest first."""
        return self._page(
            ApiKey, "keys", "/auth/api-keys", not_none(limit=limit, offset=offset, after=after), **options
        )

    def get(self, key_id: str, **options: Unpack[CallOptions]) -> ApiKey:
        """One key, without its secret."""
        return self._call(ApiKey, "GET", _path(key_id), **options)

    def update(
        self,
        key_id: str,
        *,
        name: str | None = None,
        scopes: Words | None = None,
        tier: str | None = None,
        expires_at: datetime | EllipsisType | None = ...,
        **options: Unpack[CallOptions],
    ) -> ApiKey:
        """Change a key; arguments that are left out do not change. An `expires_at` of None removes the expiry."""
        body: dict[str, Any] = not_none(name=name, scopes=scopes, tier=tier)
        if not isinstance(expires_at, EllipsisType):
            body["expires_at"] = None if expires_at is None else expires_at.isoformat()
        return self._call(ApiKey, "PATCH", _path(key_id), body=body, **options)

    def rotate(self, key_id: str, *, overlap_seconds: int | None = None, **options: Unpack[CallOptions]) -> IssuedKey:
        """Create a new secret; the old one stays valid for the overlap."""
        body = not_none(overlap_seconds=overlap_seconds)
        return self._call(IssuedKey, "POST", f"{_path(key_id)}/rotate", body=body, **options)

    def revoke(self, key_id: str, **options: Unpack[CallOptions]) -> ApiKey:
        """Revoke a key for ever."""
        return self._call(ApiKey, "DELETE", _path(key_id), **options)


def _path(key_id: str) -> str:
    return f"/auth/api-keys/{refuse_empty('key_id', key_id)}"
