"""Tokens of users: what they say, and which are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from orchestrator.domain.access import ORDINARY, Role, Scope
from orchestrator.domain.errors import Unauthenticated
from orchestrator.services.access.tokens import Claims, TokenRules, TokenSigner, TokenType
from orchestrator.services.access.users import principal_of
from tests.ledger import ledger

SECRET = "a-shared-secret-long-enough-for-each-algorithm-tried"


def now() -> datetime:
    return datetime.now(UTC)


SIGNER = TokenSigner(SECRET, clock=now)


def minted(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "ada", "exp": now() + timedelta(minutes=5), **claims}, secret, algorithm)


def test_a_token_says_what_was_signed():
    until = now().replace(microsecond=0) + timedelta(days=7)
    claims = Claims("ada", TokenType.REFRESH, until, None, "id", "family", "ada:0123456789abcdef")
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
    principal = principal_of(claims, claims.roles)
    assert (principal.id, principal.scopes, principal.sign_in) == ("user:ada", ORDINARY, None)


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
        pytest.param(minted(roles=[7]), id="roles-are-no-words"),
        pytest.param(minted(sub="ada\nadmin"), id="subject-with-a-line-break"),
        pytest.param(minted(sub="a" * 201), id="subject-without-end"),
        pytest.param(minted(sub="ada:0123456789abcdef"), id="subject-is-an-account"),
        pytest.param(minted(purpose="email-verify"), id="another-purpose"),
        pytest.param(minted(token_use="id"), id="an-id-token"),
        pytest.param(minted(use=7), id="no-purpose"),
        pytest.param(minted(type=None), id="type-is-nothing"),
        pytest.param(minted(iss="evil"), id="another-issuer"),
        pytest.param(minted(aud="another-service"), id="another-audience"),
        pytest.param(minted(exp=now() + timedelta(days=95 * 365)), id="ninety-five-years"),
        pytest.param(minted(iat=now() - timedelta(days=2)), id="lives-two-days"),
        pytest.param(minted(iat="1"), id="issued-at-no-time"),
        pytest.param(minted(iat=float("-inf")), id="issued-at-infinity"),
        pytest.param(minted(nbf=float("inf")), id="valid-from-infinity"),
        pytest.param(minted(exp=[1]), id="expiry-is-a-list"),
        pytest.param(minted(exp=True), id="expiry-is-a-truth"),
        pytest.param(minted(exp=float("inf")), id="expiry-is-infinity"),
        pytest.param(minted(exp=float("nan")), id="expiry-is-nan"),
        pytest.param(minted(exp=str(int(now().timestamp()) + 300)), id="expiry-is-text"),
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


def test_a_header_that_says_another_kind_of_token_is_refused():
    body = {"sub": "ada", "exp": now() + timedelta(minutes=5)}
    for kind in ("dpop+jwt", "secevent+jwt", "logout+jwt"):
        with pytest.raises(Unauthenticated):
            SIGNER.read(jwt.encode(body, SECRET, "HS256", headers={"typ": kind}))
    assert SIGNER.read(jwt.encode(body, SECRET, "HS256", headers={"typ": "at+jwt"})).subject == "ada"


def test_issuer_audience_and_life_are_asked_for():
    rules = TokenRules(issuer="https://id.example", audience="orchestrator", longest_life=timedelta(minutes=10))
    signer = TokenSigner(SECRET, clock=now, rules=rules)
    right = {"iss": "https://id.example", "aud": "orchestrator"}
    assert signer.read(minted(**right)).subject == "ada"
    assert signer.read(minted(**{**right, "aud": ["another", "orchestrator"]})).subject == "ada"
    wrong = [{"iss": "evil"}, {"aud": "another"}, {"exp": now() + timedelta(minutes=11)}]
    for claims in (*({**right, **each} for each in wrong), {}, {"iss": right["iss"]}, {"aud": right["aud"]}):
        with pytest.raises(Unauthenticated):
            signer.read(minted(**claims))
    for kind in TokenType:
        own = Claims("ada", kind, now().replace(microsecond=0) + timedelta(days=7), account="ada:0123456789abcdef")
        assert signer.read(signer.sign(own), kind) == own, "our own tokens carry both, and may live longer"


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
    claims = SIGNER.read(minted(roles=[*map(str, roles)]))
    principal = principal_of(claims, claims.roles)
    assert principal.scopes == scopes
    assert principal.roles == {role for role in roles if role in set(Role)}
