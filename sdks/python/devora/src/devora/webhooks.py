"""Checks deliveries of webhooks: who sent them, and when."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import Any

from devora._responses import parsed
from devora.errors import WebhookVerificationError
from devora.models import WebhookEvent

TOLERANCE = 300.0
Headers = Mapping[str, Any] | Iterable[tuple[Any, Any]]
"""The headers of a request, as a mapping or as pairs."""
_PREFIX = "whsec_"


def unwrap(
    body: str | bytes | bytearray | memoryview,
    headers: Headers,
    secret: str | bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> WebhookEvent:
    """The event of a delivery, once its signature and its age are checked.

    `body` is the raw body, as it was received. `tolerance` is how many seconds the sender's clock may differ, or the
    delivery be old. Raises `WebhookVerificationError`.
    """
    message_id = verify(body, headers, secret, tolerance=tolerance, now=now)
    try:
        wire = parsed(body if isinstance(body, str) else bytes(body))
    except ValueError as fault:
        raise WebhookVerificationError("The body is not JSON") from fault
    if not isinstance(wire, dict):
        raise WebhookVerificationError("The body is not a JSON object")
    return WebhookEvent.from_wire({**wire, "id": message_id})


def verify(
    body: str | bytes | bytearray | memoryview,
    headers: Headers,
    secret: str | bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> str:
    """Check the Standard Webhooks headers of a delivery. Returns its id. Raises `WebhookVerificationError`."""
    if not secret:
        raise WebhookVerificationError("No webhook secret")
    if not isinstance(body, str | bytes | bytearray | memoryview):
        raise TypeError(f"body must be the raw body as it was received, not a {type(body).__name__}")
    lower = _lower(headers)
    message_id, sent_at, signatures = (lower.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent_at and signatures):
        raise WebhookVerificationError("The headers webhook-id, webhook-timestamp and webhook-signature are needed")
    if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) < 16):
        raise WebhookVerificationError(f"webhook-timestamp is not a Unix time: {sent_at[:40]!r}")
    age = (time.time() if now is None else now) - int(sent_at)
    if not abs(age) <= tolerance:  # also for a number that is none
        old = "too old" if age > 0 else "from the future"
        raise WebhookVerificationError(f"The delivery is {old}: {abs(age):.0f} seconds, {tolerance:g} are allowed")
    # What no text of a delivery holds is replaced, and so matches no signature.
    raw = body.encode(errors="replace") if isinstance(body, str) else bytes(body)
    signed = f"{message_id}.{sent_at}.".encode(errors="replace") + raw
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    # During a rotation there is one signature for each secret.
    matches = [hmac.compare_digest(expected, signature.encode(errors="replace")) for signature in signatures.split(" ")]
    if not any(matches):
        raise WebhookVerificationError("No signature matches: another secret, or a body that was changed")
    return message_id


def verify_webhook(payload: str | bytes | bytearray | memoryview, signature: str | None, secret: str | bytes) -> bool:
    """Whether `X-Devora-Signature` (`sha256=…`) is that of the body. It says nothing of the age: prefer `unwrap`."""
    if not isinstance(signature, str):  # the header is missing
        return False
    raw = payload.encode(errors="replace") if isinstance(payload, str) else bytes(payload)
    key = secret if isinstance(secret, bytes) else secret.encode()
    expected = "sha256=" + hmac.new(key, raw, hashlib.sha256).hexdigest()
    return bool(secret) and hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))


def _lower(headers: Headers) -> dict[str, str]:
    """The headers by name in lower case. Frameworks give texts or bytes, as a mapping or as pairs."""
    try:
        pairs = headers.items() if isinstance(headers, Mapping) else list(headers)
        return {_header_text(name).lower(): _header_text(value) for name, value in pairs}
    except (TypeError, ValueError) as fault:
        raise TypeError("headers must be a mapping, or pairs of name and value") from fault


def _header_text(value: Any) -> str:
    if isinstance(value, list | tuple):  # the values of a header that came several times
        return " ".join(map(_header_text, value))
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _key(secret: str | bytes) -> bytes:
    """`whsec_` and base64 stands for those bytes, any other secret for itself."""
    if isinstance(secret, bytes):
        secret = secret.decode(errors="surrogateescape")
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX).rstrip("=")
        try:
            return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or _bytes(secret)
        except (binascii.Error, ValueError):
            pass
    return _bytes(secret)


def _bytes(secret: str) -> bytes:
    return secret.encode(errors="surrogateescape")
