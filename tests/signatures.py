"""How the documents check the signature of a webhook (D-101)."""

import hashlib
import hmac


def verify_webhook(payload: str, signature: str, secret: str) -> bool:
    """Whether `X-Devora-Signature` is the HMAC of the payload under the secret."""
    expected = "sha256=" + hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())
