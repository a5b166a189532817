"""How long the number of workers of a queue is remembered."""

from types import SimpleNamespace

import pytest

from orchestrator.engine import pollers as module
from orchestrator.engine.pollers import PollerCounts


@pytest.fixture
def polling(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers that Temporal lists; a test changes them."""
    workers: list[str] = []

    async def listed(client: object, queue: str, *, activities: bool) -> list[str]:
        return list(workers)

    monkeypatch.setattr(module, "pollers", listed)
    monkeypatch.setattr(module, "circuit_of", lambda client: SimpleNamespace(returned_within=lambda seconds: False))
    return workers


async def test_a_number_of_workers_is_remembered_for_a_second(polling: list[str]) -> None:
    now = 100.0
    counts = PollerCounts(None, clock=lambda: now)  # type: ignore[arg-type]
    polling.append("first")
    assert await counts.count("jobs") == 1
    polling.append("second")
    now += 0.9
    assert await counts.count("jobs") == 1
    now += 0.2
    assert await counts.count("jobs") == 2


async def test_the_first_worker_is_seen_at_once_by_a_caller_that_asks_again(polling: list[str]) -> None:
    now = 100.0
    counts = PollerCounts(None, clock=lambda: now)  # type: ignore[arg-type]
    assert await counts.count("jobs") == 0
    polling.append("first")
    now += 0.15
    assert await counts.count("jobs") == 1
