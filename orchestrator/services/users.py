"""Users: who they are, how they sign in, how their tokens are renewed (S-004 to S-008, C-20 to C-22)."""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from orchestrator.domain.access import ORDINARY, Principal, Role, scopes_of
from orchestrator.domain.errors import InvalidInput, NotFound, Unauthenticated, WrongState
from orchestrator.domain.limits import Tier
from orchestrator.services.tokens import ACCESS_LIFETIME, REFRESH_LIFETIME, Claims, TokenSigner, TokenType
from orchestrator.storage.users import UserRecord, UserRepository

# What everybody who has signed in may use, also with a token that was minted elsewhere.
USER_TIER: Final = Tier.BUSINESS
_WRONG: Final = "The user name or the password is wrong"


@dataclass(frozen=True, slots=True)
class User:
    """A user, as administrators see one."""

    username: str
    roles: tuple[Role, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login answers. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class BootstrapUser:
    """The administrator of the settings: needs no row."""

    username: str
    password: SecretStr


def principal_of(claims: Claims) -> Principal:
    """Who an access token is. One that says nothing of roles may what everybody may who has signed in."""
    known = [Role(role) for role in claims.roles or () if role in set(Role)]
    return Principal(
        id=f"user:{claims.subject}",
        scopes=ORDINARY if claims.roles is None else scopes_of(known),
        tier=None if Role.ADMIN in known else USER_TIER,
        roles=frozenset(known),
        expires_at=claims.expires_at,
    )


class SignedTokens:
    """The kind of credential that users come with: three parts, two dots (C-17)."""

    def __init__(self, signer: TokenSigner, *, clock: Callable[[], datetime]) -> None:
        self._signer = signer
        self._clock = clock

    def recognises(self, token: str) -> bool:
        """Whether a token is signed and has not ended."""
        try:
            return token.count(".") == 2 and bool(self._signer.read(token))
        except Unauthenticated:
            return False

    async def issued_prefix(self, token: str) -> str | None:
        """None: its signature says whether it is one."""

    async def principal(self, token: str) -> Principal | None:
        """Whose token it is. Raises `Unauthenticated`."""
        return principal_of(self._signer.read(token)) if token.count(".") == 2 else None

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the token that a user came with has not ended."""
        return None if principal.expires_at is None else self._clock() < principal.expires_at


class UserAccounts:
    """Signs users in, renews their tokens, and keeps their records."""

    def __init__(
        self,
        users: UserRepository,
        signer: TokenSigner,
        *,
        bootstrap: BootstrapUser | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._signer = signer
        self._bootstrap = bootstrap
        self._clock = clock
        self._hasher = PasswordHash((Argon2Hasher(),))

    async def login(self, username: str, password: str) -> Tokens:
        """Tokens for a user. Raises `Unauthenticated` without a word on which of the two is wrong, `Unavailable`."""
        roles = await self._checked(username, password)
        family, token, until = secrets.token_hex(16), secrets.token_hex(16), self._clock() + REFRESH_LIFETIME
        await self._users.grant(token, family=family, subject=username, expires_at=until)
        return self._tokens(username, roles, family, token, until)

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which is used up: a second use voids every token of its login.

        Raises `Unauthenticated`, `Unavailable`.
        """
        claims = self._signer.read(refresh_token, TokenType.REFRESH)
        now = self._clock()
        successor, until = secrets.token_hex(16), now + REFRESH_LIFETIME
        if not await self._users.exchange(claims.id, successor=successor, expires_at=until, at=now):
            raise Unauthenticated("The refresh token was used before or is void: sign in again")
        roles = await self._roles(claims.subject)
        return self._tokens(claims.subject, roles, claims.family, successor, until)

    async def add(self, username: str, password: str, roles: Sequence[Role]) -> User:
        """A new user. Raises `WrongState` when the name is taken, `Unavailable`."""
        hashed = await asyncio.to_thread(self._hasher.hash, password)
        record = UserRecord(username, hashed, [str(role) for role in roles], self._clock())
        if self._is_bootstrap(username) or not await self._users.add(record):
            raise WrongState(f"There is a user {username!r} already", username=username)
        return _user(record)

    async def list(self, *, limit: int, offset: int) -> tuple[list[User], int]:
        """One page of users by name, and how many there are. Raises `Unavailable`."""
        records, total = await self._users.list(limit=limit, offset=offset)
        return [_user(record) for record in records], total

    async def remove(self, username: str) -> None:
        """Forget a user; access tokens end by themselves. Raises `NotFound`, `InvalidInput`, `Unavailable`."""
        if self._is_bootstrap(username):
            raise InvalidInput("This user is part of the settings", field="username", expected="another user")
        if not await self._users.remove(username, at=self._clock()):
            raise NotFound(f"Unknown user: {username}", username=username)

    async def _checked(self, username: str, password: str) -> tuple[Role, ...]:
        own = self._bootstrap if self._is_bootstrap(username) else None
        if own is not None and hmac.compare_digest(password.encode(), own.password.get_secret_value().encode()):
            return (Role.ADMIN,)
        record = await self._users.get(username) if own is None else None
        if record is None:
            # An unknown name takes as long as a known one, and as the one of the settings.
            await asyncio.to_thread(self._hasher.hash, password)
            raise Unauthenticated(_WRONG)
        if not await asyncio.to_thread(self._hasher.verify, password, record.password_hash):
            raise Unauthenticated(_WRONG)
        return _user(record).roles

    async def _roles(self, username: str) -> tuple[Role, ...]:
        if self._is_bootstrap(username):
            return (Role.ADMIN,)
        record = await self._users.get(username)
        if record is None:
            raise Unauthenticated("The user is gone")
        return _user(record).roles

    def _is_bootstrap(self, username: str) -> bool:
        return self._bootstrap is not None and username == self._bootstrap.username

    def _tokens(self, subject: str, roles: Sequence[Role], family: str, token: str, until: datetime) -> Tokens:
        access = Claims(
            subject, TokenType.ACCESS, self._clock() + ACCESS_LIFETIME, roles=tuple(map(str, roles)) or None
        )
        refresh = Claims(subject, TokenType.REFRESH, until, id=token, family=family)
        lifetime = int(ACCESS_LIFETIME.total_seconds())
        return Tokens(self._signer.sign(access), self._signer.sign(refresh), lifetime)


def _user(record: UserRecord) -> User:
    return User(record.username, tuple(Role(role) for role in record.roles), record.created_at)
