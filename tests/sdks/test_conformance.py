"""Every library does what `sdks/conformance/scenarios.json` says, through a proxy that breaks what can break."""

from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

import httpx2
import pytest

from tests.sdks.conftest import RestartableServer
from tests.sdks.proxy import Proxy
from tests.sdks.runners import LANGUAGES, Runner
from tests.sdks.scenario import SCENARIOS, Scenario

CASES = [
    pytest.param(language, scenario, id=f"{scenario['name']}-{language}")
    for scenario in SCENARIOS
    for language in LANGUAGES
    if language not in scenario.get("without", {})
]


@pytest.mark.parametrize(("language", "scenario"), CASES)
async def test_scenario(
    *,
    language: str,
    scenario: dict[str, Any],
    server: str,
    restartable: Callable[[], Awaitable[RestartableServer]],
    new_key: Callable[..., Awaitable[str]],
    runners: Callable[[str], Awaitable[Runner]],
) -> None:
    runner = await runners(language)
    process = await restartable() if scenario.get("server") == "process" else None
    url = process.url if process else server
    key = await new_key(admin=scenario.get("admin", False))
    async with (
        httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        Proxy(url, deepcopy(scenario.get("fault", [])), process.restart if process else None) as proxy,
    ):
        run = Scenario(scenario, http, proxy, runner, key)
        await run.set_up()
        await run.perform()
        await run.check()


def test_every_scenario_has_a_name_of_its_own() -> None:
    names = [scenario["name"] for scenario in SCENARIOS]
    assert len(names) == len(set(names))
    assert all(scenario["what"].endswith(".") for scenario in SCENARIOS)
    assert all(reason.endswith(".") for scenario in SCENARIOS for reason in scenario.get("without", {}).values())
