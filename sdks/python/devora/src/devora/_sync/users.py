"""Users, who sign in for tokens; for administrators."""

from __future__ import annotations

from typing import Unpack

from devora._config import CallOptions, Words
from devora._sync.pages import Page
from devora._sync.resource import Resource, not_none
from devora._sync.transport import refuse_empty
from devora.models import User


class Users(Resource):
    """Users, who sign in for tokens; for administrators."""

    def create(self, username: str, password: str, roles: Words, **options: Unpack[CallOptions]) -> User:
        """Add a user."""
        body = {"username": username, "password": password, "roles": roles}
        return self._call(User, "POST", "/users", body=body, **options)

    def list(
        self, *, limit: int | None = None, offset: int | None = None, **options: Unpack[CallOptions]
    ) -> Page[User]:
        """Every user that was added, by name."""
        return self._page(User, "users", "/users", not_none(limit=limit, offset=offset), **options)

    def delete(self, username: str, **options: Unpack[CallOptions]) -> None:
        """Remove a user and end the user's tokens."""
        self._send("DELETE", f"/users/{refuse_empty('username', username)}", **options)
