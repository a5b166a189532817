"""Routes of API keys (D-011 to D-014, C-18, C-54): issue, list, change, rotate, revoke; and who the caller is."""

from datetime import UTC, datetime, timedelta
from types import EllipsisType
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.auditing import confidential
from api.deps import Svc
from api.limits import address_of, count_surface_request
from api.security import Admin, Caller
from api.storable import FIRST_FAULT
from api.v1.bodies import Body, LongPageQuery, Moment, Text
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.wire import Timestamp, Wire
from orchestrator.domain.access import ApiKey, Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.limits import SurfaceLimit, Tier
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.keys import IssuedKey, KeyRequest

router = APIRouter(prefix="/v1/auth", tags=["auth"], route_class=V1Route, responses=ERRORS)

_TEN_YEARS: Final = 315_360_000
_THIRTY_DAYS: Final = 2_592_000
_SHOWN_DIGITS: Final = 6


def _some(scopes: list[Scope]) -> list[Scope]:
    if not scopes:
        raise PydanticCustomError("no_scope", "Input should be {expected}", {"expected": "at least one scope"})
    return scopes


KeyName = Annotated[Text, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
ScopeWord = Annotated[Scope, Field(strict=False)]
Scopes = Annotated[list[ScopeWord], FIRST_FAULT, AfterValidator(_some)]
TierWord = Annotated[Tier, Field(strict=False)]
Owner = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.@:\-]+$")]


class IssueBody(Body):
    """A key to issue (D-011)."""

    name: KeyName
    scopes: Scopes
    tier: TierWord = Tier.FREE
    owner: Owner | None = Field(default=None, description="Whose jobs it starts and sees; by default its own.")
    expires_at: Moment | None = Field(default=None, description="Null never expires.")
    expires_in: Annotated[int, Field(ge=1, le=_TEN_YEARS)] | None = Field(
        default=None, description="Seconds from now, instead of `expires_at`."
    )

    def request(self) -> KeyRequest:
        """The same, for the service. Raises `InvalidInput` for two ends."""
        expires_at = self.expires_at
        if self.expires_in is not None:
            if expires_at is not None:
                raise InvalidInput("Give expires_at or expires_in, not both", field="expires_in", expected="one")
            expires_at = datetime.now(UTC) + timedelta(seconds=self.expires_in)
        return KeyRequest(self.name, frozenset(self.scopes), self.tier, self.owner, expires_at)


class ChangeBody(Body):
    """What is to change. What is left out stays."""

    name: KeyName | None = None
    scopes: Scopes | None = None
    tier: TierWord | None = None
    expires_at: Moment | None = Field(default=None, description="An explicit null lets the key never expire.")

    def granted(self) -> frozenset[Scope] | None:
        """The new scopes, or None where they stay."""
        return None if self.scopes is None else frozenset(self.scopes)

    def end(self) -> datetime | EllipsisType | None:
        """The new end, which may be none, or an ellipsis where nothing is said of it."""
        return self.expires_at if "expires_at" in self.model_fields_set else ...


class RotateBody(Body):
    """How long the old secret stays valid beside the new one."""

    overlap_seconds: int = Field(default=3600, ge=0, le=_THIRTY_DAYS, description="0 ends the old one now.")


class KeyFields(Wire):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    tier: Tier | None
    owner: str
    created_at: Timestamp
    expires_at: Timestamp | None


class KeyIssued(KeyFields):
    """A key with its secret, which is shown this once (D-012). `webhook_secret` signs callbacks of its owner's jobs."""

    api_key: str
    webhook_secret: str

    @classmethod
    def of(cls, issued: IssuedKey) -> "KeyIssued":
        """The body of a new secret."""
        return cls(**_fields(issued.key), api_key=issued.token, webhook_secret=issued.webhook_secret)


class KeyBody(KeyFields):
    """A key as it is listed; `prefix` is how its secret begins."""

    prefix: str
    state: str
    created_by: str
    last_used_at: Timestamp | None = Field(description="To the minute.")
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyBody":
        """The body of one key."""
        return cls(
            **_fields(key),
            prefix=f"{key.beginning[: len(key.form.start) + _SHOWN_DIGITS]}…",
            state=key.state(datetime.now(UTC)),
            created_by=key.created_by,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class KeyList(Wire):
    """One page of keys, newest first; `total` counts all."""

    keys: list[KeyBody]
    total: int
    limit: int
    offset: int


class Me(Wire):
    """The caller. Users and the bootstrap key have no `key_id`; a null `tier` says that nothing is limited."""

    id: str
    key_id: str | None
    name: str | None
    scopes: list[Scope]
    tier: Tier | None
    expires_at: Timestamp | None


def _fields(key: ApiKey) -> dict[str, Any]:
    plain = {name: getattr(key, name) for name in KeyFields.model_fields}
    return plain | {"scopes": _listed(key.scopes)}


def _listed(scopes: frozenset[Scope]) -> list[Scope]:
    return [scope for scope in Scope if scope in scopes]


async def _attempted(request: Request, principal: Admin, services: Svc) -> None:
    """Ten keys in fifteen minutes from one address (C-27); nothing limits the bootstrap key. Raises `LimitExceeded`."""
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.AUTHENTICATION, f"{address_of(request)} keys")


@router.post("/api-keys", status_code=201, dependencies=[Depends(_attempted)])
async def issue_key(principal: Admin, services: Svc, body: IssueBody) -> KeyIssued:
    """Issue a key. Its secret is in this answer and nowhere else."""
    return KeyIssued.of(await services.keys.issue(principal, body.request()))


@router.get("/api-keys", dependencies=[Depends(confidential)])
async def list_keys(_: Admin, services: Svc, query: Annotated[LongPageQuery, Query()]) -> KeyList:
    """Every issued key, newest first, without secrets."""
    page = await services.keys.list(limit=query.limit, offset=query.offset)
    return KeyList(
        keys=[KeyBody.of(key) for key in page.keys], total=page.total, limit=query.limit, offset=query.offset
    )


@router.get("/api-keys/{key_id}", responses=NOT_FOUND, dependencies=[Depends(confidential)])
async def get_key(_: Admin, services: Svc, key_id: str) -> KeyBody:
    """One issued key, without its secret."""
    return KeyBody.of(await services.keys.get(key_id))


@router.patch("/api-keys/{key_id}", responses=NOT_FOUND)
async def change_key(principal: Admin, services: Svc, key_id: str, body: ChangeBody) -> KeyBody:
    """Change a key's name, scopes, tier or end; what is left out stays."""
    changed = await services.keys.change(
        principal, key_id, name=body.name, scopes=body.granted(), tier=body.tier, expires_at=body.end()
    )
    return KeyBody.of(changed)


@router.post("/api-keys/{key_id}/rotate", responses=NOT_FOUND)
async def rotate_key(principal: Admin, services: Svc, key_id: str, body: RotateBody | None = None) -> KeyIssued:
    """Give a key a new secret; the old one stays valid for the overlap."""
    overlap = timedelta(seconds=(body or RotateBody()).overlap_seconds)
    return KeyIssued.of(await services.keys.rotate(principal, key_id, overlap=overlap))


@router.delete("/api-keys/{key_id}", responses=NOT_FOUND)
async def revoke_key(_: Admin, services: Svc, key_id: str) -> KeyBody:
    """Revoke a key for good. Asked twice, it changes nothing."""
    return KeyBody.of(await services.keys.revoke(key_id))


@router.post("/sign-out", status_code=204)
async def sign_out(principal: Caller, services: Svc) -> None:
    """End the caller's sign-in: its access and refresh tokens are refused from now on."""
    await services.users.sign_out(principal)


@router.get("/me")
async def me(principal: Caller, services: Svc) -> Me:
    """Who the caller is, and what the key allows."""
    key = await services.keys.get(principal.key) if principal.key else None
    return Me(
        id=principal.id,
        key_id=principal.key,
        name=key.name if key else None,
        scopes=_listed(principal.scopes),
        tier=principal.tier,
        expires_at=key.expires_at if key else principal.expires_at,
    )
