"""The library of DevSkyy against the real orchestration surface."""

from collections.abc import Awaitable, Callable

from tests.ledger import ledger
from tests.sdks.conftest import PASSWORD
from tests.sdks.programs import run_python
from tests.sdks.proxy import Proxy

USER = {"DEVSKYY_USERNAME": "admin", "DEVSKYY_PASSWORD": PASSWORD}


@ledger("S-034", "S-014", "S-033")
async def test_a_user_is_signed_in_once_and_uses_every_call(server: str) -> None:
    script = """
from devskyy_client import DevSkyyClient
with DevSkyyClient() as client:
    health = client.health()
    assert health.status == "healthy" and {"cursor_technical", "grok_brand"} <= set(health.partnerships)
    decision = client.decide({"business_goal": "increase_revenue", "timeframe": "Q1_2025", "budget": 50000})
    assert decision.decision.isupper() and decision.implementation_plan[0].phase == 1 and decision.job_id
    assert {partnership.id for partnership in client.partnerships()} >= {"cursor_technical", "grok_brand"}
    assert client.metrics()[0].metrics.uptime >= 0
    assert client.status().system_health and client.configuration().settings
    assert client.deployment_readiness().checks and client.endpoints().endpoints
"""
    async with Proxy(server, []) as proxy:
        ended = await run_python(script, DEVSKYY_API_URL=proxy.url, **USER)
        places = [seen.place for seen in proxy.seen]
    assert ended.code == 0, ended.err
    assert places.count("POST /api/v1/auth/login") == 1


@ledger("S-034", "S-004", "S-007")
async def test_tokens_are_kept_fresh(server: str) -> None:
    """Also where the refresh token is void: the user signs in again."""
    script = """
import asyncio
from devskyy_client import AsyncDevSkyyClient
async def main():
    async with AsyncDevSkyyClient() as client:
        await client.health()
        client._fresh_until = 0
        await asyncio.gather(*(client.health() for _ in range(5)))
        client._fresh_until = 0
        client._tokens.__dict__["refresh_token"] = "void"
        await client.health()
asyncio.run(main())
"""
    async with Proxy(server, []) as proxy:
        ended = await run_python(script, DEVSKYY_API_URL=proxy.url, **USER)
        places = [seen.place for seen in proxy.seen]
    assert ended.code == 0, ended.err
    assert places.count("POST /api/v1/auth/refresh") == 2
    assert places.count("POST /api/v1/auth/login") == 2


@ledger("S-034", "S-021")
async def test_errors_are_typed_and_a_key_is_enough(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    script = """
from devskyy_client import AuthenticationError, DevSkyyClient, DevoraError, PermissionDeniedError
client = DevSkyyClient()
print(client.health().status)
strangers = [DevSkyyClient(username="admin", password="wrong"), DevSkyyClient(api_key="no")]
for call in (client.configuration, *(stranger.health for stranger in strangers)):
    try:
        call()
    except DevoraError as error:
        print(type(error).__name__, error.status, bool(error.message))
try:
    DevSkyyClient(username="ada")
except DevoraError as error:
    print(error.message)
"""
    ended = await run_python(script, DEVSKYY_API_URL=server, DEVSKYY_API_KEY=await new_key())
    assert ended.out.splitlines() == [
        "healthy",
        "PermissionDeniedError 403 True",
        "AuthenticationError 401 True",
        "AuthenticationError 401 True",
        "A username needs a password: give password, or set DEVSKYY_PASSWORD",
    ], ended.err
