"""Signed tokens of users: HS256, fifteen minutes, refreshed for seven days (M-032, S-004, C-20)."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn

import jwt

from orchestrator.domain.access import is_account
from orchestrator.domain.errors import Unauthenticated

ACCESS_LIFETIME: Final = timedelta(minutes=15)
REFRESH_LIFETIME: Final = timedelta(days=7)
LONGEST_LIFE: Final = timedelta(days=1)
_ALGORITHM: Final = "HS256"
_LONGEST_SUBJECT: Final = 200
# Where other issuers say what a token is for; one that is for something else opens nothing here.
_PURPOSES: Final = ("type", "typ", "token_type", "token_use", "use", "purpose")
_OPENS: Final = frozenset({"access", "access_token", "bearer"})
_HEADER_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class TokenType(StrEnum):
    """What a token is for. One without the claim is an access token: others mint them with the shared secret."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `roles` is None where it says nothing of roles.

    Our own tokens have an `account`, and a `family`: the sign-in that they descend from. A refresh token has an `id`.
    """

    subject: str
    type: TokenType
    expires_at: datetime
    roles: tuple[str, ...] | None = None
    id: str = ""
    family: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say beside its subject and its end.

    Without an issuer or an audience, tokens that name one are refused. A token of others may live for `longest_life`.
    """

    issuer: str | None = None
    audience: str | None = None
    longest_life: timedelta = LONGEST_LIFE


class TokenSigner:
    """Signs and reads tokens. Judges them by signature, expiry and claims alone.

    Those that a `fallback` signed are read as well, while the secret is exchanged.
    """

    def __init__(
        self, secret: str, *fallbacks: str, clock: Callable[[], datetime], rules: TokenRules | None = None
    ) -> None:
        self._secret = secret
        self._fallbacks = fallbacks
        self._clock = clock
        self._rules = rules or TokenRules()

    def sign(self, claims: Claims) -> str:
        """The token that says this."""
        body: dict[str, Any] = {
            "sub": claims.subject,
            "type": claims.type,
            "iat": self._clock(),
            "exp": claims.expires_at,
            "iss": self._rules.issuer,
            "aud": self._rules.audience,
            "jti": claims.id or None,
            "family": claims.family or None,
            "account": claims.account or None,
            "roles": None if claims.roles is None else list(claims.roles),
        }
        given = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(given, self._secret, algorithm=_ALGORITHM)

    def digest(self, text: str) -> str:
        """A digest of a text that only who knows the secret can make."""
        return _digest(self._secret, text)

    def is_digest(self, text: str, digest: str) -> bool:
        """Whether the digest is one of this text, by the secret or a fallback."""
        known = [_digest(secret, text) for secret in (self._secret, *self._fallbacks)]
        return any(hmac.compare_digest(one.encode(), digest.encode()) for one in known)

    def read(self, token: str, expected: TokenType = TokenType.ACCESS) -> Claims:
        """What a token says.

        Raises `Unauthenticated` for one that is forged, expired, of another issuer, or for another use (M-033).
        """
        body = self._verified(token)
        roles = body.get("roles")
        if (roles is not None and not _words(roles)) or body.get("iss") != self._rules.issuer:
            _refuse()
        if not _is_for(body, expected):
            _refuse()
        claims = Claims(
            subject=_subject(body["sub"]),
            type=expected,
            expires_at=self._end(body),
            roles=None if roles is None else tuple(roles),
            id=str(body.get("jti", "")),
            family=str(body.get("family", "")),
            account=str(body.get("account", "")),
        )
        if not claims.account and expected is TokenType.ACCESS:
            self._check_foreign(claims, body)
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            whole = jwt.decode_complete(
                token,
                self._secret_of(token),
                algorithms=[_ALGORITHM],
                audience=self._rules.audience,
                options={"require": ["exp", "sub"], "verify_iss": False, "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired") from None
        except (jwt.InvalidTokenError, OverflowError, TypeError):  # the latter two for a time that is no number
            _refuse()
        header_type = whole["header"].get("typ", "JWT")
        if not isinstance(header_type, str) or header_type.lower() not in _HEADER_TYPES:
            _refuse()
        body: dict[str, Any] = whole["payload"]
        return body

    def _secret_of(self, token: str) -> str:
        """The secret that signed a token: a fallback if that did, else the first one."""
        for secret in self._fallbacks:
            try:
                jwt.PyJWS().decode(token, secret, algorithms=[_ALGORITHM])
            except jwt.InvalidTokenError:
                continue
            return secret
        return self._secret

    def _end(self, body: dict[str, Any]) -> datetime:
        try:
            return self._time(body["exp"])
        except (OverflowError, ValueError, OSError, TypeError):
            raise Unauthenticated("The token is not valid: its exp is no time in seconds") from None

    def _check_foreign(self, claims: Claims, body: dict[str, Any]) -> None:
        """Refuse a token of others that lives too long or is taken for one of an account."""
        now = self._clock()
        try:
            issued_at = min(now, self._time(body.get("iat", now.timestamp())))
        except (OverflowError, ValueError, OSError, TypeError):
            _refuse()
        if claims.expires_at - issued_at > self._rules.longest_life:
            seconds = int(self._rules.longest_life.total_seconds())
            raise Unauthenticated(f"The token lives too long: {seconds} seconds are the most")
        if is_account(claims.subject):
            _refuse()

    def _time(self, seconds: Any) -> datetime:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(type(seconds).__name__)
        return datetime.fromtimestamp(seconds, self._clock().tzinfo)


def _digest(secret: str, text: str) -> str:
    # The zero byte keeps it apart from signatures: no token has one.
    return hmac.new(secret.encode(), b"digest\0" + text.encode(), hashlib.sha256).hexdigest()


def _is_for(body: dict[str, Any], expected: TokenType) -> bool:
    said = {name: body[name] for name in _PURPOSES if name in body}
    if expected is TokenType.REFRESH:
        return said == {"type": TokenType.REFRESH}
    return all(isinstance(word, str) and word.lower() in _OPENS for word in said.values())


def _subject(subject: Any) -> str:
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        _refuse()
    return subject


def _words(roles: Any) -> bool:
    return isinstance(roles, list) and all(isinstance(role, str) for role in roles)


def _refuse() -> NoReturn:
    raise Unauthenticated("The token is not valid") from None
