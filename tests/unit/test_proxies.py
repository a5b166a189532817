"""Who the client is behind proxies: never whom the client says."""

import pytest
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from orchestrator.commandline.server.proxies import FromProxy, TrustedProxies
from orchestrator.settings import Settings
from orchestrator.testing import GivenSettings

NEAR, FAR = "10.0.0.5", "192.0.2.1"  # our proxy, a stranger


@pytest.mark.parametrize(
    ("trusted", "peer", "hops", "client"),
    [
        pytest.param("", "127.0.0.1", ["203.0.113.9"], "127.0.0.1", id="nobody-is-trusted-by-default"),
        pytest.param("", FAR, ["203.0.113.9"], FAR, id="a-stranger-is-not-believed"),
        pytest.param(NEAR, FAR, ["203.0.113.9"], FAR, id="nor-beside-the-proxy"),
        pytest.param(NEAR, NEAR, ["203.0.113.9"], "203.0.113.9", id="one-proxy"),
        pytest.param(NEAR, NEAR, ["1.1.1.1", "203.0.113.9"], "203.0.113.9", id="what-the-client-wrote-does-not-count"),
        pytest.param(NEAR, NEAR, [NEAR, "203.0.113.9"], "203.0.113.9", id="nor-the-proxys-own-name"),
        pytest.param("10.0.0.0/8", NEAR, ["1.1.1.1", "203.0.113.9", "10.0.0.7"], "203.0.113.9", id="two-proxies"),
        pytest.param("10.0.0.0/8", NEAR, ["10.0.0.9", "10.0.0.7"], "10.0.0.9", id="a-client-within-the-network"),
        pytest.param(NEAR, NEAR, ["1.1.1.1", "unknown"], NEAR, id="a-word-is-no-address"),
        pytest.param(NEAR, NEAR, [""], NEAR, id="an-empty-header"),
        pytest.param(NEAR, NEAR, ["203.0.113.9:4711"], "203.0.113.9", id="with-a-port"),
        pytest.param(NEAR, NEAR, ["[2001:db8::1]:80"], "2001:db8::1", id="ipv6-with-a-port"),
        pytest.param(NEAR, "::ffff:10.0.0.5", ["203.0.113.9"], "203.0.113.9", id="a-proxy-over-a-dual-socket"),
        pytest.param("*", FAR, ["1.1.1.1", "203.0.113.9"], "203.0.113.9", id="everybody-is-believed-for-one-hop"),
        pytest.param("2001:db8::/32", "2001:db8::5", ["203.0.113.9"], "203.0.113.9", id="ipv6"),
    ],
)
def test_the_client_is_the_first_hop_that_no_trusted_proxy_is(
    trusted: str, peer: str, hops: list[str], client: str
) -> None:
    assert TrustedProxies(trusted).client(peer, hops) == client


async def forwarded_scope(trusted: str, peer: str, **headers: str) -> Scope:
    """The scope of a request as the application sees it."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/x", "raw_path": b"/x", "client": (peer, 1), "headers": raw}
    await FromProxy(app, TrustedProxies(trusted))(scope, receive, send)
    return seen[0]


async def test_a_trusted_proxy_names_client_and_scheme() -> None:
    scope = await forwarded_scope(NEAR, NEAR, x_forwarded_for="1.1.1.1, 203.0.113.9", x_forwarded_proto="https")
    assert (scope["client"], scope["scheme"], scope["path"]) == (("203.0.113.9", 0), "https", "/x")


async def test_nobody_else_does_and_the_operator_is_warned_once() -> None:
    with capture_logs() as logs:
        scope = await forwarded_scope("", "127.0.0.1", x_forwarded_for="203.0.113.9", x_forwarded_proto="https")
    assert (scope["client"], scope["scheme"]) == (("127.0.0.1", 1), "http")
    assert [entry["event"] for entry in logs] == ["forwarded_headers_ignored"]


@pytest.mark.parametrize("text", ["10.0.0.300", "proxy.example.com", "*,10.0.0.1", "10.0.0.0/99"])
def test_a_proxy_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="invalid address"):
        GivenSettings(trusted_proxies=text)


def test_the_name_that_servers_use_is_taken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    assert Settings(_env_file=None).trusted_proxies == "10.0.0.0/8"
