"""The webhook sender against real receivers: what it sends, where to, and what it makes of every answer."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from orchestrator.delivery.sender import HttpWebhookSender, retry_after
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.webhooks import DeliveryVerdict, Posting
from tests.fakes.webhook_receiver import DRIP, HALF_BODY, NOT_HTTP, RESET, STALL, Answer, Fault, receiving
from tests.ledger import ledger
from tests.signatures import verify_webhook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400.0
SECRET = "a-secret-of-the-owner"
PUBLIC = "93.184.216.34"
SHORT = 0.4


def posting(url: str, **changes: Any) -> Posting:
    body = {"event": "job.completed", "job_id": "wf_job_1", "data": {"text": "grün ✓"}}
    values = {"url": url, "message_id": "msg_1", "at": datetime.now(UTC), "body": body, "secrets": [SECRET]}
    return Posting.model_validate({**values, **changes})


class Names:
    """A resolver with one answer per look-up, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest_asyncio.fixture(loop_scope="session")
async def sender() -> AsyncIterator[HttpWebhookSender]:
    one = HttpWebhookSender(allow_private=True, timeout=10)
    yield one
    await one.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def hasty() -> AsyncIterator[HttpWebhookSender]:
    one = HttpWebhookSender(allow_private=True, timeout=SHORT)
    yield one
    await one.aclose()


@ledger("D-100", "D-101")
async def test_one_signed_post_is_made(sender: HttpWebhookSender):
    async with receiving() as receiver:
        posted = await sender.post(posting(receiver.url + "?key=a%2Fb", secrets=[SECRET, "older"]))
    assert (posted.verdict, posted.status, posted.error, posted.retry_after) == (
        DeliveryVerdict.DELIVERED,
        200,
        None,
        None,
    )
    assert posted.duration > 0
    (request,) = receiver.requests
    assert request.path == "/hook?key=a%2Fb"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-devora-event"] == "job.completed"
    assert json.loads(request.body)["data"] == {"text": "grün ✓"}
    assert verify_webhook(request.body.decode(), request.headers["x-devora-signature"], SECRET)
    assert verify_webhook(request.body.decode(), request.headers["x-devora-signature-previous"], "older")
    for secret in (SECRET, "older"):
        assert Webhook(secret.encode()).verify(request.body, request.headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_delivery(sender: HttpWebhookSender, status: int):
    async with receiving(Answer(status)) as receiver:
        posted = await sender.post(posting(receiver.url))
    assert (posted.verdict, posted.status, posted.error) == (DeliveryVerdict.DELIVERED, status, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(sender: HttpWebhookSender, status: int):
    async with receiving(Answer(status, {"Location": "/elsewhere"}), Answer()) as receiver:
        posted = await sender.post(posting(receiver.url))
        assert [request.path for request in receiver.requests] == ["/hook"]
    assert (posted.verdict, posted.status) == (DeliveryVerdict.RETRY, status)
    assert posted.error == f"HTTP {status}: redirects are not followed"


@pytest.mark.parametrize("status", [400, 401, 404, 408, 500, 502, 504, 599])
async def test_any_other_status_is_tried_again(sender: HttpWebhookSender, status: int):
    async with receiving(Answer(status, {"Retry-After": "5"})) as receiver:
        posted = await sender.post(posting(receiver.url))
    assert (posted.verdict, posted.status, posted.error) == (DeliveryVerdict.RETRY, status, f"HTTP {status}")
    assert posted.retry_after is None


async def test_gone_is_gone(sender: HttpWebhookSender):
    async with receiving(Answer(410)) as receiver:
        posted = await sender.post(posting(receiver.url))
    assert (posted.verdict, posted.status, posted.error) == (DeliveryVerdict.GONE, 410, "HTTP 410")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_receiver_s_wish_is_passed_on(sender: HttpWebhookSender, status: int):
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    script = [Answer(status, {"Retry-After": wish}) for wish in ("120", "9999999", "soon", later)]
    async with receiving(*script, Answer(status)) as receiver:
        posted = [await sender.post(posting(receiver.url)) for _ in range(5)]
    assert {one.verdict for one in posted} == {DeliveryVerdict.RETRY}
    seconds, most, nonsense, date, none = (one.retry_after for one in posted)
    assert (seconds, most, nonsense, none) == (120.0, DAY, None, None)
    assert date is not None
    assert 3600 < date <= 7200


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (RESET, "the connection broke off"),
        (NOT_HTTP, "no valid HTTP answer"),
        (Fault(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), "no valid HTTP answer"),
    ],
    ids=["reset", "not-http", "endless-header"],
)
async def test_a_broken_answer_is_tried_again(sender: HttpWebhookSender, fault: Fault, error: str):
    async with receiving(fault) as receiver:
        posted = await sender.post(posting(receiver.url))
    assert (posted.verdict, posted.status, posted.error) == (DeliveryVerdict.RETRY, None, error)


@pytest.mark.parametrize("fault", [STALL, DRIP], ids=["silence", "half a header"])
async def test_a_receiver_that_hangs_is_left(hasty: HttpWebhookSender, fault: Fault):
    async with receiving(fault) as receiver:
        posted = await hasty.post(posting(receiver.url))
        await asyncio.wait_for(receiver.left.wait(), 10)
    assert (posted.verdict, posted.error) == (DeliveryVerdict.RETRY, "no answer within 0.4 s")


async def test_a_look_up_that_hangs_is_left():
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    sender = HttpWebhookSender(allow_private=True, timeout=SHORT, resolve=resolve)
    assert (await sender.post(posting("http://hooks.example/"))).error == "no answer within 0.4 s"


async def test_a_status_counts_though_its_body_hangs_or_never_ends(hasty: HttpWebhookSender):
    for answer in (HALF_BODY, Answer(endless=True)):
        async with receiving(answer) as receiver:
            posted = await hasty.post(posting(receiver.url))
            await asyncio.wait_for(receiver.left.wait(), 10)
        assert (posted.verdict, posted.status) == (DeliveryVerdict.DELIVERED, 200)


async def test_a_closed_port_reveals_no_address(sender: HttpWebhookSender):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        other = HttpWebhookSender(allow_private=True, resolve=Names(["127.0.0.1"]))
        posted = await other.post(posting(f"http://hooks.example:{port}/"))
    assert (posted.verdict, posted.error) == (DeliveryVerdict.RETRY, "connection refused or host unreachable")


async def test_the_next_address_is_tried_when_one_does_not_answer():
    names = Names(["127.0.0.2", "127.0.0.1"])
    sender = HttpWebhookSender(allow_private=True, resolve=names)
    async with receiving() as receiver:  # on 127.0.0.1 alone
        posted = await sender.post(posting(receiver.url_for("hooks.example")))
        assert (posted.verdict, len(receiver.requests)) == (DeliveryVerdict.DELIVERED, 1)


async def test_a_request_that_was_sent_is_not_sent_to_the_next_address():
    sender = HttpWebhookSender(allow_private=True, resolve=Names(["127.0.0.1", "127.0.0.1"]))
    async with receiving(RESET) as receiver:
        await sender.post(posting(receiver.url_for("hooks.example")))
        assert len(receiver.requests) == 1


async def test_a_name_that_does_not_resolve_is_tried_again():
    sender = HttpWebhookSender(allow_private=False, resolve=Names([]))
    posted = await sender.post(posting("https://hooks.example/"))
    assert (posted.verdict, posted.error) == (DeliveryVerdict.RETRY, "the name hooks.example does not resolve")


async def test_a_name_that_waits_for_other_look_ups_of_its_owner_is_no_attempt():
    async def busy(host: str, port: int) -> list[str]:
        raise Unavailable("2 names of this account are being looked up already.")

    with pytest.raises(Unavailable):
        await HttpWebhookSender(allow_private=False, resolve=busy).post(posting("https://hooks.example/"))


@pytest.mark.parametrize("found", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_a_private_address_is_not_connected_to(found: list[str]):
    sender = HttpWebhookSender(allow_private=False, resolve=Names(found))
    async with receiving() as receiver:
        for url in (receiver.url_for("hooks.example"), receiver.url, receiver.url_for("localhost")):
            posted = await sender.post(posting(url))
            assert posted.verdict is DeliveryVerdict.RETRY
            assert (posted.error or "").startswith("address refused: ")
        assert receiver.connections == 0
    assert "127.0.0.1" not in str(await sender.post(posting("http://hooks.example/")))


async def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch):
    names = Names([PUBLIC], ["127.0.0.1"])  # bound again right after the check
    sender = HttpWebhookSender(allow_private=False, resolve=names)
    connect = anyio.connect_tcp
    connected: list[tuple[str, int]] = []
    async with receiving() as receiver:

        async def to_receiver(remote_host: str, remote_port: int, **_: Any) -> Any:
            connected.append((remote_host, remote_port))
            return await connect("127.0.0.1", receiver.port)

        monkeypatch.setattr(anyio, "connect_tcp", to_receiver)
        posted = await sender.post(posting("http://hooks.example:8080/hook"))
        (request,) = receiver.requests
    assert posted.verdict is DeliveryVerdict.DELIVERED
    assert names.asked == [("hooks.example", 8080)]
    assert connected == [(PUBLIC, 8080)]
    assert request.headers["host"] == "hooks.example:8080"


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch):
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        posted = await HttpWebhookSender(allow_private=True).post(posting(receiver.url))
        assert (posted.verdict, proxy.connections, receiver.connections) == (DeliveryVerdict.DELIVERED, 0, 1)


async def test_nothing_is_kept_between_two_posts(sender: HttpWebhookSender):
    async with receiving(Answer(headers={"Set-Cookie": "a=b; Path=/"})) as receiver:
        for _ in range(2):
            await sender.post(posting(receiver.url))
        assert receiver.connections == 2
        assert all("cookie" not in request.headers for request in receiver.requests)


async def test_many_at_once_are_kept_apart(sender: HttpWebhookSender):
    async with receiving(Answer(200)) as good, receiving(Answer(500)) as bad, receiving(STALL) as hanging:
        stuck = asyncio.ensure_future(sender.post(posting(hanging.url)))
        posted = await asyncio.gather(*(sender.post(posting(one.url)) for one in (good, bad) * 10))
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
    assert [one.status for one in posted] == [200, 500] * 10


class Authority:
    """Issues certificates; `trust` is what a client needs to accept them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._signed(self._name, self._key, ca, NOW + timedelta(days=3650))
        self.trust = ssl.create_default_context(cadata=_pem(self.certificate).decode())

    def serving(self, name: str, *, until: datetime = NOW + timedelta(days=3650)) -> ssl.SSLContext:
        """A server's context with a certificate for one name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        entry = x509.IPAddress(IPv4Address(name)) if name[0].isdigit() else x509.DNSName(name)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, x509.SubjectAlternativeName([entry]), until)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / f"{name}.pem"
        file.write_bytes(private + _pem(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, until: datetime
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=NOW - timedelta(days=3650),
            not_valid_after=until,
        ).add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_sender(authority: Authority) -> HttpWebhookSender:
    return HttpWebhookSender(allow_private=True, resolve=Names(["127.0.0.1"]), tls=authority.trust)


async def test_tls_asks_for_and_checks_the_name_not_the_address(authority: Authority, tls_sender: HttpWebhookSender):
    async with receiving(tls=authority.serving("hooks.example")) as receiver:
        posted = await tls_sender.post(posting(receiver.url_for("hooks.example")))
        assert posted.verdict is DeliveryVerdict.DELIVERED
        assert receiver.requests[0].sni == "hooks.example"
        assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
        for other in ("other.example", "127.0.0.1"):  # the same address, after a good connection to it
            posted = await tls_sender.post(posting(receiver.url_for(other)))
            assert (posted.error or "").startswith("TLS failed: ")
        assert len(receiver.requests) == 1


async def test_tls_to_an_address_checks_the_address(authority: Authority, tls_sender: HttpWebhookSender):
    async with receiving(tls=authority.serving("127.0.0.1")) as receiver:
        assert (await tls_sender.post(posting(receiver.url))).verdict is DeliveryVerdict.DELIVERED


def _expired(authority: Authority) -> ssl.SSLContext:
    return authority.serving("hooks.example", until=NOW - timedelta(days=1))


def _of_another(authority: Authority) -> ssl.SSLContext:
    return Authority(authority._folder).serving("hooks.example")


def _too_old(authority: Authority) -> ssl.SSLContext:
    context = authority.serving("hooks.example")
    authority.trust.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.parametrize("broken", [_expired, _of_another, _too_old])
async def test_tls_that_fails_is_tried_again(
    authority: Authority, tls_sender: HttpWebhookSender, broken: Callable[[Authority], ssl.SSLContext]
):
    async with receiving(tls=broken(authority)) as receiver:
        posted = await tls_sender.post(posting(receiver.url_for("hooks.example")))
        assert receiver.requests == []
    assert (posted.verdict, posted.status) == (DeliveryVerdict.RETRY, None)
    assert (posted.error or "").startswith("TLS failed: ")
    assert "127.0.0.1" not in (posted.error or "")


async def test_a_receiver_that_wants_a_client_s_certificate_is_tried_again(
    authority: Authority, tls_sender: HttpWebhookSender
):
    context = authority.serving("hooks.example")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=_pem(authority.certificate).decode())
    async with receiving(tls=context) as receiver:  # with TLS 1.3 it says so only after the handshake
        posted = await tls_sender.post(posting(receiver.url_for("hooks.example")))
        assert receiver.requests == []
    assert (posted.verdict, posted.status) == (DeliveryVerdict.RETRY, None)
    assert posted.error


async def test_tls_that_breaks_after_the_handshake_is_tried_again(authority: Authority, tls_sender: HttpWebhookSender):
    fault = Fault(b"HTTP/1.1 200 OK\r\n\r\n", below_tls=True)
    async with receiving(fault, tls=authority.serving("hooks.example")) as receiver:
        posted = await tls_sender.post(posting(receiver.url_for("hooks.example")))
        assert len(receiver.requests) == 1
    assert (posted.verdict, posted.status) == (DeliveryVerdict.RETRY, None)
    assert (posted.error or "").startswith("TLS failed: ")


async def test_tls_to_a_plain_port_is_tried_again(tls_sender: HttpWebhookSender):
    async with receiving(NOT_HTTP) as receiver:
        posted = await tls_sender.post(posting(f"https://hooks.example:{receiver.port}/"))
    assert posted.verdict is DeliveryVerdict.RETRY
    assert posted.error


async def test_no_error_holds_a_secret_or_the_url_s_own(tls_sender: HttpWebhookSender):
    async with receiving(Answer(500), RESET, NOT_HTTP) as receiver:
        for _ in range(3):
            posted = await tls_sender.post(posting(receiver.url + "?token=in-the-url"))
            assert SECRET not in str(posted)
            assert "in-the-url" not in str(posted)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("86401", DAY),
        ("9" * 5000, DAY),
        ("-1", None),
        ("1.5", None),
        ("١٢", None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thursday, 01-Jan-26 00:01:00 GMT", 60.0),
        ("Thu Jan  1 00:01:00 2026", 60.0),
        ("Thu, 01 Jan 2026 01:01:00 +0100", 60.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", DAY),
        ("Thu, 99 Jan 2026 00:01:00 GMT", None),
    ],
)
def test_retry_after_has_two_forms_and_a_limit(value: str | None, seconds: float | None):
    assert retry_after(value, NOW) == seconds


@given(st.one_of(st.text(), st.text("0123456789 :,-+GMTJanFriThu", max_size=40)))
def test_no_retry_after_is_a_fault(value: str):
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= DAY


@given(st.one_of(st.integers(0, 200_000_000_000), st.integers(-200_000, 200_000).map(int(NOW.timestamp()).__add__)))
def test_a_date_says_how_long_from_now(moment: int):
    seconds = retry_after(format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True), NOW)
    assert seconds == min(max(moment - NOW.timestamp(), 0.0), DAY)
