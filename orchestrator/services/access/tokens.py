"""Signs and reads the tokens of users: HS256, valid for 15 minutes, refreshed for 7 days (M-032, S-004, C-20)."""

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
MAX_LIFE: Final = timedelta(days=1)
_ALGORITHM: Final = "HS256"
_MAX_SUBJECT_LENGTH: Final = 200
# Claims in which other issuers name the use of a token. A token for another use is refused.
_PURPOSES: Final = ("type", "typ", "token_type", "token_use", "use", "purpose")
_ACCESS_USES: Final = frozenset({"access", "access_token", "bearer"})
_HEADER_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class TokenType(StrEnum):
    """The use of a token. A token without the claim is an access token: other issuers sign with the shared secret."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. `roles` is None for a token without roles.

    Tokens of this product have an `account`, and a `family`: the id of their sign-in. A refresh token has an `id`.
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
    """What a token must contain beside its subject and its expiry.

    Without an issuer or an audience here, tokens that name one are refused. A token of another issuer may live for
    at most `longest_life`.
    """

    issuer: str | None = None
    audience: str | None = None
    longest_life: timedelta = MAX_LIFE


class TokenSigner:
    """Signs and reads tokens. Checks signature, expiry and claims, and nothing in the index.

    It also reads tokens that a fallback secret signed: there is one while the secret is exchanged.
    """

    def __init__(
        self, secret: str, *fallbacks: str, clock: Callable[[], datetime], rules: TokenRules | None = None
    ) -> None:
        self._secret = secret
        self._fallbacks = fallbacks
        self._clock = clock
        self._rules = rules or TokenRules()

    def sign(self, claims: Claims) -> str:
        """The signed token with these claims."""
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
        claims_set = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(claims_set, self._secret, algorithm=_ALGORITHM)

    def digest(self, text: str) -> str:
        """The keyed digest of a text. Only a process with the secret can compute it."""
        return _digest(self._secret, text)

    def is_digest(self, text: str, digest: str) -> bool:
        """Whether `digest` is the digest of `text` with the secret or a fallback."""
        digests = [_digest(secret, text) for secret in (self._secret, *self._fallbacks)]
        return any(hmac.compare_digest(expected.encode(), digest.encode()) for expected in digests)

    def read(self, token: str, expected: TokenType = TokenType.ACCESS) -> Claims:
        """The claims of a token.

        Raises `Unauthenticated` for a token that is forged, expired, of another issuer, or for another use (M-033).
        """
        body = self._verified(token)
        roles = body.get("roles")
        if (roles is not None and not _are_texts(roles)) or body.get("iss") != self._rules.issuer:
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
            decoded = jwt.decode_complete(
                token,
                self._secret_of(token),
                algorithms=[_ALGORITHM],
                audience=self._rules.audience,
                options={"require": ["exp", "sub"], "verify_iss": False, "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired") from None
        except (jwt.InvalidTokenError, OverflowError, TypeError):  # the last two: a time that is not a number
            _refuse()
        header_type = decoded["header"].get("typ", "JWT")
        if not isinstance(header_type, str) or header_type.lower() not in _HEADER_TYPES:
            _refuse()
        body: dict[str, Any] = decoded["payload"]
        return body

    def _secret_of(self, token: str) -> str:
        """The secret to verify a token with: the fallback that signed it, else the secret itself."""
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
            raise Unauthenticated("The token is not valid: its exp is not a time in seconds") from None

    def _check_foreign(self, claims: Claims, body: dict[str, Any]) -> None:
        """Refuse a token of another issuer that lives too long, or whose subject looks like an account."""
        now = self._clock()
        try:
            issued_at = min(now, self._time(body.get("iat", now.timestamp())))
        except (OverflowError, ValueError, OSError, TypeError):
            _refuse()
        if claims.expires_at - issued_at > self._rules.longest_life:
            seconds = int(self._rules.longest_life.total_seconds())
            raise Unauthenticated(f"The token lives too long: at most {seconds} seconds are allowed")
        if is_account(claims.subject):
            _refuse()

    def _time(self, seconds: Any) -> datetime:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(type(seconds).__name__)
        return datetime.fromtimestamp(seconds, self._clock().tzinfo)


def _digest(secret: str, text: str) -> str:
    # The zero byte separates digests from signatures: no token contains one.
    return hmac.new(secret.encode(), b"digest\0" + text.encode(), hashlib.sha256).hexdigest()


def _is_for(body: dict[str, Any], expected: TokenType) -> bool:
    uses = {name: body[name] for name in _PURPOSES if name in body}
    if expected is TokenType.REFRESH:
        return uses == {"type": TokenType.REFRESH}
    return all(isinstance(word, str) and word.lower() in _ACCESS_USES for word in uses.values())


def _subject(subject: Any) -> str:
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT_LENGTH or not subject.isprintable():
        _refuse()
    return subject


def _are_texts(roles: Any) -> bool:
    return isinstance(roles, list) and all(isinstance(role, str) for role in roles)


def _refuse() -> NoReturn:
    raise Unauthenticated("The token is not valid") from None
