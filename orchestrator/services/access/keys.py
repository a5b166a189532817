"""Issuing keys, and what happens to them later (D-011 to D-014, C-18). For callers with the scope `admin:*`."""

import builtins
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
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
_SECRET_BYTES: Final = {KeyForm.DVR: 40, KeyForm.AO: 32}  # 8 that find the key, and others that nobody can guess


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a new key is to be. Without an owner it is its own; keys with the same owner share their jobs."""

    name: str
    scopes: frozenset[Scope]
    tier: Tier = Tier.FREE
    owner: str | None = None
    expires_at: datetime | None = None
    form: KeyForm = KeyForm.DVR


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is told this once, and the account's secret for callbacks (C-54)."""

    key: ApiKey
    token: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of keys, newest first, and how many there are in all."""

    keys: list[ApiKey]
    total: int


class KeyIssuer:
    """Keys from their first to their last day. Every method raises `Unavailable` when the index does not answer."""

    def __init__(
        self,
        keys: KeyRepository,
        sealer: Sealer,
        issued: IssuedKeys,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._keys = keys
        self._sealer = sealer
        self._issued = issued
        self._clock = clock
        self._new_id = new_id

    async def issue(self, principal: Principal, request: KeyRequest) -> IssuedKey:
        """A new key. Raises `Forbidden`, `InvalidInput`."""
        principal.require(Scope.ADMIN)
        principal.require_reach(request.scopes, request.tier)
        at = self._clock()
        _refuse_past(request.expires_at, at)
        token, prefix = _new_token(request.form)
        key_id = f"key_{self._new_id()}"
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
        await self._keys.add(key, self._digest(token))
        self._issued.forget(key_id)
        log.info("key_issued", key_id=key.id, owner=key.owner)
        return self._shown(key, token)

    async def list(self, *, limit: int, offset: int = 0, after: Position | None = None) -> KeyPage:
        """One page of all keys."""
        return KeyPage(*await self._keys.list(limit=limit, offset=offset, after=after))

    async def get(self, key_id: str) -> ApiKey:
        """A key. Raises `NotFound`."""
        key = await self._keys.get(key_id) if _KEY_ID.fullmatch(key_id) else None
        if key is None:
            raise NotFound("Unknown API key")  # not echoed: it may be a secret in the wrong place
        return key

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key, at once here and within `LIFETIME` seconds elsewhere. Asked twice, it changes nothing.

        Raises `NotFound`.
        """
        await self.get(key_id)
        if await self._keys.change(key_id, revoked_at=self._clock()):
            log.info("key_revoked", key_id=key_id)
        self._issued.forget(key_id)
        return await self.get(key_id)

    async def rotate(self, principal: Principal, key_id: str, *, overlap: timedelta) -> IssuedKey:
        """A new secret for a key; the old one stays valid for a while. Raises `Forbidden`, `NotFound`, `WrongState`."""
        key, at = await self.get(key_id), self._clock()
        principal.require_reach(key.scopes, key.tier)
        token, prefix = _new_token(key.form)
        digest = self._digest(token)
        if key.state(at) is not KeyState.ACTIVE or not await self._keys.rotate(
            key_id, prefix=prefix, digest=digest, at=at, until=at + overlap
        ):
            raise WrongState("Only an active key can be rotated", key_id=key_id)
        self._issued.forget(key_id)
        log.info("key_rotated", key_id=key_id)
        return self._shown(replace(key, prefix=prefix), token)

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
        """Change what is given; with `expires_at` None the key never expires.

        Raises `Forbidden`, `InvalidInput`, `NotFound`, `WrongState`.
        """
        given = {"name": name, "scopes": scopes, "tier": tier}
        values: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        if not isinstance(expires_at, EllipsisType):
            _refuse_past(expires_at, self._clock())
            values["expires_at"] = expires_at
        key = await self.get(key_id)
        principal.require_reach(key.scopes | (scopes or frozenset()), key.tier)
        principal.require_reach((), tier or key.tier)
        if key.revoked_at is not None or (values and not await self._keys.change(key_id, **values)):
            raise WrongState("The key was revoked, which is final", key_id=key_id)
        self._issued.forget(key_id)
        log.info("key_changed", key_id=key_id, fields=builtins.list(values))
        return await self.get(key_id)

    def _digest(self, token: str) -> KeyedDigest:
        return KeyedDigest(self._sealer.digest(token), self._sealer.check_value())

    def _shown(self, key: ApiKey, token: str) -> IssuedKey:
        return IssuedKey(key, token, callback_secrets(self._sealer, key.owner)[0])


def _new_token(form: KeyForm) -> tuple[str, str]:
    token = form.start + secrets.token_hex(_SECRET_BYTES[form])
    return token, lookup_prefix(token)


def _refuse_past(expires_at: datetime | None, at: datetime) -> None:
    if expires_at is not None and expires_at <= at:
        raise InvalidInput(
            "A key cannot expire in the past",
            field="expires_at",
            provided=expires_at.isoformat(),
            expected="a time in the future",
        )
