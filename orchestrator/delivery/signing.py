"""Signs deliveries: Standard Webhooks headers, and the documented `sha256=` header and body field (D-101, C-53)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json
from standardwebhooks import Webhook

from orchestrator import __version__

_PREFIX: Final = "whsec_"


def signed_body(body: dict[str, Any], secrets: Sequence[str]) -> bytes:
    """The body to send: compact JSON in UTF-8. Its last key `signature` signs the JSON without that key (C-53).

    The newest secret signs. NaN and infinities, which JSON lacks, become null.
    """
    unsigned = to_json(body, inf_nan_mode="null")
    return to_json({**body, "signature": _sha256(unsigned, secrets[0])}, inf_nan_mode="null")


def headers(
    message_id: str, at: datetime, raw: bytes, secrets: Sequence[str], *, event: str | None = None
) -> dict[str, str]:
    """The headers of an attempt at the time `at`. `raw` is the body to send, `secrets` are ordered newest first.

    During a rotation both secrets sign: `webhook-signature` lists both signatures, and a receiver with the old secret
    can verify `X-Devora-Signature-Previous` (D-101).
    """
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    text = raw.decode()
    fields = {
        "Content-Type": "application/json",
        "User-Agent": f"orchestrator/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key_bytes(secret)).sign(message_id, at, text) for secret in secrets),
        "X-Devora-Signature": _sha256(raw, secrets[0]),
    }
    if len(secrets) > 1:
        fields["X-Devora-Signature-Previous"] = _sha256(raw, secrets[1])
    if event is not None:
        fields["X-Devora-Event"] = event
    return fields


def key_bytes(secret: str) -> bytes:
    """The Standard Webhooks key of a secret: the decoded bytes of `whsec_` and base64, else the secret itself.

    A secret that begins with `whsec_` without valid base64 is used as it is.
    """
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX).rstrip("=")
        try:
            return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or secret.encode()
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def _sha256(data: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
