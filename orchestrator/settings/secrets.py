"""The minimum lengths of secrets in the settings."""

from typing import Final

# The minimum of bytes of secrets that could be guessed, and the remedy.
_CREATE: Final = "create one with `openssl rand -hex 32`"
_MINIMUM_BYTES: Final = {
    "jwt_secret_key": (32, _CREATE),
    "admin_api_key": (16, _CREATE),
    "admin_password": (8, "choose a longer one"),
}


def refuse_short(setting: str, secret: str) -> None:
    """Raises `ValueError` for a secret that is short enough to be guessed."""
    minimum, remedy = _MINIMUM_BYTES[setting]
    size = len(secret.encode(errors="surrogateescape"))
    if size < minimum:
        raise ValueError(f"it has {size} bytes, expected at least {minimum}: {remedy}")
