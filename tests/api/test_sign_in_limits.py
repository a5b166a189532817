"""Guessing a password: bounded for an address, bounded for a user name, and while Redis is away."""

from collections.abc import Callable

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from orchestrator.domain.limits import SurfaceLimit, Window

Product = Callable[..., FastAPI]


async def guess(app: FastAPI, host: str, username: str = "root", password: str = "wrong") -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app, client=(host, 40_000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        body = {"username": username, "password": password}
        return await client.post("/api/v1/auth/login", json=body)


async def test_one_user_name_is_guessed_a_bounded_number_of_times_from_however_many_addresses(
    product: Product,
) -> None:
    narrow = {SurfaceLimit.SIGN_IN: Window(limit=5, seconds=900)}
    app = product(surface_limits=narrow, admin_username="root", admin_password=SecretStr("correct horse battery"))
    answers = [(await guess(app, f"198.51.100.{number}")).status_code for number in range(8)]
    assert answers == [401] * 5 + [429] * 3
    late = await guess(app, "198.51.100.99", password="correct horse battery")
    assert (late.status_code, int(late.headers["Retry-After"]) > 0) == (429, True)
    assert (await guess(app, "198.51.100.99", username="another")).status_code == 401


async def test_sign_ins_are_counted_while_redis_is_away(product: Product) -> None:
    app = product(redis_url=SecretStr("redis://127.0.0.1:1/0"))
    answers = [(await guess(app, "198.51.100.7", username=f"user-{number}")).status_code for number in range(13)]
    assert answers == [401] * 10 + [429] * 3
