"""Every door counts: the tier's window holds on every surface, and wrong credentials by the client's address."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from orchestrator.composition.backend import now
from orchestrator.domain.access import Role
from orchestrator.domain.limits import SurfaceLimit, Tier, TierLimits, Window
from orchestrator.testing import ADMIN_KEY, Engine
from tests.api.conftest import over, served
from tests.api.test_connections import code_of
from tests.ledger import ledger

SESSION = "5c88e22d-4938-4132-8ae5-d85530b4b3b9"  # of nobody; fixed, so that every process collects the same tests
Product = Callable[..., FastAPI]
Issue = Callable[..., Awaitable[dict[str, str]]]

# One request of each surface that starts nothing.
DOORS = [
    ("GET", "/v1/agents"),
    ("POST", "/protected/execute-workflow"),
    ("POST", "/execute-workflow"),
    ("GET", f"/workflow-status/{SESSION}"),
    ("POST", "/chat/v2/chat"),
    ("GET", "/api/v1/orchestration/health"),
    ("GET", "/api/agents"),
]
SOCKETS = ["/v1/ws", f"/ws/{SESSION}", f"/chat/ws/c/{SESSION}"]
FIVE = {SurfaceLimit.CREDENTIALS: Window(limit=5, seconds=60)}


def wrong(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer dvr_sk_live_{number:080x}"}


@ledger("D-065")
@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_the_window_of_the_tier_holds_on_every_surface(
    product: Product, key: Issue, method: str, path: str
) -> None:
    async with over(product(), **await key(tier=Tier.FREE)) as client:
        answers = [await client.request(method, path, json={}) for _ in range(12)]
    assert [answer.status_code == 429 for answer in answers] == [False] * 10 + [True] * 2
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers[:3]] == [9, 8, 7]
    assert int(answers[-1].headers["Retry-After"]) > 0


async def test_the_window_of_a_key_is_one_for_all_surfaces(product: Product, key: Issue) -> None:
    async with over(product(), **await key(tier=Tier.FREE)) as client:
        answers = [await client.request(*DOORS[number % len(DOORS)], json={}) for number in range(14)]
    assert [answer.status_code == 429 for answer in answers] == [False] * 10 + [True] * 4


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_wrong_keys_are_counted_by_address_and_a_valid_one_is_still_let_in(
    product: Product, key: Issue, method: str, path: str
) -> None:
    valid, unused = await key(), await key()
    async with over(product(surface_limits=FIVE)) as client:
        assert (await client.request(method, path, headers=valid, json={})).status_code != 401
        answers = [await client.request(method, path, headers=wrong(number), json={}) for number in range(8)]
        assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 4
        assert int(answers[-1].headers["Retry-After"]) > 0
        for right in (valid, unused):
            assert (await client.request(method, path, headers=right, json={})).status_code not in (401, 429)


async def test_wrong_keys_are_one_window_for_all_surfaces_and_shapes(product: Product, running: Engine) -> None:
    signed = jwt.encode({"sub": "mallory", "exp": 4_000_000_000}, "a secret of somebody else, long enough", "HS256")
    tokens = ["nonsense", "ao_short", signed, wrong(1)["Authorization"].removeprefix("Bearer "), "dvr_sk_live_x", "ä"]
    async with over(product(surface_limits=FIVE)) as client:
        answers = [
            await client.request(*DOORS[number], json={}, headers={"Authorization": f"Bearer {token}".encode()})
            for number, token in enumerate(tokens)
        ]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        mine = running.parts.backend.sealer.derived("tokens").hex()
        user = jwt.encode({"sub": "alice", "exp": int(now().timestamp()) + 60}, mine, "HS256")
        for token in (ADMIN_KEY, user):
            assert (await client.get("/v1/agents", headers={"Authorization": f"Bearer {token}"})).status_code == 200


@pytest.mark.parametrize("roles", [None, [], ["stranger"], *([str(role)] for role in Role)])
async def test_a_users_token_has_a_tier_unless_it_is_the_administrators(
    running: Engine, roles: list[str] | None
) -> None:
    secret = running.parts.backend.sealer.derived("tokens").hex()
    claims = {"sub": "alice", "exp": int(now().timestamp()) + 60, **({} if roles is None else {"roles": roles})}
    principal = await running.services.access.authenticate(jwt.encode(claims, secret, "HS256"))
    assert (principal.tier is None) is (roles == [Role.ADMIN])


async def test_a_path_that_does_not_exist_is_no_way_around(product: Product, key: Issue) -> None:
    async with over(product(surface_limits=FIVE)) as client:
        for number in range(5):
            assert (await client.post("/no/such/path", headers=wrong(number), json={})).status_code == 404
        assert (await client.get("/v1/agents", headers=wrong(9))).status_code == 429


@pytest.mark.parametrize("path", SOCKETS)
async def test_wrong_keys_at_a_socket_are_counted_too(product: Product, path: str) -> None:
    async with served(product(surface_limits=FIVE)) as url:
        codes = []
        for number in range(7):
            address = url.replace("http", "ws", 1) + path
            async with connect(address, additional_headers=wrong(number), proxy=None) as socket:
                codes.append(await code_of(socket))
        async with httpx2.AsyncClient(base_url=url) as client:
            refused = await client.get("/v1/agents", headers=wrong(99))
    assert codes == [4401] * 5 + [1013] * 2
    assert refused.status_code == 429


@pytest.mark.parametrize("path", SOCKETS)
async def test_a_socket_is_a_request_of_its_key(product: Product, key: Issue, path: str) -> None:
    two = {Tier.FREE: TierLimits(requests_per_minute=2)}
    headers = await key(tier=Tier.FREE)
    async with served(product(tiers=two)) as url, httpx2.AsyncClient(base_url=url, headers=headers) as client:
        address = url.replace("http", "ws", 1) + path
        assert (await client.get("/v1/agents")).status_code == 200
        async with connect(address, additional_headers=headers, proxy=None) as socket:
            with suppress(ConnectionClosed):
                await socket.send("x")
            await socket.recv()
        assert (await client.get("/v1/agents")).status_code == 429
        async with connect(address, additional_headers=headers, proxy=None) as socket:
            assert await code_of(socket) == 1013


async def test_a_message_over_the_chat_socket_is_a_request_of_its_key(product: Product, key: Issue) -> None:
    one = {Tier.FREE: TierLimits(requests_per_minute=1)}
    async with served(product(tiers=one)) as url:
        address = f"{url.replace('http', 'ws', 1)}/chat/ws/c/{SESSION}"
        async with connect(address, additional_headers=await key(tier=Tier.FREE), proxy=None) as socket:
            await socket.send(json.dumps({"type": "chat", "data": {"message": "Hello"}}))
            said = json.loads(await socket.recv())
    assert (said["type"], said["data"]["code"]) == ("error", "RATE_LIMIT_ERROR"), said
