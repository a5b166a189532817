"""What a URL in the settings must look like."""

from typing import Final
from urllib.parse import urlsplit

LAST_PORT: Final = 65_535


def refuse_wrong_url(url: str, form: str, schemes: tuple[str, ...]) -> None:
    """Raises `ValueError` with the form of a URL that this one has not."""
    refuse_spaces(url)
    try:
        parts = urlsplit(url)
        known = parts.scheme in schemes and bool(parts.hostname or parts.scheme == "unix") and parts.port != 0
    except ValueError:  # of a port that is no number, or of an address in brackets that is none
        known = False
    if not known:
        raise ValueError(f"it takes {form}")


def refuse_spaces(url: str) -> None:
    """Raises `ValueError` for a URL with spaces or what cannot be seen."""
    if not url.isprintable() or " " in url:
        raise ValueError("a URL has no spaces and no line breaks; write a space as %20")
