"""Signed tokens of users: HS256, fifteen minutes, refreshed for seven days (M-032, S-004, C-20)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import jwt

from orchestrator.domain.errors import Unauthenticated

ACCESS_LIFETIME: Final = timedelta(minutes=15)
REFRESH_LIFETIME: Final = timedelta(days=7)
_ALGORITHM: Final = "HS256"


class TokenType(StrEnum):
    """What a token is for. One without the claim is an access token: others mint them with the shared secret."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `roles` is None where it says nothing of roles; `id` and `family` are a refresh token's."""

    subject: str
    type: TokenType
    expires_at: datetime
    roles: tuple[str, ...] | None = None
    id: str = ""
    family: str = ""


class TokenSigner:
    """Signs and reads tokens. Judges them by signature, expiry and claims alone.

    Those that a `fallback` signed are read as well, while the secret is exchanged.
    """

    def __init__(self, secret: str, *fallbacks: str, clock: Callable[[], datetime]) -> None:
        self._secret = secret
        self._fallbacks = fallbacks
        self._clock = clock

    def sign(self, claims: Claims) -> str:
        """The token that says this."""
        body: dict[str, Any] = {
            "sub": claims.subject,
            "type": claims.type,
            "iat": self._clock(),
            "exp": claims.expires_at,
        }
        if claims.roles is not None:
            body["roles"] = list(claims.roles)
        if claims.id:
            body |= {"jti": claims.id, "family": claims.family}
        return jwt.encode(body, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str, expected: TokenType = TokenType.ACCESS) -> Claims:
        """What a token says. Raises `Unauthenticated` for one that is forged, expired, or for another use (M-033)."""
        try:
            body = jwt.decode(
                token, self._secret_of(token), algorithms=[_ALGORITHM], options={"require": ["exp", "sub"]}
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired") from None
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is not valid") from None
        roles = body.get("roles")
        if not body["sub"] or body.get("type", TokenType.ACCESS) != expected or not _words(roles):
            raise Unauthenticated("The token is not valid")
        try:
            expires_at = datetime.fromtimestamp(body["exp"], self._clock().tzinfo)
        except (OverflowError, ValueError, OSError):
            raise Unauthenticated("The token is not valid: its exp is no time in seconds") from None
        return Claims(
            subject=body["sub"],
            type=expected,
            expires_at=expires_at,
            roles=None if roles is None else tuple(roles),
            id=str(body.get("jti", "")),
            family=str(body.get("family", "")),
        )

    def _secret_of(self, token: str) -> str:
        """The secret that signed a token: a fallback if that did, else the first one."""
        for secret in self._fallbacks:
            try:
                jwt.PyJWS().decode(token, secret, algorithms=[_ALGORITHM])
            except jwt.InvalidTokenError:
                continue
            return secret
        return self._secret


def _words(roles: Any) -> bool:
    return roles is None or (isinstance(roles, list) and all(isinstance(role, str) for role in roles))
