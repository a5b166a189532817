"""Tokens of users: what they say, and which are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from orchestrator.domain.access import ORDINARY, Role, Scope
from orchestrator.domain.errors import Unauthenticated
from orchestrator.services.tokens import Claims, TokenSigner, TokenType
from orchestrator.services.users import principal_of
from tests.ledger import ledger

SECRET = "a-shared-secret-long-enough-for-each-algorithm-tried"


def now() -> datetime:
    return datetime.now(UTC)


SIGNER = TokenSigner(SECRET, clock=now)


def minted(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "ada", "exp": now() + timedelta(minutes=5), **claims}, secret, algorithm)


def test_a_token_says_what_was_signed():
    claims = Claims("ada", TokenType.REFRESH, now().replace(microsecond=0) + timedelta(days=7), None, "id", "family")
    assert SIGNER.read(SIGNER.sign(claims), TokenType.REFRESH) == claims


def test_while_the_secret_is_exchanged_tokens_of_either_are_read_and_new_ones_are_of_the_first():
    exchanged = TokenSigner("the next secret, as long as the first one was", SECRET, clock=now)
    claims = Claims("ada", TokenType.ACCESS, now().replace(microsecond=0) + timedelta(minutes=5))
    assert exchanged.read(SIGNER.sign(claims)) == exchanged.read(exchanged.sign(claims)) == claims
    for token in (exchanged.sign(claims), minted("a secret of nobody's, as long as the others are")):
        with pytest.raises(Unauthenticated):
            SIGNER.read(token)
    with pytest.raises(Unauthenticated):
        exchanged.read(minted("a secret of nobody's, as long as the others are"))
    with pytest.raises(Unauthenticated, match="expired"):
        exchanged.read(minted(exp=now() - timedelta(seconds=5)))


@ledger("M-032", "M-033", "C-20")
def test_a_token_minted_with_the_shared_secret_is_an_access_token():
    claims = SIGNER.read(minted())
    assert (claims.subject, claims.roles) == ("ada", None)
    assert principal_of(claims).id == "user:ada"
    assert principal_of(claims).scopes == ORDINARY


@ledger("M-033")
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(minted(secret="another-secret-of-32-characters!!"), id="forged"),
        pytest.param(minted(exp=now() - timedelta(seconds=5)), id="expired"),
        pytest.param(minted(sub=""), id="nobody"),
        pytest.param(minted(sub=7), id="subject-is-no-text"),
        pytest.param(minted(type="refresh"), id="refresh"),
        pytest.param(minted(roles="admin"), id="roles-are-no-list"),
        pytest.param(minted(exp="soon"), id="expiry-is-no-time"),
        pytest.param(minted(exp=1_795_250_000_000), id="expiry-in-milliseconds"),
        pytest.param(minted(exp=10**30), id="expiry-beyond-all-calendars"),
        pytest.param(jwt.encode({"sub": "ada"}, SECRET, "HS256"), id="no-expiry"),
        pytest.param(minted(algorithm="HS384"), id="other-algorithm"),
        pytest.param(jwt.encode({"sub": "ada", "exp": now() + timedelta(minutes=1)}, "", "none"), id="unsigned"),
        pytest.param("a.b.c", id="no-token"),
        pytest.param("", id="empty"),
    ],
)
def test_other_tokens_are_refused(token: str):
    with pytest.raises(Unauthenticated):
        SIGNER.read(token)


@ledger("S-005", "C-22")
@pytest.mark.parametrize(
    ("roles", "scopes"),
    [
        ((Role.ADMIN,), {Scope.ADMIN}),
        ((Role.SYSTEM_ADMIN,), {Scope.ADMIN}),
        ((Role.ORCHESTRATION_MANAGER,), ORDINARY),
        (("made_up",), set()),
    ],
)
def test_roles_stand_for_scopes(roles: tuple[str, ...], scopes: set[Scope]):
    claims = Claims("ada", TokenType.ACCESS, now() + timedelta(minutes=1), roles=tuple(map(str, roles)))
    principal = principal_of(SIGNER.read(SIGNER.sign(claims)))
    assert principal.scopes == scopes
    assert principal.roles == {role for role in roles if role in set(Role)}
