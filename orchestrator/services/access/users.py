"""Users: who they are, how they sign in, how their tokens are renewed (S-004 to S-008, C-20 to C-22)."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from orchestrator.domain.access import ORDINARY, USER_OWNER, Principal, Role, Scope, scopes_of
from orchestrator.domain.errors import InvalidInput, NotFound, Unauthenticated, Unavailable, WrongState
from orchestrator.domain.limits import Tier
from orchestrator.services.access.credential_cache import CredentialCache
from orchestrator.services.access.tokens import ACCESS_LIFETIME, REFRESH_LIFETIME, Claims, TokenSigner, TokenType
from orchestrator.storage.users import UserRecord, UserRepository

# What everybody who has signed in may use, also with a token that was minted elsewhere.
USER_TIER: Final = Tier.BUSINESS
# How the family of a sign-in of the settings' user begins, so that no other user is ever taken for that one. A keyed
# digest of name and password follows: a sign-in ends with the password that it was made with.
_OF_SETTINGS: Final = "settings."
_WRONG: Final = "The user name or the password is wrong"


@dataclass(frozen=True, slots=True)
class User:
    """A user, as administrators see one. `id` is the account: `user:ID` owns what it starts."""

    id: str
    username: str
    roles: tuple[Role, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _SignedIn:
    account: str
    family: str
    roles: tuple[str, ...]


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

    def secret(self) -> str:
        """What a sign-in of this user is bound to."""
        return f"{self.username}\0{self.password.get_secret_value()}"


def principal_of(claims: Claims, roles: Sequence[str] | None) -> Principal:
    """Who comes with an access token, by the roles of the account or, if others minted it, of the token.

    Without a word on roles they may what everybody may who has signed in.
    """
    known = [Role(role) for role in roles or () if role in set(Role)]
    return Principal(
        id=f"{USER_OWNER}{claims.account or claims.subject}",
        scopes=ORDINARY if roles is None else scopes_of(known),
        tier=None if Role.ADMIN in known else USER_TIER,
        roles=frozenset(known),
        expires_at=claims.expires_at,
        sign_in=claims.family if claims.account else None,
    )


class Accounts:
    """Who the accounts of this installation are: the users that were added, and the one of the settings."""

    def __init__(
        self,
        users: UserRepository,
        signer: TokenSigner,
        *,
        bootstrap: BootstrapUser | None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._signer = signer
        self._bootstrap = bootstrap
        self._known: CredentialCache[_SignedIn] = CredentialCache(timer)

    async def roles(self, account: str, family: str) -> tuple[str, ...] | None:
        """The roles of who has signed in; None once the account or the sign-in has ended.

        What ended in another process is known for `LIFETIME` seconds more. Raises `Unavailable`.
        """
        name, generation = f"{family} {account}", self._known.generation
        known = self._known.get(name)
        if known is None:
            roles = await self._read(account, family)
            if roles is None:
                return None
            known = _SignedIn(account, family, roles)
            self._known.put(name, known, generation=generation)
        return known.roles

    def forget(self, *, account: str | None = None, family: str | None = None) -> None:
        """Look at the index again: an account, or a sign-in, has ended."""
        self._known.forget(lambda known: known.account == account or known.family == family)

    def new_family(self, username: str) -> str:
        """The name of a new sign-in of a user."""
        family = secrets.token_hex(16)
        if self._bootstrap is None or username != self._bootstrap.username:
            return family
        return f"{_OF_SETTINGS}{self._signer.digest(self._bootstrap.secret())}.{family}"

    async def _read(self, account: str, family: str) -> tuple[str, ...] | None:
        if family.startswith(_OF_SETTINGS):
            return (Role.ADMIN,) if self._is_bootstrap(account, family) and await self._users.is_live(family) else None
        record = await self._users.account(account, family)
        return None if record is None else tuple(record.roles)

    def _is_bootstrap(self, account: str, family: str) -> bool:
        """Whether a sign-in is of the settings' user, and was made with the password of now."""
        own, digest = self._bootstrap, family.removeprefix(_OF_SETTINGS).partition(".")[0]
        return own is not None and account == own.username and self._signer.is_digest(own.secret(), digest)


class SignedTokens:
    """The kind of credential that users come with: three parts, two dots (C-17)."""

    def __init__(self, signer: TokenSigner, accounts: Accounts, *, clock: Callable[[], datetime]) -> None:
        self._signer = signer
        self._accounts = accounts
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
        """Whose token it is. Raises `Unauthenticated`, `Unavailable`."""
        if token.count(".") != 2:
            return None
        claims = self._signer.read(token)
        if not claims.account:
            return principal_of(claims, claims.roles)
        roles = await self._accounts.roles(claims.account, claims.family)
        if roles is None:
            raise Unauthenticated("This sign-in has ended: sign in again")
        return principal_of(claims, roles)

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the token that a user came with has not ended, nor their sign-in, nor their account.

        While the index does not answer nothing can be ended: then they may go on.
        """
        if principal.expires_at is None:
            return None
        if self._clock() >= principal.expires_at:
            return False
        if principal.sign_in is None:
            return True
        try:
            roles = await self._accounts.roles(principal.id.removeprefix(USER_OWNER), principal.sign_in)
        except Unavailable:
            return True
        return roles is not None


class UserAccounts:
    """Signs users in, renews their tokens, and keeps their records."""

    def __init__(
        self,
        users: UserRepository,
        accounts: Accounts,
        signer: TokenSigner,
        *,
        bootstrap: BootstrapUser | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._signer = signer
        self._bootstrap = bootstrap
        self._clock = clock
        self._hasher = PasswordHash((Argon2Hasher(),))

    async def login(self, username: str, password: str) -> Tokens:
        """Tokens for a user. Raises `Unauthenticated` without a word on which of the two is wrong, `Unavailable`."""
        user = await self._checked(username, password)
        family = self._accounts.new_family(username)
        token, until = secrets.token_hex(16), self._clock() + REFRESH_LIFETIME
        await self._users.grant(token, family=family, subject=user.id, expires_at=until)
        return self._tokens(user, family, token, until)

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which is used up: a second use voids every token of its login.

        Raises `Unauthenticated`, `Unavailable`.
        """
        claims = self._signer.read(refresh_token, TokenType.REFRESH)
        now = self._clock()
        successor, until = secrets.token_hex(16), now + REFRESH_LIFETIME
        if not await self._users.exchange(claims.id, successor=successor, expires_at=until, at=now):
            self._accounts.forget(family=claims.family)
            raise Unauthenticated("The refresh token was used before or is void: sign in again")
        account = claims.account or claims.subject  # release 0.5 put the name alone into its tokens
        roles = await self._accounts.roles(account, claims.family)
        if roles is None:
            raise Unauthenticated("The user is gone")
        user = User(account, claims.subject, tuple(Role(role) for role in roles), now)
        return self._tokens(user, claims.family, successor, until)

    async def sign_out(self, principal: Principal) -> None:
        """End the sign-in that a caller's token descends from, with every token of it: at once here, within `LIFETIME`
        seconds elsewhere. Raises `WrongState` for a caller who has not signed in here, `Unavailable`.
        """
        if principal.sign_in is None:
            raise WrongState("This credential is not of a sign-in: API keys are revoked, tokens of others expire")
        await self._users.end(principal.sign_in, at=self._clock())
        self._accounts.forget(family=principal.sign_in)

    async def add(self, principal: Principal, username: str, password: str, roles: Sequence[Role]) -> User:
        """A new user, with an account that nobody had before.

        Raises `WrongState` when the name is taken, `Forbidden` for a role that the caller may not give, `Unavailable`.
        """
        if Role.ADMIN in roles:
            principal.require_reach({Scope.ADMIN}, None)
        hashed = await asyncio.to_thread(self._hasher.hash, password)
        account = f"{username}:{secrets.token_hex(8)}"
        record = UserRecord(account, username, hashed, [str(role) for role in roles], self._clock())
        if self._is_bootstrap(username) or not await self._users.add(record):
            raise WrongState(f"There is a user {username!r} already", username=username)
        return _user(record)

    async def list(self, *, limit: int, offset: int) -> tuple[list[User], int]:
        """One page of users by name, and how many there are. Raises `Unavailable`."""
        records, total = await self._users.list(limit=limit, offset=offset)
        return [_user(record) for record in records], total

    async def remove(self, username: str) -> None:
        """Forget a user. Their tokens end at once here, and within `LIFETIME` seconds elsewhere.

        Raises `NotFound`, `InvalidInput`, `Unavailable`.
        """
        if self._is_bootstrap(username):
            raise InvalidInput("This user is part of the settings", field="username", expected="another user")
        account = await self._users.remove(username, at=self._clock())
        if account is None:
            raise NotFound(f"Unknown user: {username}", username=username)
        self._accounts.forget(account=account)

    async def _checked(self, username: str, password: str) -> User:
        own = self._bootstrap if self._is_bootstrap(username) else None
        if own is not None and hmac.compare_digest(password.encode(), own.password.get_secret_value().encode()):
            return User(username, username, (Role.ADMIN,), self._clock())
        record = await self._users.get(username) if own is None else None
        if record is None:
            # An unknown name takes as long as a known one, and as the one of the settings.
            await asyncio.to_thread(self._hasher.hash, password)
            raise Unauthenticated(_WRONG)
        if not await asyncio.to_thread(self._hasher.verify, password, record.password_hash):
            raise Unauthenticated(_WRONG)
        return _user(record)

    def _is_bootstrap(self, username: str) -> bool:
        return self._bootstrap is not None and username == self._bootstrap.username

    def _tokens(self, user: User, family: str, token: str, until: datetime) -> Tokens:
        access = Claims(
            user.username,
            TokenType.ACCESS,
            self._clock() + ACCESS_LIFETIME,
            roles=tuple(map(str, user.roles)),
            family=family,
            account=user.id,
        )
        refresh = Claims(user.username, TokenType.REFRESH, until, id=token, family=family, account=user.id)
        lifetime = int(ACCESS_LIFETIME.total_seconds())
        return Tokens(self._signer.sign(access), self._signer.sign(refresh), lifetime)


def _user(record: UserRecord) -> User:
    return User(record.id, record.username, tuple(Role(role) for role in record.roles), record.created_at)
