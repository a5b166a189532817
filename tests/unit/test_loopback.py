"""No proxy leads to this machine, for any client."""

import httpx2
import pytest

from orchestrator.commandline.run.client import ApiClient
from orchestrator.network.loopback import exempt_from_proxies, is_loopback, leads_to_this_machine
from orchestrator.runtime.models import ModelConfig, ModelSource

DEAD_PROXY = "http://127.0.0.1:9"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert leads_to_this_machine(f"http://{f'[{host}]' if host == '::1' else host}:80/v1")


@pytest.mark.parametrize("host", ["", "localhost.example.com", "10.0.0.1", "::2", "example.com"])
def test_addresses_of_other_machines(host: str) -> None:
    assert not is_loopback(host)
    assert not leads_to_this_machine(f"http://{host}/" if host != "::2" else "http://[::2]/")


def test_libraries_are_reported_in_both_spellings_only_where_there_is_a_proxy() -> None:
    environment = {"HTTP_PROXY": DEAD_PROXY, "no_proxy": "db.example.com"}
    exempt_from_proxies(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "db.example.com,localhost,127.0.0.1,127.0.0.0/8,::1"
    everything = {"https_proxy": DEAD_PROXY, "NO_PROXY": "*"}
    exempt_from_proxies(everything)
    assert everything["no_proxy"] == "*"
    none: dict[str, str] = {}
    exempt_from_proxies(none)
    assert none == {}


async def test_a_model_and_an_api_on_this_machine_are_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, DEAD_PROXY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    here = ModelSource(ModelConfig(llm_base_url="http://localhost:11434/v1"))
    elsewhere = ModelSource(ModelConfig(llm_base_url="http://models.example.com/v1"))
    api = ApiClient("http://127.0.0.1:8000", "key")
    try:
        assert not _proxied(here._http)
        assert _proxied(elsewhere._http)
        assert not _proxied(api._http)
    finally:
        await here.aclose()
        await elsewhere.aclose()
        await api.aclose()


def _proxied(client: httpx2.AsyncClient) -> bool:
    """Whether the client's requests to its server go to the proxy of the environment."""
    return any(transport is not None for transport in client._mounts.values())
