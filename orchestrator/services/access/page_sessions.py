"""Sessions of the operators' page: opened by a user, an API key or a one-time link."""

import json
import secrets
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import SecretStr

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Unauthenticated
from orchestrator.security.sealing import Sealer, Unsealable
from orchestrator.services.access.authentication import Authenticator
from orchestrator.services.access.tokens import Claims, TokenSigner, TokenType
from orchestrator.services.access.users import Accounts, Tokens, principal_of
from orchestrator.storage.users import UserRepository

SESSION_LIFETIME: Final = timedelta(hours=12)
LINK_LIFETIME: Final = timedelta(hours=1)
_PLACE: Final = "page session"
_TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class PageSession:
    """A session. `family` is its sign-in, and `csrf` the token that each of its forms must send."""

    principal: Principal
    name: str
    family: str
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PageSessions:
    """Opens, reads and ends sessions. The cookie of a session is encrypted; its sign-in is a row that ends it.

    Every method raises `Unavailable` if the index does not answer.
    """

    users: UserRepository
    accounts: Accounts
    access: Authenticator
    signer: TokenSigner
    sealer: Sealer
    _: KW_ONLY
    admin_key: SecretStr | None
    clock: Callable[[], datetime]

    def csrf(self, secret: str) -> str:
        """The token that a form must send, for a secret that only the browser of the form has."""
        return self.sealer.digest(f"csrf {secret}")

    def is_csrf(self, token: str, secret: str) -> bool:
        """Whether a form came from a page with this secret. Takes the same time in both cases."""
        return self.sealer.matches(f"csrf {secret}", token)

    async def of_user(self, tokens: Tokens) -> str:
        """The cookie of a user who has just signed in."""
        claims = self.signer.read(tokens.access_token)
        return self._sealed(claims.family, {"account": claims.account, "name": claims.subject})

    async def of_key(self, key: str) -> str:
        """The cookie of an API key that was just authenticated."""
        family = secrets.token_hex(16)
        await self._grant(secrets.token_urlsafe(_TOKEN_BYTES), family, SESSION_LIFETIME)
        return self._sealed(family, {"key": key})

    async def link(self) -> str:
        """The secret of a link that opens one session of the administrator."""
        secret = secrets.token_urlsafe(_TOKEN_BYTES)
        await self._grant(self._link_id(secret), self._link_family(secret), LINK_LIFETIME)
        return secret

    async def of_link(self, secret: str) -> str:
        """The cookie for a link. A second use ends the session of the first: somebody may have a copy.

        Raises `Unauthenticated`.
        """
        now, successor = self.clock(), secrets.token_urlsafe(_TOKEN_BYTES)
        until = now + SESSION_LIFETIME
        is_first = await self.users.exchange(self._link_id(secret), successor=successor, expires_at=until, at=now)
        if not is_first or self.admin_key is None:
            raise Unauthenticated("This link was used before, or has expired: sign in with a user or an API key")
        return self._sealed(self._link_family(secret), {"key": self.admin_key.get_secret_value()})

    async def read(self, cookie: str) -> PageSession:
        """The session of a cookie. Raises `Unauthenticated` once it, its user or its key has ended."""
        try:
            body: dict[str, Any] = json.loads(self.sealer.unseal(cookie, _PLACE))
        except Unsealable as error:
            raise Unauthenticated("The session is not valid: sign in again") from error
        family, expires_at = body["family"], datetime.fromisoformat(body["expires_at"])
        if self.clock() >= expires_at:
            raise Unauthenticated("The session has expired: sign in again")
        principal, name = await self._principal(body, family, expires_at)
        return PageSession(principal, name, family, self.csrf(family), expires_at)

    async def end(self, session: PageSession) -> None:
        """End a session: its cookie is void from now on."""
        await self.users.end(session.family, at=self.clock())
        self.accounts.forget(family=session.family)

    async def _principal(self, body: dict[str, Any], family: str, expires_at: datetime) -> tuple[Principal, str]:
        if "key" in body:
            if not await self.users.is_live(family):
                raise Unauthenticated("The session has ended: sign in again")
            principal = await self.access.authenticate(body["key"])
            return principal, principal.key_name or principal.id
        roles = await self.accounts.roles(body["account"], family)
        if roles is None:
            raise Unauthenticated("The session has ended: sign in again")
        claims = Claims(body["name"], TokenType.ACCESS, expires_at, family=family, account=body["account"])
        return principal_of(claims, roles), body["name"]

    async def _grant(self, token: str, family: str, lifetime: timedelta) -> None:
        await self.users.grant(token, family=family, subject=_PLACE, expires_at=self.clock() + lifetime)

    def _link_id(self, secret: str) -> str:
        return self.sealer.digest(f"page link {secret}")

    def _link_family(self, secret: str) -> str:
        return self.sealer.digest(f"page link family {secret}")

    def _sealed(self, family: str, body: dict[str, str]) -> str:
        expires_at = (self.clock() + SESSION_LIFETIME).isoformat()
        return self.sealer.seal(json.dumps({**body, "family": family, "expires_at": expires_at}), _PLACE)
