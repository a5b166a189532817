"""Users: their accounts, sign-in, and the refresh of their tokens (S-004 to S-008, C-20 to C-22)."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
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

# The tier of every user who has signed in, also with a token of another issuer.
USER_TIER: Final = Tier.BUSINESS
# The family of a sign-in of the bootstrap user begins with this, so that no other user is taken for that one. A keyed
# digest of name and password follows, so that a new password ends the sign-ins made with the old one.
_BOOTSTRAP_FAMILY: Final = "settings."
_WRONG: Final = "The user name or the password is wrong"


@dataclass(frozen=True, slots=True)
class User:
    """A user, as administrators see one. `id` is the account: `user:ID` owns the user's jobs."""

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
    """The tokens of a sign-in. `expires_in` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class BootstrapUser:
    """The administrator that the settings define. The index has no row for this user."""

    username: str
    password: SecretStr

    def secret(self) -> str:
        """Name and password in one text: a sign-in of this user is bound to its digest."""
        return f"{self.username}\0{self.password.get_secret_value()}"


def principal_of(claims: Claims, roles: Sequence[str] | None) -> Principal:
    """The principal of an access token, with the roles of the account or, for another issuer, of the token.

    Without roles the principal has the scopes of every signed-in user.
    """
    known_roles = [Role(role) for role in roles or () if role in set(Role)]
    return Principal(
        id=f"{USER_OWNER}{claims.account or claims.subject}",
        scopes=ORDINARY if roles is None else scopes_of(known_roles),
        tier=None if Role.ADMIN in known_roles else USER_TIER,
        roles=frozenset(known_roles),
        expires_at=claims.expires_at,
        sign_in=claims.family if claims.account else None,
    )


class Accounts:
    """The accounts of this installation: added users and the bootstrap user. Holds verified sign-ins for seconds."""

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
        self._sign_ins: CredentialCache[_SignedIn] = CredentialCache(timer)

    async def roles(self, account: str, family: str) -> tuple[str, ...] | None:
        """The roles of a signed-in user. None once the account or the sign-in has ended.

        A sign-in that another process ended is valid for `LIFETIME` seconds more. Raises `Unavailable`.
        """
        name, generation = f"{family} {account}", self._sign_ins.generation
        sign_in = self._sign_ins.get(name)
        if sign_in is None:
            roles = await self._read(account, family)
            if roles is None:
                return None
            sign_in = _SignedIn(account, family, roles)
            self._sign_ins.put(name, sign_in, generation=generation)
        return sign_in.roles

    def forget(self, *, account: str | None = None, family: str | None = None) -> None:
        """Read an account or a sign-in from the index at its next use: it has ended."""
        self._sign_ins.forget(lambda sign_in: sign_in.account == account or sign_in.family == family)

    def new_family(self, username: str) -> str:
        """The family of a new sign-in of a user."""
        family = secrets.token_hex(16)
        if self._bootstrap is None or username != self._bootstrap.username:
            return family
        return f"{_BOOTSTRAP_FAMILY}{self._signer.digest(self._bootstrap.secret())}.{family}"

    async def _read(self, account: str, family: str) -> tuple[str, ...] | None:
        if family.startswith(_BOOTSTRAP_FAMILY):
            return (Role.ADMIN,) if self._is_bootstrap(account, family) and await self._users.is_live(family) else None
        record = await self._users.account(account, family)
        return None if record is None else tuple(record.roles)

    def _is_bootstrap(self, account: str, family: str) -> bool:
        """Whether a sign-in is of the bootstrap user, and was made with the present password."""
        user, digest = self._bootstrap, family.removeprefix(_BOOTSTRAP_FAMILY).partition(".")[0]
        return user is not None and account == user.username and self._signer.is_digest(user.secret(), digest)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignedTokens:
    """Tokens of users as credentials: three parts, two dots (C-17)."""

    signer: TokenSigner
    accounts: Accounts
    _: KW_ONLY
    clock: Callable[[], datetime]

    def recognises(self, token: str) -> bool:
        """Whether the signature of a token is valid and the token has not expired."""
        try:
            return token.count(".") == 2 and bool(self.signer.read(token))
        except Unauthenticated:
            return False

    async def issued_prefix(self, token: str) -> str | None:
        """None: the token is not an issued key."""

    async def principal(self, token: str) -> Principal | None:
        """The principal of a token. Raises `Unauthenticated`, `Unavailable`."""
        if token.count(".") != 2:
            return None
        claims = self.signer.read(token)
        if not claims.account:
            return principal_of(claims, claims.roles)
        roles = await self.accounts.roles(claims.account, claims.family)
        if roles is None:
            raise Unauthenticated("This sign-in has ended: sign in again")
        return principal_of(claims, roles)

    async def still_valid(self, principal: Principal) -> bool | None:
        """Whether the token, the sign-in and the account of a user are all still valid.

        True while the index does not answer: nothing can be ended meanwhile.
        """
        if principal.expires_at is None:
            return None
        if self.clock() >= principal.expires_at:
            return False
        if principal.sign_in is None:
            return True
        try:
            roles = await self.accounts.roles(principal.id.removeprefix(USER_OWNER), principal.sign_in)
        except Unavailable:
            return True
        return roles is not None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserAccounts:
    """Signs users in and out, refreshes their tokens, and adds, lists and removes users."""

    users: UserRepository
    accounts: Accounts
    signer: TokenSigner
    _: KW_ONLY
    bootstrap: BootstrapUser | None
    clock: Callable[[], datetime]
    hasher: PasswordHash = field(default_factory=lambda: PasswordHash((Argon2Hasher(),)), init=False)

    async def login(self, username: str, password: str) -> Tokens:
        """Tokens for a user. Raises `Unauthenticated`, the same for a wrong name as for a wrong password."""
        user = await self._authenticated(username, password)
        family = self.accounts.new_family(username)
        token, until = secrets.token_hex(16), self.clock() + REFRESH_LIFETIME
        await self.users.grant(token, family=family, subject=user.id, expires_at=until)
        return self._tokens(user, family, token, until)

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which is valid once: a second use ends every token of its sign-in.

        Raises `Unauthenticated`, `Unavailable`.
        """
        claims = self.signer.read(refresh_token, TokenType.REFRESH)
        now = self.clock()
        successor, until = secrets.token_hex(16), now + REFRESH_LIFETIME
        if not await self.users.exchange(claims.id, successor=successor, expires_at=until, at=now):
            self.accounts.forget(family=claims.family)
            raise Unauthenticated("The refresh token was used before or is void: sign in again")
        account = claims.account or claims.subject  # release 0.5 put the name alone into its tokens
        roles = await self.accounts.roles(account, claims.family)
        if roles is None:
            raise Unauthenticated("The user was removed, or this sign-in has ended: sign in again")
        user = User(account, claims.subject, tuple(Role(role) for role in roles), now)
        return self._tokens(user, claims.family, successor, until)

    async def sign_out(self, principal: Principal) -> None:
        """End the sign-in of a caller's token, with all its tokens: at once in this process, within `LIFETIME` seconds
        in others. Raises `WrongState` for a caller who has not signed in here, `Unavailable`.
        """
        if principal.sign_in is None:
            raise WrongState("This credential is not of a sign-in: API keys are revoked, tokens of others expire")
        await self.users.end(principal.sign_in, at=self.clock())
        self.accounts.forget(family=principal.sign_in)

    async def add(self, principal: Principal, username: str, password: str, roles: Sequence[Role]) -> User:
        """A new user with a new account: a removed user of the same name had another one.

        Raises `WrongState` if the name is taken, `Forbidden` for a role that the caller may not give, `Unavailable`.
        """
        if Role.ADMIN in roles:
            principal.require_can_grant({Scope.ADMIN}, None)
        hashed = await asyncio.to_thread(self.hasher.hash, password)
        account = f"{username}:{secrets.token_hex(8)}"
        record = UserRecord(account, username, hashed, [str(role) for role in roles], self.clock())
        if self._is_bootstrap(username) or not await self.users.add(record):
            raise WrongState(f"The user name {username!r} is taken: choose another name", username=username)
        return _user(record)

    async def list(self, *, limit: int, offset: int) -> tuple[list[User], int]:
        """One page of users by name, and the total. Raises `Unavailable`."""
        records, total = await self.users.list(limit=limit, offset=offset)
        return [_user(record) for record in records], total

    async def remove(self, username: str) -> None:
        """Remove a user. The user's tokens end at once in this process, and within `LIFETIME` seconds in others.

        Raises `NotFound`, `InvalidInput`, `Unavailable`.
        """
        if self._is_bootstrap(username):
            raise InvalidInput(
                "This user is defined in the settings and cannot be removed", field="username", expected="another user"
            )
        account = await self.users.remove(username, at=self.clock())
        if account is None:
            raise NotFound(f"Unknown user: {username}", username=username)
        self.accounts.forget(account=account)

    async def _authenticated(self, username: str, password: str) -> User:
        bootstrap = self.bootstrap if self._is_bootstrap(username) else None
        if bootstrap is not None and hmac.compare_digest(
            password.encode(), bootstrap.password.get_secret_value().encode()
        ):
            return User(username, username, (Role.ADMIN,), self.clock())
        record = await self.users.get(username) if bootstrap is None else None
        if record is None:
            # Hash anyway: the time of the answer must not say which names exist.
            await asyncio.to_thread(self.hasher.hash, password)
            raise Unauthenticated(_WRONG)
        if not await asyncio.to_thread(self.hasher.verify, password, record.password_hash):
            raise Unauthenticated(_WRONG)
        return _user(record)

    def _is_bootstrap(self, username: str) -> bool:
        return self.bootstrap is not None and username == self.bootstrap.username

    def _tokens(self, user: User, family: str, token: str, until: datetime) -> Tokens:
        access = Claims(
            user.username,
            TokenType.ACCESS,
            self.clock() + ACCESS_LIFETIME,
            roles=tuple(map(str, user.roles)),
            family=family,
            account=user.id,
        )
        refresh = Claims(user.username, TokenType.REFRESH, until, id=token, family=family, account=user.id)
        lifetime = int(ACCESS_LIFETIME.total_seconds())
        return Tokens(self.signer.sign(access), self.signer.sign(refresh), lifetime)


def _user(record: UserRecord) -> User:
    return User(record.id, record.username, tuple(Role(role) for role in record.roles), record.created_at)
