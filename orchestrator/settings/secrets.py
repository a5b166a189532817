"""How long secrets of the settings must be at least."""

from typing import Final

# The fewest bytes of secrets that somebody might guess, and what to do instead.
_MAKE_ONE: Final = "make one with `openssl rand -hex 32`"
_LEAST_BYTES: Final = {
    "jwt_secret_key": (32, _MAKE_ONE),
    "admin_api_key": (16, _MAKE_ONE),
    "admin_password": (8, "choose a longer one"),
}


def refuse_short(setting: str, secret: str) -> None:
    """Raises `ValueError` for a secret that somebody might guess."""
    least, remedy = _LEAST_BYTES[setting]
    size = len(secret.encode(errors="surrogateescape"))
    if size < least:
        raise ValueError(f"it has {size} bytes, which is too short: {least} are the least; {remedy}")
