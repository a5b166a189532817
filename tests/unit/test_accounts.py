"""Who has signed in: for how long that is known, and what an index that is down changes."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from orchestrator.domain.access import Role
from orchestrator.domain.errors import Unauthenticated, Unavailable
from orchestrator.services.access.authentication import RECHECK_SECONDS
from orchestrator.services.access.credential_cache import LIFETIME
from orchestrator.services.access.tokens import Claims, TokenSigner, TokenType
from orchestrator.services.access.users import Accounts, BootstrapUser, SignedTokens
from orchestrator.storage.users import UserRecord

NOON = datetime.now(UTC) + timedelta(hours=1)  # Tokens must not expire before a long test run gets here.
ACCOUNT = "ada:0123456789abcdef"


class Index:
    """One user with one sign-in."""

    def __init__(self) -> None:
        self.record: UserRecord | None = UserRecord(ACCOUNT, "ada", "hash", [Role.ORCHESTRATION_MANAGER], NOON)
        self.live = True
        self.down = False
        self.reads = 0

    async def account(self, account: str, family: str) -> UserRecord | None:
        self._read()
        return self.record if self.live and account == ACCOUNT and family == "family" else None

    async def is_live(self, family: str) -> bool:
        self._read()
        return self.live and family.startswith("settings.")

    def _read(self) -> None:
        self.reads += 1
        if self.down:
            raise Unavailable("down")


class Desk:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.index = Index()
        self.signer = TokenSigner("a-shared-secret-long-enough-to-sign", clock=self.now)
        self.restart()

    def restart(self, username: str = "root", password: str = "a long password") -> None:
        """Begin again with these settings."""
        bootstrap = BootstrapUser(username, SecretStr(password))
        self.accounts = Accounts(self.index, self.signer, bootstrap=bootstrap, timer=lambda: self.seconds)
        self.tokens = SignedTokens(self.signer, self.accounts, clock=self.now)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def token(self, account: str = ACCOUNT, family: str = "family") -> str:
        until = NOON + timedelta(minutes=15)
        return self.signer.sign(Claims("ada", TokenType.ACCESS, until, ("admin",), family=family, account=account))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_the_roles_are_those_of_the_account_and_not_of_the_token(desk: Desk):
    principal = await desk.tokens.principal(desk.token())
    assert principal is not None
    assert (principal.id, principal.roles) == (f"user:{ACCOUNT}", {Role.ORCHESTRATION_MANAGER})
    assert not principal.admin


async def test_what_ends_elsewhere_is_refused_soon(desk: Desk):
    principal = await desk.tokens.principal(desk.token())
    assert principal is not None
    desk.index.record = None
    desk.seconds = LIFETIME - 0.1
    assert await desk.tokens.still_valid(principal)
    assert desk.index.reads == 1
    desk.seconds = LIFETIME
    assert not await desk.tokens.still_valid(principal)
    with pytest.raises(Unauthenticated):
        await desk.tokens.principal(desk.token())
    assert LIFETIME + RECHECK_SECONDS < 5, "streams, which look so often, end within five seconds"


async def test_what_ends_here_is_refused_at_once(desk: Desk):
    principal = await desk.tokens.principal(desk.token())
    assert principal is not None
    desk.index.live = False
    desk.accounts.forget(family="another")
    assert await desk.tokens.still_valid(principal)
    desk.accounts.forget(family="family")
    assert not await desk.tokens.still_valid(principal)


async def test_while_the_index_is_down_nobody_is_let_in_and_nobody_is_cut_off(desk: Desk):
    principal = await desk.tokens.principal(desk.token())
    assert principal is not None
    desk.index.down, desk.seconds = True, LIFETIME
    assert await desk.tokens.still_valid(principal)
    with pytest.raises(Unavailable):
        await desk.tokens.principal(desk.token())
    desk.seconds = 15 * 60
    assert not await desk.tokens.still_valid(principal), "the end of the token itself needs no index"


async def test_the_user_of_the_settings_is_nobody_else(desk: Desk):
    own = desk.accounts.new_family("root")
    principal = await desk.tokens.principal(desk.token("root", own))
    assert principal is not None
    assert (principal.id, principal.admin) == ("user:root", True)
    for account, family in (
        ("root", "family"),
        ("ada", own),
        (ACCOUNT, own),
        ("root", desk.accounts.new_family("ada")),
    ):
        with pytest.raises(Unauthenticated):
            await desk.tokens.principal(desk.token(account, family))


@pytest.mark.parametrize(
    ("username", "password"),
    [("root", "another password"), ("root2", "a long password"), ("root2", "another password")],
)
async def test_a_sign_in_of_the_settings_user_ends_with_the_password_that_it_was_made_with(
    desk: Desk, username: str, password: str
):
    family = desk.accounts.new_family("root")
    token = desk.token("root", family)
    desk.restart()
    assert await desk.tokens.principal(token)
    desk.restart(username, password)
    for account in ("root", username):
        assert await desk.accounts.roles(account, family) is None
    with pytest.raises(Unauthenticated):
        await desk.tokens.principal(token)


@pytest.mark.parametrize(
    "family", ["settings.", "settings.0123456789abcdef", "settings..0123456789abcdef", "settings.\u00e9.0"]
)
async def test_a_sign_in_that_is_bound_to_no_password_has_ended(desk: Desk, family: str):
    assert await desk.accounts.roles("root", family) is None


async def test_a_sign_in_of_the_settings_user_outlives_an_exchange_of_the_secret(desk: Desk):
    family = desk.accounts.new_family("root")
    desk.signer = TokenSigner("the-next-secret-is-long-enough-too", desk.signer._secret, clock=desk.now)
    desk.restart()
    assert await desk.accounts.roles("root", family) == ("admin",)
    desk.signer = TokenSigner("the-next-secret-is-long-enough-too", clock=desk.now)
    desk.restart()
    assert await desk.accounts.roles("root", family) is None
    assert "a long password" not in family
