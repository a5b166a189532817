"""Signatures of deliveries: Standard Webhooks, and the documented ones in header and body."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from orchestrator.delivery.signing import headers, key_bytes, signed_body
from tests.ledger import ledger
from tests.signatures import verify_webhook

SPEC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SPEC_AT = datetime.fromtimestamp(1614265330, UTC)
SPEC_BODY = b'{"test": 2432232314}'
SPEC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

BODY: dict[str, Any] = {
    "event": "job.completed",
    "job_id": "wf_job_1",
    "timestamp": "2026-01-01T00:00:00Z",
    "data": {"status": "completed", "output": {"text": "grün ✓ <b>&"}, "metrics": {"cost": 1.0}},
}
SECRETS = [SPEC_SECRET, "webhook_secret_key", "whsec_", "whsec_no base64!", "clé", "x"]


def signed(*secrets: str) -> tuple[bytes, dict[str, str]]:
    raw = signed_body(BODY, secrets)
    return raw, headers("msg_1", datetime.now(UTC), raw, secrets, event="job.completed")


def test_the_specification_s_example_is_signed_alike():
    sent = headers(SPEC_ID, SPEC_AT, SPEC_BODY, [SPEC_SECRET])
    assert sent["webhook-id"] == SPEC_ID
    assert sent["webhook-timestamp"] == "1614265330"
    assert sent["webhook-signature"] == SPEC_SIGNATURE


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8)), None])
def test_the_zone_of_the_time_changes_nothing(zone: timezone | None):
    at = SPEC_AT.astimezone(zone) if zone else SPEC_AT.replace(tzinfo=None)
    assert headers(SPEC_ID, at, SPEC_BODY, [SPEC_SECRET]) == headers(SPEC_ID, SPEC_AT, SPEC_BODY, [SPEC_SECRET])


@pytest.mark.parametrize("secret", SECRETS)
def test_the_library_of_receivers_verifies(secret: str):
    raw, sent = signed(secret)
    assert Webhook(key_bytes(secret)).verify(raw, sent) == json.loads(raw)
    with pytest.raises(WebhookVerificationError):
        Webhook(key_bytes(secret)).verify(raw.replace(b"completed", b"cancelled"), sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another").verify(raw, sent)


def test_a_secret_made_by_us_needs_no_translation_in_the_library():
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    raw, sent = signed(secret)
    assert Webhook(secret).verify(raw, sent)
    assert key_bytes(secret.rstrip("=")) == bytes(range(32))


@ledger("D-101")
@pytest.mark.parametrize("secret", SECRETS)
def test_the_documented_function_verifies_the_header(secret: str):
    raw, sent = signed(secret)
    payload, signature = raw.decode(), sent["X-Devora-Signature"]
    assert signature == "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    assert verify_webhook(payload, signature, secret)
    assert not verify_webhook(payload + " ", signature, secret)
    assert not verify_webhook(payload, signature.removeprefix("sha256="), secret)
    assert not verify_webhook(payload, signature, secret + "x")


@ledger("D-101")
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_forged_signature_is_false_and_no_fault(signature: str):
    assert not verify_webhook("{}", signature, "secret")


@ledger("D-100", "D-102", "C-53")
def test_the_body_s_signature_is_of_the_same_json_without_it():
    raw, _ = signed("newest", "older")
    body = json.loads(raw)
    assert list(body) == [*BODY, "signature"]
    unsigned = json.dumps({key: body[key] for key in BODY}, ensure_ascii=False, separators=(",", ":"))
    assert verify_webhook(unsigned, body["signature"], "newest")
    cut = raw.decode().replace(f',"signature":"{body["signature"]}"', "")
    assert cut == unsigned
    assert "signature" not in BODY


def test_what_json_cannot_say_becomes_null():
    raw = signed_body({"data": {"cost": float("nan"), "left": float("inf")}}, ["s"])
    assert json.loads(raw)["data"] == {"cost": None, "left": None}


def test_both_secrets_verify_during_a_rotation_and_one_after_it():
    raw, sent = signed("newest", "older")
    assert len(sent["webhook-signature"].split(" ")) == 2
    for secret in ("newest", "older"):
        assert Webhook(secret.encode()).verify(raw, sent)
    assert verify_webhook(raw.decode(), sent["X-Devora-Signature"], "newest")
    assert verify_webhook(raw.decode(), sent["X-Devora-Signature-Previous"], "older")
    _, after = signed("newest")
    assert "X-Devora-Signature-Previous" not in after


def test_the_headers_name_event_and_sender_and_no_secret():
    _, sent = signed("webhook_secret_key")
    assert sent["X-Devora-Event"] == "job.completed"
    assert sent["Content-Type"] == "application/json"
    assert sent["User-Agent"].startswith("orchestrator/")
    assert "webhook_secret_key" not in str(sent)


@pytest.mark.parametrize("secret", ["whsec_" + base64.b64encode(bytes(range(32))).decode(), "webhook_secret_key"])
@pytest.mark.parametrize("check", ["is_genuine", "is_signed"])
def test_the_documented_receiver_takes_what_is_signed_and_nothing_else(secret: str, check: str):
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    receiver: dict[str, Any] = {}
    exec(example, receiver)
    for secrets in ([secret], [secret, "older"], ["newest", secret]):
        raw, sent = signed(*secrets)
        received = {name.lower(): value for name, value in sent.items()}
        assert receiver[check](received, raw, secret)
        assert not receiver[check](received, raw, "another")
        assert not receiver[check](received, raw + b" ", secret)
