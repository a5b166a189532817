"""Who a bearer token is (D-010): the bootstrap key, or an issued one. Further kinds of credential join here (C-17)."""

import asyncio
import hmac
import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

import structlog
from pydantic import SecretStr

from orchestrator.domain.access import ApiKey, KeyForm, KeyState, Principal, Scope
from orchestrator.domain.errors import Unauthenticated, Unavailable
from orchestrator.security.sealing import Sealer
from orchestrator.services.access.credential_cache import LIFETIME, CredentialCache
from orchestrator.services.background import Background
from orchestrator.storage.keys import KeyedDigest, KeyRepository, StoredSecret

log = structlog.get_logger(__name__)

ADMIN: Final = Principal(id="admin", scopes=frozenset({Scope.ADMIN}))

RECHECK_SECONDS: Final = 2.0
"""Seconds between two looks at the credential of what stays open: with `LIFETIME`, it ends within five seconds."""

_STARTS: Final = tuple(form.start for form in KeyForm)
_FORM: Final = re.compile(rf"{KeyForm.DVR.start}[0-9a-f]{{80}}|{KeyForm.AO.start}[0-9a-f]{{64}}")
_PREFIX_DIGITS: Final = 16  # the others, 192 bits at least, nobody can guess
_MOST_KNOWN: Final = 10_000
_MOST_PREFIXES: Final = 100_000
_USE_NOTED: Final = timedelta(minutes=1)
_Kept = TypeVar("_Kept")


class Credential(Protocol):
    """One kind of credential."""

    def recognises(self, token: str) -> bool:
        """Whether a token is surely of this kind and valid a moment ago, told without the index. Never raises."""

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of an issued key that a token may be; None when it surely is none. Raises `Unavailable`."""

    async def principal(self, token: str) -> Principal | None:
        """Whose token it is, or None when it is of another kind. Raises `Unauthenticated`, `Unavailable`."""

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether a principal may go on, or None when they came with another kind."""


class Authenticator:
    """Asks each kind of credential in turn."""

    def __init__(self, kinds: Sequence[Credential]) -> None:
        self._kinds = kinds

    async def authenticate(self, token: str | None) -> Principal:
        """The principal of a bearer token. Raises `Unauthenticated`, and `Unavailable` when the index is needed."""
        if not token:
            raise Unauthenticated("No credential: send Authorization: Bearer KEY, an API key or a user's token")
        if token.isascii():
            for kind in self._kinds:
                if (principal := await kind.principal(token)) is not None:
                    return principal
        raise unknown_key()

    def recognises(self, token: str) -> bool:
        """Whether a token surely opened something a moment ago. Asks nobody, so that it can be called for any token."""
        return token.isascii() and any(kind.recognises(token) for kind in self._kinds)

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of an issued key that a token may be, or None. However often it is asked, it reads the index
        once in `LIFETIME` seconds at most. Raises `Unavailable`."""
        for kind in self._kinds:
            if (prefix := await kind.issued_prefix(token)) is not None:
                return prefix
        return None

    async def still_valid(self, principal: Principal) -> bool:
        """Whether a caller who was let in may go on, for streams that outlive their key. Never raises; cheap."""
        for kind in self._kinds:
            if (valid := await kind.still_valid(principal)) is not None:
                return valid
        return False


class BootstrapKey:
    """The key of the settings: scope `admin:*`, no limits."""

    def __init__(self, admin_api_key: SecretStr | None) -> None:
        self._key = admin_api_key.get_secret_value().encode() if admin_api_key else None

    def recognises(self, token: str) -> bool:
        """Whether it is that key; compares in constant time."""
        return bool(self._key) and hmac.compare_digest(token.encode(), self._key or b"")

    async def issued_prefix(self, token: str) -> str | None:
        """None: it has no public part."""

    async def principal(self, token: str) -> Principal | None:
        """The admin, if it is that key."""
        return ADMIN if self.recognises(token) else None

    async def still_valid(self, principal: Principal) -> bool | None:
        """The settings do not change while the process runs."""
        return True if principal == ADMIN else None


class IssuedKeys:
    """Keys that were issued, `dvr_sk_live_…` or `ao_…` (D-013, C-17).

    A verified one is known for `LIFETIME` seconds.
    """

    def __init__(
        self,
        keys: KeyRepository,
        sealer: Sealer,
        *,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._sealer = sealer
        self._clock = clock
        self._nobody = sealer.digest("")
        self._timer = timer
        self._known: CredentialCache[Principal] = CredentialCache(timer)  # by digest of the token, and by prefix
        self._let_in: dict[str, None] = {}  # digests of tokens that were valid when last seen, the latest last
        self._prefixes: frozenset[str] = frozenset()
        self._prefixes_until = -math.inf
        self._reading_prefixes = asyncio.Lock()
        self._noting = Background()

    def recognises(self, token: str) -> bool:
        """Whether this process let the key in when it last came."""
        return token.startswith(_STARTS) and self._sealer.digest(token) in self._let_in

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of a key, if such a key was issued, as it was known a few seconds ago."""
        if not _FORM.fullmatch(token):
            return None
        async with self._reading_prefixes:
            if self._timer() >= self._prefixes_until:
                self._prefixes_until = self._timer() + LIFETIME
                self._prefixes = await self._keys.prefixes(_MOST_PREFIXES)
        prefix = lookup_prefix(token)
        return prefix if prefix in self._prefixes else None

    async def principal(self, token: str) -> Principal | None:
        """Whose key it is. Takes the same steps for an unknown key as for a wrong one.

        Raises `Unauthenticated`, which gives a reason only to those who hold the whole key; `Unavailable`.
        """
        if not token.startswith(_STARTS):
            return None
        if not _FORM.fullmatch(token):
            raise unknown_key()
        digest = self._sealer.digest(token)
        if (known := self._known.get(digest)) is not None:
            return known
        generation = self._known.generation
        found = await self._keys.find(lookup_prefix(token))
        self._let_in.pop(digest, None)
        if not self._sealer.matches(token, found.digest if found else self._nobody) or found is None:
            raise unknown_key()
        at = self._clock()
        self._refuse_ended(found, at)
        self._remember(digest, found, generation)
        _keep_latest(self._let_in, digest, None)
        self._note_use(found.key, at)
        if not hmac.compare_digest(found.digest, digest):  # made with the fallback: the key follows at its use
            self._noting.start(self._redigested(found, digest), f"digest of {found.key.id}")
        return found.key.principal

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the secret that a principal came with is valid and its key still has their scopes.

        While the index does not answer nothing can be revoked: then they may go on.
        """
        if principal.prefix is None:
            return None
        known = self._known.get(principal.prefix)
        if known is None:
            generation = self._known.generation
            try:
                found = await self._keys.find(principal.prefix)
                if found is None:
                    return False
                self._refuse_ended(found, self._clock())
            except Unavailable:
                return True
            except Unauthenticated:
                return False
            known = self._remember(principal.prefix, found, generation)
        return known.admin or principal.scopes <= known.scopes

    def forget(self, key_id: str) -> None:
        """Look at the index again before this key is let in: it has changed, or is new."""
        self._prefixes_until = -math.inf
        self._known.forget(lambda principal: principal.key == key_id)

    async def settle(self) -> None:
        """Let the notes of uses under way end."""
        await self._noting.settle()

    def _remember(self, name: str, found: StoredSecret, generation: int) -> Principal:
        ends = [end for end in (found.key.expires_at, found.expires_at) if end is not None]
        left = min([LIFETIME, *((end - self._clock()).total_seconds() for end in ends)])
        self._known.put(name, found.key.principal, generation=generation, seconds=left)
        return found.key.principal

    @staticmethod
    def _refuse_ended(found: StoredSecret, at: datetime) -> None:
        match found.key.state(at):
            case KeyState.REVOKED:
                raise Unauthenticated("The API key was revoked")
            case KeyState.EXPIRED:
                raise Unauthenticated("The API key has expired")
        if found.expires_at is not None and found.expires_at <= at:
            raise Unauthenticated("The API key was rotated: use the new one")

    def _note_use(self, key: ApiKey, at: datetime) -> None:
        if key.last_used_at is not None and at - key.last_used_at < _USE_NOTED:
            return
        self._noting.start(self._used(key.id, at), f"use of {key.id}")

    async def _used(self, key_id: str, at: datetime) -> None:
        try:
            await self._keys.used(key_id, at=at, unless_since=at - _USE_NOTED)
        except Unavailable as fault:
            log.warning("key_use_not_written", key_id=key_id, error=fault.message)

    async def _redigested(self, found: StoredSecret, digest: str) -> None:
        try:
            await self._keys.redigested(found.key.prefix, found.digest, KeyedDigest(digest, self._sealer.check_value()))
        except Unavailable as fault:
            log.warning("key_digest_not_written", key_id=found.key.id, error=fault.message)


def _keep_latest(kept: dict[str, _Kept], name: str, value: _Kept) -> None:
    """Keep a value as the latest of a bounded number."""
    kept.pop(name, None)
    kept[name] = value
    if len(kept) > _MOST_KNOWN:
        del kept[next(iter(kept))]


def lookup_prefix(token: str) -> str:
    """The public part of an issued key, which finds it; that of an `ao_` key says so."""
    if token.startswith(KeyForm.AO.start):
        return token[: len(KeyForm.AO.start) + _PREFIX_DIGITS]
    return token.removeprefix(KeyForm.DVR.start)[:_PREFIX_DIGITS]


def unknown_key() -> Unauthenticated:
    """The one answer to whatever opens nothing."""
    return Unauthenticated("The API key is not valid")
