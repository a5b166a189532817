"""Issues, lists, changes, rotates and revokes API keys (D-011 to D-014, C-18). For callers with the scope `admin:*`."""

import builtins
import re
import secrets
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any, Final

import structlog

from orchestrator.domain.access import ApiKey, KeyForm, KeyState, Principal, Scope
from orchestrator.domain.errors import InvalidInput, NotFound, WrongState
from orchestrator.domain.limits import Tier
from orchestrator.domain.pages import Position
from orchestrator.security.sealing import Sealer, callback_secrets
from orchestrator.services.access.authentication import IssuedKeys, lookup_prefix
from orchestrator.storage.keys import KeyedDigest, KeyRepository

log = structlog.get_logger(__name__)

_KEY_ID: Final = re.compile(r"key_[0-9a-f]{32}")
_SECRET_BYTES: Final = {KeyForm.DVR: 40, KeyForm.AO: 32}  # The first 8 find the key; nobody can guess the others.


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """The values of a new key. Keys with the same owner share their jobs. Without an owner a key owns its own jobs."""

    name: str
    scopes: frozenset[Scope]
    tier: Tier = Tier.FREE
    owner: str | None = None
    expires_at: datetime | None = None
    form: KeyForm = KeyForm.DVR


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is returned this once, and the account's secret for callbacks (C-54)."""

    key: ApiKey
    token: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of keys, newest first, and their total number."""

    keys: list[ApiKey]
    total: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeyIssuer:
    """Issues and manages keys. Every method raises `Unavailable` if the index does not answer."""

    keys: KeyRepository
    sealer: Sealer
    issued: IssuedKeys
    _: KW_ONLY
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    async def issue(self, principal: Principal, request: KeyRequest) -> IssuedKey:
        """A new key. Raises `Forbidden`, `InvalidInput`."""
        principal.require(Scope.ADMIN)
        principal.require_can_grant(request.scopes, request.tier)
        at = self.clock()
        _refuse_past(request.expires_at, at)
        token, prefix = _new_token(request.form)
        key_id = f"key_{self.new_id()}"
        key = ApiKey(
            id=key_id,
            owner=request.owner or key_id,
            name=request.name,
            scopes=request.scopes,
            tier=request.tier,
            created_by=principal.id,
            created_at=at,
            expires_at=request.expires_at,
            revoked_at=None,
            last_used_at=None,
            prefix=prefix,
        )
        await self.keys.add(key, self._digest(token))
        self.issued.forget(key_id)
        log.info("key_issued", key_id=key.id, owner=key.owner)
        return self._issued_key(key, token)

    async def list(self, *, limit: int, offset: int = 0, after: Position | None = None) -> KeyPage:
        """One page of all keys."""
        return KeyPage(*await self.keys.list(limit=limit, offset=offset, after=after))

    async def get(self, key_id: str) -> ApiKey:
        """One key. Raises `NotFound`."""
        key = await self.keys.get(key_id) if _KEY_ID.fullmatch(key_id) else None
        if key is None:
            raise NotFound("Unknown API key")  # The id is not echoed: it may be a secret in the wrong place.
        return key

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key: at once in this process, within `LIFETIME` seconds in others. Idempotent.

        Raises `NotFound`.
        """
        await self.get(key_id)
        if await self.keys.change(key_id, revoked_at=self.clock()):
            log.info("key_revoked", key_id=key_id)
        self.issued.forget(key_id)
        return await self.get(key_id)

    async def rotate(self, principal: Principal, key_id: str, *, overlap: timedelta) -> IssuedKey:
        """A new secret for a key. The old one is valid for `overlap`. Raises `Forbidden`, `NotFound`, `WrongState`."""
        key, at = await self.get(key_id), self.clock()
        principal.require_can_grant(key.scopes, key.tier)
        token, prefix = _new_token(key.form)
        digest = self._digest(token)
        if key.state(at) is not KeyState.ACTIVE or not await self.keys.rotate(
            key_id, prefix=prefix, digest=digest, at=at, until=at + overlap
        ):
            raise WrongState("Only an active key can be rotated", key_id=key_id)
        self.issued.forget(key_id)
        log.info("key_rotated", key_id=key_id)
        return self._issued_key(replace(key, prefix=prefix), token)

    async def change(
        self,
        principal: Principal,
        key_id: str,
        *,
        name: str | None = None,
        scopes: frozenset[Scope] | None = None,
        tier: Tier | None = None,
        expires_at: datetime | EllipsisType | None = ...,
    ) -> ApiKey:
        """Change the given fields. With `expires_at` None the key never expires.

        Raises `Forbidden`, `InvalidInput`, `NotFound`, `WrongState`.
        """
        changes = {"name": name, "scopes": scopes, "tier": tier}
        values: dict[str, Any] = {field: value for field, value in changes.items() if value is not None}
        if not isinstance(expires_at, EllipsisType):
            _refuse_past(expires_at, self.clock())
            values["expires_at"] = expires_at
        key = await self.get(key_id)
        principal.require_can_grant(key.scopes | (scopes or frozenset()), key.tier)
        principal.require_can_grant((), tier or key.tier)
        if key.revoked_at is not None or (values and not await self.keys.change(key_id, **values)):
            raise WrongState("The key was revoked, which is final", key_id=key_id)
        self.issued.forget(key_id)
        log.info("key_changed", key_id=key_id, fields=builtins.list(values))
        return await self.get(key_id)

    def _digest(self, token: str) -> KeyedDigest:
        return KeyedDigest(self.sealer.digest(token), self.sealer.check_value())

    def _issued_key(self, key: ApiKey, token: str) -> IssuedKey:
        return IssuedKey(key, token, callback_secrets(self.sealer, key.owner)[0])


def _new_token(form: KeyForm) -> tuple[str, str]:
    token = form.form_prefix + secrets.token_hex(_SECRET_BYTES[form])
    return token, lookup_prefix(token)


def _refuse_past(expires_at: datetime | None, at: datetime) -> None:
    if expires_at is not None and expires_at <= at:
        raise InvalidInput(
            "A key cannot expire in the past",
            field="expires_at",
            provided=expires_at.isoformat(),
            expected="a time in the future",
        )
