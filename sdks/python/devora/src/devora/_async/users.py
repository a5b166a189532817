"""Users, who sign in for tokens; for administrators."""

from __future__ import annotations

from typing import Unpack

from devora._async.pages import AsyncPage
from devora._async.resource import AsyncResource, not_none
from devora._async.transport import refuse_empty
from devora._config import CallOptions, Words
from devora.models import User


class AsyncUsers(AsyncResource):
    """Users, who sign in for tokens; for administrators."""

    async def create(self, username: str, password: str, roles: Words, **options: Unpack[CallOptions]) -> User:
        """Add a user."""
        body = {"username": username, "password": password, "roles": roles}
        return await self._call(User, "POST", "/users", body=body, **options)

    async def list(
        self, *, limit: int | None = None, offset: int | None = None, **options: Unpack[CallOptions]
    ) -> AsyncPage[User]:
        """Every user that was added, by name."""
        return await self._page(User, "users", "/users", not_none(limit=limit, offset=offset), **options)

    async def delete(self, username: str, **options: Unpack[CallOptions]) -> None:
        """Remove a user and end the user's tokens."""
        await self._send("DELETE", f"/users/{refuse_empty('username', username)}", **options)
