"""Names of receivers: a silent name server holds up its owner's look-ups and nobody else's."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from orchestrator.delivery import look_ups
from orchestrator.delivery.addresses import checked_at_registration
from orchestrator.delivery.look_ups import MAXIMUM, LookUps
from orchestrator.domain.errors import Unavailable


@pytest.fixture
async def names() -> AsyncIterator[LookUps]:
    """Look-ups at a name server that takes every question and never answers."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    opened = LookUps([f"127.0.0.1:{silent.getsockname()[1]}"], slot_timeout=0.05)
    yield opened
    await opened.aclose()
    silent.close()


async def test_the_machine_s_own_names_are_known_and_no_invented_one() -> None:
    names = LookUps()
    assert "127.0.0.1" in await names.resolve("alice", "localhost", 80)
    assert await names.resolve("alice", "127.0.0.1", 80) == ["127.0.0.1"]
    assert await names.resolve("alice", "a" * 64 + ".example", 80) == []
    await names.aclose()


async def test_an_owner_has_two_look_ups_at_once_and_others_are_not_held_up(names: LookUps) -> None:
    hanging = [asyncio.create_task(names.resolve("mallory", f"{n}.example", 443)) for n in range(MAXIMUM)]
    await asyncio.sleep(0)
    more = await asyncio.gather(
        *(names.resolve("mallory", f"more{n}.example", 443) for n in range(50)), return_exceptions=True
    )
    assert {type(answer) for answer in more} == {Unavailable}
    assert "127.0.0.1" in await names.resolve("alice", "localhost", 443)  # while they hang
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert "127.0.0.1" in await names.resolve("mallory", "localhost", 443)
    assert names._slots == {}


async def test_a_silent_name_server_knows_nothing(names: LookUps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ups, "_TIMEOUT", 0.05)
    assert await names.resolve("alice", "hooks.example.com", 80) == []


async def test_a_registration_beside_the_owner_s_other_look_ups_is_taken(names: LookUps) -> None:
    async def busy(host: str, port: int) -> list[str]:
        raise Unavailable("2 names of this account are being looked up already.")

    await checked_at_registration("https://hooks.example.com/", False, resolve=busy)
