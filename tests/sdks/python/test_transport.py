"""How the Python library sends: through the caller's own HTTP client, and not to servers that nobody knows."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devora import APIConnectionError, AsyncDevoraClient, DevoraClient, DevoraError, Retry, ServiceUnavailableError

AGENTS = {"agents": [], "total": 0, "available": 0, "unavailable": 0}


def test_another_http_client_takes_its_place_and_is_not_closed() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=AGENTS, headers={"X-Request-ID": "req_1"})

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    with DevoraClient("k", "http://mock", http_client=http) as client:
        agents = client.agents.list(headers={"X-Trace": "t"})
    assert not http.is_closed
    assert (agents.request_id, agents.raw_response.status, agents.raw_response.attempts) == ("req_1", 200, 1)
    assert seen[0].url == "http://mock/v1/agents"
    assert (seen[0].headers["authorization"], seen[0].headers["x-trace"]) == ("Bearer k", "t")


def test_each_repetition_is_reported() -> None:
    retries: list[Retry] = []
    http = httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(503, json={}, headers={"Retry-After": "0"}))
    )
    client = DevoraClient("k", "http://mock", http_client=http, on_retry=retries.append)
    client._transport.config.backoff = 0.01
    with pytest.raises(ServiceUnavailableError):
        client.agents.list()
    assert [(retry.method, retry.path, retry.attempt) for retry in retries] == [
        ("GET", "/agents", 1),
        ("GET", "/agents", 2),
    ]
    assert all(retry.pause > 0 for retry in retries)  # `Retry-After: 0` is no reason to hurry
    assert isinstance(retries[0].error, ServiceUnavailableError)


def test_any_request_can_be_sent() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"query": request.url.params.multi_items(), "body": request.content.decode()})

    client = DevoraClient("k", "http://mock", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)))
    response = client.request("post", "/new", query={"a": [1, 2], "b": True, "c": None}, body={"x": "é"})
    assert response.json() == {"query": [["a", "1"], ["a", "2"], ["b", "true"]], "body": '{"x":"é"}'}


@pytest.mark.parametrize("job_id", ["", "..", "."])
def test_an_empty_id_asks_for_nothing_else(job_id: str) -> None:
    with pytest.raises(DevoraError, match="job_id"):
        DevoraClient("k", "http://127.0.0.1:9").jobs.get(job_id)


def test_an_id_stays_one_part_of_the_path() -> None:
    paths: list[bytes] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(404, json={})

    client = DevoraClient("k", "http://mock", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)))
    with pytest.raises(DevoraError):
        client.jobs.get("a/../b?c=é")
    assert paths == [b"/v1/jobs/a%2F..%2Fb%3Fc%3D%C3%A9"]


def test_a_stream_that_is_none_is_not_asked_for_again() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, text="<html>welcome</html>", headers={"Content-Type": "text/html"})

    client = DevoraClient("k", "http://mock", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)))
    for after in (None, "now"):
        with pytest.raises(DevoraError, match="check the base URL"):
            list(client.jobs.stream("job_1", after=after))
    assert len(seen) == 2


@asynccontextmanager
async def tls_server(folder: Path) -> AsyncIterator[tuple[str, list[object]]]:
    """A server whose certificate no store knows, and its connections."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    connections: list[object] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count connections as they come, before the handshake."""
        connections.append(reader)
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    listening = await asyncio.start_server(count, "127.0.0.1", 0)
    async with listening:
        yield f"https://localhost:{listening.sockets[0].getsockname()[1]}", connections


async def test_an_unknown_certificate_is_not_tried_again(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as (url, connections), AsyncDevoraClient("k", url) as client:
        for call in (client.agents.list, partial(client.jobs.wait, "job_1"), client.jobs.stream("job_1").__anext__):
            with pytest.raises(APIConnectionError, match="certificate"):
                await call()
        assert len(connections) == 3
