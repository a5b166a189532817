"""The short form of `make attack`: every attack that needs no limits, on the API of the tests, with smaller floods."""

import gc

import httpx2
import pytest

from orchestrator.testing import ADMIN_KEY
from tests.attack.attacks import ATTACKS, Named
from tests.attack.target import Target


@pytest.fixture(scope="module")
def target(live: httpx2.AsyncClient) -> Target:
    # As the product does once it has started: else each body would have the collector look at all that tests import.
    gc.collect()
    gc.freeze()
    return Target(
        str(live.base_url).rstrip("/"),
        ADMIN_KEY,
        agent="t_echo",
        workflow="t_three",
        agent_input={"topic": "x"},
        scale=0.05,
    )


@pytest.mark.parametrize("attack", [one for one in ATTACKS if not one.limits], ids=lambda one: one.run.__name__)
async def test_the_product_holds(target: Target, attack: Named) -> None:
    await attack.run(target)
