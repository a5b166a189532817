"""What the Python library makes of single values that a server, or a program, gets wrong."""

import base64
import logging
import math
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from devora import ConfigurationError, DevoraClient, DevoraError, WebhookVerificationError, webhooks
from devora._config import log
from devora._responses import RawResponse
from devora._retries import seconds_of_retry_after
from devora.errors import frame_error, status_error
from orchestrator.delivery import signing

NONSENSE = [1e11, float("inf"), float("nan"), True, -1, 10**400, "5", [], {}]


@pytest.mark.parametrize("value", NONSENSE)
def test_a_retry_after_that_no_program_waits_for_is_ignored(value: Any) -> None:
    assert RawResponse(429, {}, b"").retry_after(value) is None
    assert frame_error({"details": {"retry_after": value}}, None).retry_after is None


@pytest.mark.parametrize("text", ["1e11", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "nan", "Infinity"])
def test_a_retry_after_header_is_ignored_as_well(text: str) -> None:
    assert seconds_of_retry_after(text) is None


@pytest.mark.parametrize("value", [5, {}, [], True])
def test_ids_of_an_error_are_texts(value: Any) -> None:
    wire = {"code": value, "message": "no", "request_id": value, "details": {"job_id": value}}
    fault = status_error(RawResponse(400, {"x-request-id": "req_1"}, b"", reason="Bad"))
    assert fault.request_id == "req_1"
    for fault in (frame_error(wire, value), DevoraError("no", code=value, request_id=value, job_id=value)):
        assert str(fault).startswith("no")
        assert (fault.code, fault.request_id, fault.job_id) == (None, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://u:secret@host",
        "http://u:se/secret@host",
        "http://u:se#secret@host",
        "http://u:a@secret@host",
        "http://host?key=secret",
        "http://host/v1#secret",
        "u:secret@host",
    ],
)
def test_a_wrong_base_url_is_shown_without_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid base URL") as refused:
        DevoraClient("k", url)
    assert "secret" not in str(refused.value)
    assert "host" in str(refused.value)


def test_words_of_a_server_write_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    error = {"code": "x\n2026 devora INFO forged\x1b[2J\u202e\x9b", "message": "no"}
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(503, json={"error": error})))
    client = DevoraClient("k", "http://mock", http_client=http, max_retries=1)
    client._transport.config.backoff = 0.001
    with caplog.at_level(logging.INFO, log.name), pytest.raises(DevoraError):
        client.agents.list()
    (record,) = [each for each in caplog.records if each.name == log.name and each.levelno == logging.INFO]
    assert record.getMessage().isprintable()
    assert r"x\n2026 devora INFO forged\x1b[2J\u202e\x9b" in record.getMessage()


SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
BODY = '{"type": "job.completed", "data": {"text": "é"}}'.encode()
SENT_AT = datetime(2026, 1, 1, tzinfo=UTC)
NOW = SENT_AT.timestamp()
HEADERS = signing.headers("whd_1", SENT_AT, BODY, [SECRET])


@pytest.mark.parametrize("body", [BODY, BODY.decode(), bytearray(BODY), memoryview(BODY)])
@pytest.mark.parametrize(
    "headers",
    [
        HEADERS,
        list(HEADERS.items()),
        [(name.encode(), value.encode()) for name, value in HEADERS.items()],
        {name: [value] for name, value in HEADERS.items()},
    ],
)
def test_a_delivery_is_genuine_in_every_form(body: Any, headers: Any) -> None:
    for secret in (SECRET, SECRET.encode()):
        assert webhooks.unwrap(body, headers, secret, now=NOW).id == "whd_1"
        assert webhooks.verify_webhook(body, HEADERS["X-Devora-Signature"], secret)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", []])
def test_a_delivery_without_a_header_is_not_genuine(missing: str, value: Any) -> None:
    with pytest.raises(WebhookVerificationError, match="are needed"):
        webhooks.verify(BODY, {**HEADERS, missing: value}, SECRET, now=NOW)


def test_a_signature_that_is_missing_is_none() -> None:
    assert not webhooks.verify_webhook(BODY, None, SECRET)
    assert not webhooks.verify_webhook(BODY, HEADERS["X-Devora-Signature"], b"")


@pytest.mark.parametrize("headers", [None, 5, [1]])
def test_headers_that_are_none_are_named(headers: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a mapping"):
        webhooks.verify(BODY, headers, SECRET)


@pytest.mark.parametrize("times", [{"tolerance": math.nan, "now": NOW}, {"now": math.nan}])
def test_a_time_that_is_no_number_accepts_nothing(times: dict[str, float]) -> None:
    with pytest.raises(WebhookVerificationError):
        webhooks.verify(BODY, HEADERS, SECRET, **times)
