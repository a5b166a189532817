"""Finds the principal of a bearer token (D-010). Each kind of credential is one class (C-17)."""

import asyncio
import hmac
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
"""Seconds between two checks of the credential of an open stream: with `LIFETIME`, it is closed within 5 seconds."""

_STARTS: Final = tuple(form.form_prefix for form in KeyForm)
_FORM: Final = re.compile(rf"{KeyForm.DVR.form_prefix}[0-9a-f]{{80}}|{KeyForm.AO.form_prefix}[0-9a-f]{{64}}")
_PREFIX_DIGITS: Final = 16  # The other digits are at least 192 bits: nobody can guess them.
_MAX_TOKENS: Final = 10_000
_MAX_PREFIXES: Final = 100_000
_USE_INTERVAL: Final = timedelta(minutes=1)  # At most one write of a key's last use in this time.
_Value = TypeVar("_Value")


class Credential(Protocol):
    """One kind of credential."""

    def recognises(self, token: str) -> bool:
        """Whether a token was valid a moment ago, from this process's cache: the index is not read. Never raises."""

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of an issued key, if the token may be one; else None. Raises `Unavailable`."""

    async def principal(self, token: str) -> Principal | None:
        """The principal of a token, or None for another kind of token. Raises `Unauthenticated`, `Unavailable`."""

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the credential of a principal is still valid, or None for another kind of credential."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Authenticator:
    """Tries each kind of credential in turn."""

    kinds: Sequence[Credential]

    async def authenticate(self, token: str | None) -> Principal:
        """The principal of a bearer token. Raises `Unauthenticated`, and `Unavailable` when the index is needed."""
        if not token:
            raise Unauthenticated("No credential: send Authorization: Bearer KEY, an API key or a user's token")
        if token.isascii():
            for kind in self.kinds:
                if (principal := await kind.principal(token)) is not None:
                    return principal
        raise unknown_key()

    def recognises(self, token: str) -> bool:
        """Whether a token was valid a moment ago. Reads nothing from the index, so it is cheap for any token."""
        return token.isascii() and any(kind.recognises(token) for kind in self.kinds)

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of an issued key, if the token may be one; else None.

        Reads the index at most once in `LIFETIME` seconds. Raises `Unavailable`.
        """
        for kind in self.kinds:
            if (prefix := await kind.issued_prefix(token)) is not None:
                return prefix
        return None

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the credential of a caller is still valid, for open streams. Never raises. Cheap."""
        for kind in self.kinds:
            if (valid := await kind.still_valid(principal)) is not None:
                return valid
        return False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BootstrapKey:
    """The key of the settings: scope `admin:*`, no limits."""

    key: SecretStr | None

    def recognises(self, token: str) -> bool:
        """Whether it is that key. Compares in constant time."""
        secret = self.key.get_secret_value().encode() if self.key else b""
        return bool(secret) and hmac.compare_digest(token.encode(), secret)

    async def issued_prefix(self, token: str) -> str | None:
        """None: this key has no public part."""

    async def principal(self, token: str) -> Principal | None:
        """The admin, for this key."""
        return ADMIN if self.recognises(token) else None

    async def still_valid(self, principal: Principal) -> bool | None:
        """True: the settings do not change while the process runs."""
        return True if principal == ADMIN else None


class IssuedKeys:
    """Issued keys, `dvr_sk_live_…` or `ao_…` (D-013, C-17). Holds verified keys for `LIFETIME` seconds."""

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
        self._no_digest = sealer.digest("")
        self._timer = timer
        self._verified: CredentialCache[Principal] = CredentialCache(timer)  # by digest of the token, and by prefix
        self._accepted: dict[str, None] = {}  # digests of tokens that were valid when last seen, the latest last
        self._prefixes: frozenset[str] = frozenset()
        self._prefixes_until = -math.inf
        self._reading_prefixes = asyncio.Lock()
        self._writes = Background()

    def recognises(self, token: str) -> bool:
        """Whether this process accepted the key at its last use."""
        return token.startswith(_STARTS) and self._sealer.digest(token) in self._accepted

    async def issued_prefix(self, token: str) -> str | None:
        """The public part of a key, if such a key was issued. The list of keys is at most a few seconds old."""
        if not _FORM.fullmatch(token):
            return None
        async with self._reading_prefixes:
            if self._timer() >= self._prefixes_until:
                self._prefixes_until = self._timer() + LIFETIME
                self._prefixes = await self._keys.prefixes(_MAX_PREFIXES)
        prefix = lookup_prefix(token)
        return prefix if prefix in self._prefixes else None

    async def principal(self, token: str) -> Principal | None:
        """The principal of a key. Takes the same steps for an unknown key as for a wrong one.

        Raises `Unauthenticated`, with a reason only for a caller who has the whole key; `Unavailable`.
        """
        if not token.startswith(_STARTS):
            return None
        if not _FORM.fullmatch(token):
            raise unknown_key()
        digest = self._sealer.digest(token)
        if (principal := self._verified.get(digest)) is not None:
            return principal
        generation = self._verified.generation
        secret = await self._keys.find(lookup_prefix(token))
        self._accepted.pop(digest, None)
        # Compared for an unknown key, too: the time of the answer must not say which keys exist.
        if not self._sealer.matches(token, secret.digest if secret else self._no_digest) or secret is None:
            raise unknown_key()
        at = self._clock()
        self._refuse_ended(secret, at)
        self._remember(digest, secret, generation)
        _put_latest(self._accepted, digest, None)
        self._record_use(secret.key, at)
        if not hmac.compare_digest(secret.digest, digest):  # the digest is of the fallback key: replace it
            self._writes.start(self._replace_digest(secret, digest), f"digest of {secret.key.id}")
        return secret.key.principal

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the secret of a principal is valid and its key still has the principal's scopes.

        True while the index does not answer: nothing can be revoked meanwhile.
        """
        if principal.prefix is None:
            return None
        current = self._verified.get(principal.prefix)
        if current is None:
            generation = self._verified.generation
            try:
                secret = await self._keys.find(principal.prefix)
                if secret is None:
                    return False
                self._refuse_ended(secret, self._clock())
            except Unavailable:
                return True
            except Unauthenticated:
                return False
            current = self._remember(principal.prefix, secret, generation)
        return current.admin or principal.scopes <= current.scopes

    def forget(self, key_id: str) -> None:
        """Read this key from the index at its next use: it has changed, or is new."""
        self._prefixes_until = -math.inf
        self._verified.forget(lambda principal: principal.key == key_id)

    async def settle(self) -> None:
        """Wait until the pending writes are done."""
        await self._writes.settle()

    def _remember(self, name: str, secret: StoredSecret, generation: int) -> Principal:
        ends = [end for end in (secret.key.expires_at, secret.expires_at) if end is not None]
        seconds = min([LIFETIME, *((end - self._clock()).total_seconds() for end in ends)])
        self._verified.put(name, secret.key.principal, generation=generation, seconds=seconds)
        return secret.key.principal

    @staticmethod
    def _refuse_ended(secret: StoredSecret, at: datetime) -> None:
        match secret.key.state(at):
            case KeyState.REVOKED:
                raise Unauthenticated("The API key was revoked")
            case KeyState.EXPIRED:
                raise Unauthenticated("The API key has expired")
        if secret.expires_at is not None and secret.expires_at <= at:
            raise Unauthenticated("The API key was rotated: use the new one")

    def _record_use(self, key: ApiKey, at: datetime) -> None:
        if key.last_used_at is not None and at - key.last_used_at < _USE_INTERVAL:
            return
        self._writes.start(self._write_use(key.id, at), f"use of {key.id}")

    async def _write_use(self, key_id: str, at: datetime) -> None:
        try:
            await self._keys.used(key_id, at=at, unless_since=at - _USE_INTERVAL)
        except Unavailable as error:
            log.warning("key_use_not_written", key_id=key_id, error=error.message)

    async def _replace_digest(self, secret: StoredSecret, digest: str) -> None:
        try:
            await self._keys.redigested(
                secret.key.prefix, secret.digest, KeyedDigest(digest, self._sealer.check_value())
            )
        except Unavailable as error:
            log.warning("key_digest_not_written", key_id=secret.key.id, error=error.message)


def _put_latest(values: dict[str, _Value], name: str, value: _Value) -> None:
    """Add a value as the newest, and remove the oldest one above the limit."""
    values.pop(name, None)
    values[name] = value
    if len(values) > _MAX_TOKENS:
        del values[next(iter(values))]


def lookup_prefix(token: str) -> str:
    """The public part of an issued key, by which the index finds it. That of an `ao_` key begins with `ao_`."""
    if token.startswith(KeyForm.AO.form_prefix):
        return token[: len(KeyForm.AO.form_prefix) + _PREFIX_DIGITS]
    return token.removeprefix(KeyForm.DVR.form_prefix)[:_PREFIX_DIGITS]


def unknown_key() -> Unauthenticated:
    """The same error for every token that is not valid."""
    return Unauthenticated("The API key is not valid")
