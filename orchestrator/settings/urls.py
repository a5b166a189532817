"""Checks of URLs in the settings."""

from typing import Final
from urllib.parse import urlsplit

LAST_PORT: Final = 65_535


def refuse_wrong_url(url: str, form: str, schemes: tuple[str, ...]) -> None:
    """Raises `ValueError` for a URL that does not have the expected form."""
    refuse_spaces(url)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname or parts.scheme == "unix") and parts.port != 0
    except ValueError:  # the port is not a number, or the address in brackets is invalid
        valid = False
    if not valid:
        raise ValueError(f"expected {form}")


def refuse_spaces(url: str) -> None:
    """Raises `ValueError` for a URL with spaces or invisible characters."""
    if not url.isprintable() or " " in url:
        raise ValueError("a URL must not contain spaces or line breaks; write a space as %20")
