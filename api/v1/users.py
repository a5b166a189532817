"""Routes of users, who sign in with a password (S-005, C-22): add, list, remove."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.audit_trail import confidential
from api.deps import Svc
from api.idempotency import Idempotent
from api.security import Admin
from api.storable import FIRST_FAULT
from api.v1.bodies import Body, Text
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, V1Route
from api.v1.pages import LongPageQuery
from api.v1.wire import Timestamp, Wire
from orchestrator.domain.access import Role
from orchestrator.services.access.users import User

router = APIRouter(prefix="/v1/users", tags=["users"], route_class=V1Route, responses=ERRORS)

SHORTEST_PASSWORD: Final = 8


def _some(roles: list[Role]) -> list[Role]:
    if not roles:
        raise PydanticCustomError("no_role", "Input should be {expected}", {"expected": "at least one role"})
    return list(dict.fromkeys(roles))


RoleWord = Annotated[Role, Field(strict=False)]
Username = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.@\-]+$")]


class UserBody(Body):
    """The user to add."""

    username: Username
    password: Annotated[Text, Field(min_length=SHORTEST_PASSWORD)]
    roles: Annotated[list[RoleWord], FIRST_FAULT, AfterValidator(_some)]


class UserShown(Wire):
    """A user, without the password. The user's jobs belong to the owner `user:ID`."""

    id: str
    username: str
    roles: list[Role]
    created_at: Timestamp

    @classmethod
    def of(cls, user: User) -> "UserShown":
        """Return the body of one user."""
        return cls(id=user.id, username=user.username, roles=list(user.roles), created_at=user.created_at)


class UserList(Wire):
    """One page of users by name. `total` counts all. The user that is defined in the settings is not listed."""

    users: list[UserShown]
    total: int
    limit: int
    offset: int


@router.post("", status_code=201, responses=ONCE)
async def add_user(principal: Admin, services: Svc, body: UserBody, once: Idempotent) -> UserShown:
    """Add a user. The password is stored as an Argon2 hash."""
    return UserShown.of(await services.users.add(principal, body.username, body.password, body.roles))


@router.get("", dependencies=[Depends(confidential)])
async def list_users(_: Admin, services: Svc, query: Annotated[LongPageQuery, Query()]) -> UserList:
    """All users that were added, by name."""
    users, total = await services.users.list(limit=query.limit, offset=query.offset)
    return UserList(users=[UserShown.of(user) for user in users], total=total, limit=query.limit, offset=query.offset)


@router.delete("/{username}", status_code=204, responses=NOT_FOUND)
async def remove_user(_: Admin, services: Svc, username: Username) -> None:
    """Remove a user. Sign-in and refresh fail at once, access tokens within 5 seconds."""
    await services.users.remove(username)
