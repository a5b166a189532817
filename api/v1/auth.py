"""Routes of API keys (D-011 to D-014, C-18, C-54): issue, list, change, rotate, revoke; and of the caller."""

from datetime import UTC, datetime, timedelta
from types import EllipsisType
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.audit_trail import confidential
from api.deps import Svc
from api.idempotency import Idempotent
from api.limits import address_of, count_surface_request
from api.security import Admin, Caller
from api.storable import FIRST_FAULT
from api.v1.bodies import WHOLE, Body, Moment, Text, WholeNumber
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, V1Route
from api.v1.pages import CursorPage, Listing, LongCursorQuery, cut
from api.v1.wire import Timestamp, Wire
from orchestrator.domain.access import ApiKey, KeyState, Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.limits import SurfaceLimit, Tier
from orchestrator.domain.pages import Position
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
    """The API key to issue (D-011)."""

    name: KeyName
    scopes: Scopes
    tier: TierWord = Tier.FREE
    owner: Owner | None = Field(
        default=None, description="The account that owns the key's jobs. Default: an account of the key alone."
    )
    expires_at: Moment | None = Field(default=None, description="Null: the key never expires.")
    expires_in: Annotated[int, Field(ge=1, le=_TEN_YEARS), WHOLE] | None = Field(
        default=None, description="Seconds from now, instead of `expires_at`."
    )

    def request(self) -> KeyRequest:
        """Return the request for the service. Raises `InvalidInput` for both `expires_at` and `expires_in`."""
        expires_at = self.expires_at
        if self.expires_in is not None:
            if expires_at is not None:
                raise InvalidInput("Give expires_at or expires_in, not both", field="expires_in", expected="one")
            expires_at = datetime.now(UTC) + timedelta(seconds=self.expires_in)
        return KeyRequest(self.name, frozenset(self.scopes), self.tier, self.owner, expires_at)


class ChangeBody(Body):
    """The fields to change. A field that is left out does not change."""

    name: KeyName | None = None
    scopes: Scopes | None = None
    tier: TierWord | None = None
    expires_at: Moment | None = Field(default=None, description="With an explicit null the key never expires.")

    def granted(self) -> frozenset[Scope] | None:
        """Return the new scopes, or None if they do not change."""
        return None if self.scopes is None else frozenset(self.scopes)

    def end(self) -> datetime | EllipsisType | None:
        """Return the new expiry, None for no expiry, or an ellipsis if it does not change."""
        return self.expires_at if "expires_at" in self.model_fields_set else ...


class RotateBody(Body):
    """How long the old secret stays valid after the rotation."""

    overlap_seconds: WholeNumber = Field(
        default=3600, ge=0, le=_THIRTY_DAYS, description="0 revokes the old secret now."
    )


class KeyFields(Wire):
    """An API key, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    tier: Tier | None
    owner: str
    created_at: Timestamp
    expires_at: Timestamp | None


class KeyIssued(KeyFields):
    """An API key with its secret, shown only in this answer (D-012). `webhook_secret` signs callbacks of the owner."""

    api_key: str
    webhook_secret: str

    @classmethod
    def of(cls, issued: IssuedKey) -> "KeyIssued":
        """Return the body of a key that was issued or rotated."""
        return cls(**_fields(issued.key), api_key=issued.token, webhook_secret=issued.webhook_secret)


class KeyBody(KeyFields):
    """An API key in a list. `prefix` is the beginning of its secret."""

    prefix: str
    state: KeyState
    created_by: str
    last_used_at: Timestamp | None = Field(description="To the minute.")
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyBody":
        """Return the body of one key."""
        return cls(
            **_fields(key),
            prefix=f"{key.visible_prefix[: len(key.form.form_prefix) + _SHOWN_DIGITS]}…",
            state=key.state(datetime.now(UTC)),
            created_by=key.created_by,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class KeyList(CursorPage):
    """One page of API keys, newest first. `total` counts all."""

    keys: list[KeyBody]
    total: int
    limit: int
    offset: int


class Me(Wire):
    """The caller. `key_id` is null for users and the bootstrap key; a null `tier` has no limits."""

    id: str
    key_id: str | None
    name: str | None
    scopes: list[Scope]
    tier: Tier | None
    expires_at: Timestamp | None


def _fields(key: ApiKey) -> dict[str, Any]:
    plain = {name: getattr(key, name) for name in KeyFields.model_fields}
    return plain | {"scopes": _ordered(key.scopes)}


def _ordered(scopes: frozenset[Scope]) -> list[Scope]:
    return [scope for scope in Scope if scope in scopes]


async def count_issue(request: Request, principal: Admin, services: Svc) -> None:
    """Count an issued key by address: ten in 15 minutes, except by the bootstrap key (C-27). Raises `LimitExceeded`."""
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.AUTHENTICATION, f"{address_of(request)} keys")


@router.post("/api-keys", status_code=201, responses=ONCE, dependencies=[Depends(count_issue)])
async def issue_key(principal: Admin, services: Svc, body: IssueBody, once: Idempotent) -> KeyIssued:
    """Issue an API key. Its secret is shown only in this answer."""
    return KeyIssued.of(await services.keys.issue(principal, body.request()))


@router.get("/api-keys", dependencies=[Depends(confidential)])
async def list_keys(_: Admin, services: Svc, query: Annotated[LongCursorQuery, Query()]) -> KeyList:
    """All issued API keys, newest first, without secrets."""
    page = await services.keys.list(limit=query.limit + 1, offset=query.offset, after=query.position(Listing.KEYS))
    keys, end = cut(page.keys, query.limit, Listing.KEYS, lambda key: Position(key.created_at, key.id))
    rows = [KeyBody.of(key) for key in keys]
    return KeyList(keys=rows, total=page.total, limit=query.limit, offset=query.offset, **end)


@router.get("/api-keys/{key_id}", responses=NOT_FOUND, dependencies=[Depends(confidential)])
async def get_key(_: Admin, services: Svc, key_id: str) -> KeyBody:
    """One issued API key, without its secret."""
    return KeyBody.of(await services.keys.get(key_id))


@router.patch("/api-keys/{key_id}", responses=NOT_FOUND)
async def change_key(principal: Admin, services: Svc, key_id: str, body: ChangeBody) -> KeyBody:
    """Change the name, scopes, tier or expiry of an API key. A field that is left out does not change."""
    changed = await services.keys.change(
        principal, key_id, name=body.name, scopes=body.granted(), tier=body.tier, expires_at=body.end()
    )
    return KeyBody.of(changed)


@router.post("/api-keys/{key_id}/rotate", responses={**NOT_FOUND, **ONCE})
async def rotate_key(
    *, principal: Admin, services: Svc, key_id: str, body: RotateBody | None = None, once: Idempotent
) -> KeyIssued:
    """Give an API key a new secret. The old secret stays valid for `overlap_seconds`."""
    overlap = timedelta(seconds=(body or RotateBody()).overlap_seconds)
    return KeyIssued.of(await services.keys.rotate(principal, key_id, overlap=overlap))


@router.delete("/api-keys/{key_id}", responses=NOT_FOUND)
async def revoke_key(_: Admin, services: Svc, key_id: str) -> KeyBody:
    """Revoke an API key for ever. Revoking it again changes nothing."""
    return KeyBody.of(await services.keys.revoke(key_id))


@router.post("/sign-out", status_code=204, responses=ONCE)
async def sign_out(principal: Caller, services: Svc, once: Idempotent) -> None:
    """End the caller's sign-in: its access and refresh tokens become invalid."""
    await services.users.sign_out(principal)


@router.get("/me")
async def me(principal: Caller, services: Svc) -> Me:
    """The caller, with scopes, tier and expiry."""
    key = await services.keys.get(principal.key) if principal.key else None
    return Me(
        id=principal.id,
        key_id=principal.key,
        name=key.name if key else None,
        scopes=_ordered(principal.scopes),
        tier=principal.tier,
        expires_at=key.expires_at if key else principal.expires_at,
    )
