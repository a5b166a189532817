"""Who a token is: what is let in, for how long it is known, and what an index that is down changes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from api.credentials import authenticate
from orchestrator.domain.access import ApiKey, KeyState, Principal, Scope
from orchestrator.domain.errors import LimitExceeded, Unauthenticated, Unavailable
from orchestrator.domain.limits import SurfaceLimit, Tier, Window
from orchestrator.security.sealing import Sealer
from orchestrator.services.access import credential_cache
from orchestrator.services.access.authentication import (
    ADMIN,
    Authenticator,
    BootstrapKey,
    IssuedKeys,
    lookup_prefix,
)
from orchestrator.services.access.credential_cache import LIFETIME
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.storage.keys import StoredSecret
from tests.ledger import ledger

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SEALER = Sealer("a secret of the tests")
TOKEN = "dvr_sk_live_" + "ab" * 40
KEY = ApiKey(
    id="key_1",
    owner="newsroom",
    name="Newsroom",
    scopes=frozenset({Scope.JOBS_READ, Scope.JOBS_CANCEL}),
    tier=Tier.PRO,
    created_by="admin",
    created_at=NOON,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
    prefix=lookup_prefix(TOKEN),
)
PRINCIPAL = Principal("newsroom", KEY.scopes, Tier.PRO, "key_1", KEY.prefix, key_name=KEY.name)


class Index:
    """One key, and how often it was asked for."""

    def __init__(self) -> None:
        self.prefix = KEY.prefix
        self.secret: StoredSecret | None = StoredSecret(KEY, SEALER.digest(TOKEN), None)
        self.reads = self.lists = 0
        self.uses: list[datetime] = []
        self.down = False
        self.asked = asyncio.Event()
        self.reading: asyncio.Event | None = None

    def change(self, **values: object) -> None:
        assert self.secret is not None
        self.secret = replace(self.secret, key=replace(self.secret.key, **values))

    async def find(self, prefix: str) -> StoredSecret | None:
        self.reads += 1
        self.asked.set()
        found = self.secret if prefix == self.prefix else None
        if self.reading is not None:
            await self.reading.wait()
        if self.down:
            raise Unavailable("down")
        return found

    async def prefixes(self, most: int) -> frozenset[str]:
        self.lists += 1
        return frozenset({self.prefix})

    async def used(self, key_id: str, *, at: datetime, unless_since: datetime) -> None:
        if self.down:
            raise Unavailable("down")
        assert (key_id, unless_since) == (KEY.id, at - timedelta(minutes=1))
        self.uses.append(at)
        self.change(last_used_at=at)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def timer(self) -> float:
        return self.seconds


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issued(index: Index, clock: Clock) -> IssuedKeys:
    return IssuedKeys(index, SEALER, clock=clock.now, timer=clock.timer)


@pytest.fixture
def authenticator(issued: IssuedKeys) -> Authenticator:
    return Authenticator([BootstrapKey(SecretStr("dvr_sk_live_bootstrap")), issued])


async def refusal(authenticator: Authenticator, token: str | None) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.authenticate(token)
    return refused.value.message


@ledger("D-010", "C-17")
async def test_the_bootstrap_key_is_the_admin_without_limits(authenticator: Authenticator, index: Index) -> None:
    assert await authenticator.authenticate("dvr_sk_live_bootstrap") == ADMIN
    assert (ADMIN.tier, ADMIN.admin, ADMIN.key) == (None, True, None)
    assert await authenticator.still_valid(ADMIN)
    assert index.reads == 0


@ledger("D-010", "D-013")
async def test_an_issued_key_is_its_owner(authenticator: Authenticator) -> None:
    assert await authenticator.authenticate(TOKEN) == PRINCIPAL


@ledger("D-010")
@pytest.mark.parametrize(
    "token",
    [
        TOKEN[:-1],
        TOKEN + "a",
        TOKEN[:-1] + "c",
        TOKEN.upper(),
        "dvr_sk_live_" + "cd" * 40,
        "dvr_sk_live_bootstrap2",
        "ao_" + "a" * 64,
        "a.b.c",
        "opaque",
        "é",
        "\ud800",
    ],
)
async def test_whatever_is_no_key_gets_one_and_the_same_answer(authenticator: Authenticator, token: str) -> None:
    assert await refusal(authenticator, token) == "The API key is not valid"


async def test_only_what_looks_like_a_key_is_looked_up(authenticator: Authenticator, index: Index) -> None:
    for token in ("opaque", "dvr_sk_live_x", TOKEN[:-1]):
        await refusal(authenticator, token)
    assert index.reads == 0


async def test_no_bootstrap_key_lets_nobody_in(issued: IssuedKeys) -> None:
    for key in (None, SecretStr("")):
        unset = Authenticator([BootstrapKey(key), issued])
        assert await refusal(unset, "") == await refusal(unset, None)
        await refusal(unset, "None")


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"revoked_at": NOON}, "The API key was revoked"),
        ({"expires_at": NOON}, "The API key has expired"),
        ({"expires_at": NOON, "revoked_at": NOON}, "The API key was revoked"),
    ],
)
async def test_a_key_that_has_ended_says_so_only_to_its_holder(
    authenticator: Authenticator, index: Index, changes: dict[str, object], answer: str
) -> None:
    index.change(**changes)
    assert await refusal(authenticator, TOKEN) == answer
    assert await refusal(authenticator, TOKEN[:-1] + "c") == "The API key is not valid", (
        "the prefix alone reveals nothing"
    )
    assert index.uses == []


async def test_a_secret_that_was_replaced_ends_with_its_overlap(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    index.secret = StoredSecret(KEY, SEALER.digest(TOKEN), NOON + timedelta(seconds=2))
    assert await authenticator.authenticate(TOKEN) == PRINCIPAL
    clock.seconds = 2
    assert await refusal(authenticator, TOKEN) == "The API key was rotated: use the new one"


async def test_a_key_is_looked_up_once_in_its_lifetime(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    for clock.seconds in (0, 1, LIFETIME - 0.1):
        await authenticator.authenticate(TOKEN)
    assert index.reads == 1
    index.change(revoked_at=NOON)
    clock.seconds = LIFETIME
    assert await refusal(authenticator, TOKEN) == "The API key was revoked"
    assert index.reads == 2


async def test_a_known_key_does_not_outlive_its_end(authenticator: Authenticator, index: Index, clock: Clock) -> None:
    index.change(expires_at=NOON + timedelta(seconds=3))
    assert await authenticator.authenticate(TOKEN)
    clock.seconds = 3
    assert await refusal(authenticator, TOKEN) == "The API key has expired"


async def test_a_change_made_here_holds_at_once(authenticator: Authenticator, issued: IssuedKeys, index: Index) -> None:
    principal = await authenticator.authenticate(TOKEN)
    assert await authenticator.still_valid(principal)
    index.change(revoked_at=NOON)
    assert await authenticator.authenticate(TOKEN), "this process does not know yet"
    issued.forget("key_1")
    await refusal(authenticator, TOKEN)
    assert not await authenticator.still_valid(principal)


async def test_what_was_read_before_a_revocation_is_not_remembered(
    authenticator: Authenticator, issued: IssuedKeys, index: Index
) -> None:
    index.reading = asyncio.Event()
    reading = asyncio.create_task(authenticator.authenticate(TOKEN))
    await index.asked.wait()
    index.change(revoked_at=NOON)
    issued.forget("key_1")
    index.reading.set()
    assert await reading == PRINCIPAL, "it came before the revocation"
    await refusal(authenticator, TOKEN)


async def test_without_the_index_a_known_key_goes_on_for_its_time(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    await authenticator.authenticate(TOKEN)
    index.down = True
    clock.seconds = LIFETIME - 0.1
    assert await authenticator.authenticate(TOKEN) == PRINCIPAL
    clock.seconds = LIFETIME
    with pytest.raises(Unavailable):
        await authenticator.authenticate(TOKEN)
    assert await authenticator.authenticate("dvr_sk_live_bootstrap") == ADMIN
    assert await authenticator.still_valid(PRINCIPAL), "an open stream goes on: nothing can be revoked now"


async def test_a_use_is_noted_once_a_minute_and_never_fails_a_request(
    authenticator: Authenticator, issued: IssuedKeys, index: Index, clock: Clock
) -> None:
    for clock.seconds in (0, 10, 59, 64, 70):
        await authenticator.authenticate(TOKEN)
        await issued.settle()
    assert index.uses == [NOON, NOON + timedelta(seconds=64)]

    async def lost(*_: object, **__: object) -> None:
        raise Unavailable("down")

    index.used = lost
    clock.seconds = 200
    assert await authenticator.authenticate(TOKEN)
    await issued.settle()


async def test_a_stream_is_over_when_its_key_is(authenticator: Authenticator, index: Index, clock: Clock) -> None:
    principal = await authenticator.authenticate(TOKEN)
    assert await authenticator.still_valid(principal)
    reads = index.reads
    assert await authenticator.still_valid(principal)
    assert index.reads == reads, "asked often, looked up once in the lifetime"
    for changes in ({"scopes": frozenset({Scope.JOBS_READ})}, {"expires_at": NOON}, {"revoked_at": NOON}):
        index.secret = StoredSecret(replace(KEY, **changes), "", None)
        clock.seconds += LIFETIME
        assert not await authenticator.still_valid(principal), changes
    index.secret = None
    clock.seconds += LIFETIME
    assert not await authenticator.still_valid(principal)
    assert not await authenticator.still_valid(Principal("nobody", frozenset())), "of no known kind"


async def test_a_stream_is_over_when_its_secret_is(authenticator: Authenticator, index: Index, clock: Clock) -> None:
    principal = await authenticator.authenticate(TOKEN)
    assert await authenticator.still_valid(principal)
    assert index.secret is not None
    index.secret = replace(index.secret, expires_at=NOON + timedelta(seconds=LIFETIME + 2))
    clock.seconds = LIFETIME
    assert await authenticator.still_valid(principal), "the overlap of a rotation"
    clock.seconds = LIFETIME + 2
    assert not await authenticator.still_valid(principal)


async def test_a_stream_goes_on_when_its_key_becomes_an_admins(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    principal = await authenticator.authenticate(TOKEN)
    index.change(scopes=frozenset({Scope.ADMIN}))
    clock.seconds = LIFETIME
    assert await authenticator.still_valid(principal)


async def test_the_memory_of_keys_is_bounded(issued: IssuedKeys, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "_MAX_ENTRIES", 2)
    assert await issued.principal(TOKEN)
    for index.prefix in ("one", "two", "three"):
        await issued.still_valid(replace(PRINCIPAL, prefix=index.prefix))
    index.prefix = KEY.prefix
    assert len(issued._verified._entries) == 2
    assert TOKEN not in repr(issued._verified)
    reads = index.reads
    assert await issued.principal(TOKEN)
    assert index.reads == reads + 1, "the oldest is forgotten first"


def test_the_state_of_a_key() -> None:
    later = NOON + timedelta(seconds=1)
    assert KEY.state(NOON) is KeyState.ACTIVE
    assert replace(KEY, expires_at=later).state(NOON) is KeyState.ACTIVE
    assert replace(KEY, expires_at=NOON).state(NOON) is KeyState.EXPIRED
    assert replace(KEY, expires_at=NOON, revoked_at=NOON).state(NOON) is KeyState.REVOKED


def stranger(host: str = "192.0.2.1") -> HTTPConnection:
    return HTTPConnection({"type": "http", "client": (host, 1), "headers": [], "state": {}})


def doors(authenticator: Authenticator) -> Any:
    """The services that a door needs: five unknown credentials a minute from one address."""
    five = {SurfaceLimit.CREDENTIALS: Window(limit=5, seconds=60)}
    return SimpleNamespace(access=authenticator, limits=RequestLimits(RateLimiter(), {}, five))


async def knock(services: Any, token: str, host: str = "192.0.2.1") -> str:
    """What a token opens at an address."""
    try:
        return (await authenticate(stranger(host), services, token)).id
    except (Unauthenticated, LimitExceeded) as refused:
        return refused.code


async def test_wrong_keys_reach_the_index_a_bounded_number_of_times(authenticator: Authenticator, index: Index) -> None:
    services = doors(authenticator)
    tokens = [f"dvr_sk_live_{number:080x}" for number in range(50)]
    report = await asyncio.gather(*(knock(services, token) for token in tokens))
    assert sorted(report) == sorted(["unauthenticated"] * 5 + ["rate_limit_exceeded"] * 45)
    assert (index.reads, index.lists) == (5, 1)
    assert await knock(services, tokens[0], "192.0.2.2") == "unauthenticated", "another address"


async def test_what_opened_something_before_is_let_in_whatever_was_counted(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    services = doors(authenticator)
    assert await knock(services, TOKEN) == "newsroom"
    for number in range(9):
        await knock(services, f"dvr_sk_live_{number:080x}")
    clock.seconds += 2 * LIFETIME  # the index is to be asked again
    assert await knock(services, TOKEN) == "newsroom"
    assert await knock(services, "dvr_sk_live_bootstrap") == "admin"


async def test_a_key_that_is_new_here_is_let_in_and_who_knows_its_public_part_is_not(
    authenticator: Authenticator, index: Index
) -> None:
    services = doors(authenticator)
    for number in range(9):
        await knock(services, f"dvr_sk_live_{number:080x}")
    forged = TOKEN[:28] + "0" * 64
    entries = [await knock(services, forged) for _ in range(7)]
    assert entries == ["unauthenticated"] * 5 + ["rate_limit_exceeded"] * 2
    assert (index.reads, index.lists) == (10, 1)
    others = doors(authenticator)
    for number in range(9):
        await knock(others, f"dvr_sk_live_{number:080x}")
    assert await knock(others, TOKEN) == "newsroom"


async def test_a_key_that_was_revoked_is_a_wrong_one_from_then_on(
    authenticator: Authenticator, index: Index, clock: Clock
) -> None:
    services = doors(authenticator)
    assert await knock(services, TOKEN) == "newsroom"
    index.change(revoked_at=NOON)
    clock.seconds += 2 * LIFETIME
    entries = [await knock(services, TOKEN) for _ in range(11)]
    assert entries == ["unauthenticated"] * 9 + ["rate_limit_exceeded"] * 2
    assert (index.reads, index.lists) == (10, 1)


async def test_an_index_that_is_down_forgets_no_key(authenticator: Authenticator, index: Index, clock: Clock) -> None:
    assert await authenticator.authenticate(TOKEN)
    clock.seconds += 2 * LIFETIME
    index.down = True
    with pytest.raises(Unavailable):
        await authenticator.authenticate(TOKEN)
    assert authenticator.recognises(TOKEN)
