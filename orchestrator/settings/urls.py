"""Checks of URLs in the settings."""

import re
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


def refuse_wrong_database(url: str) -> None:
    """Raise `ValueError` for anything other than the URL of a SQLite file or of a PostgreSQL database."""
    if not re.match(r"(sqlite(\+\w+)?:///|postgres(ql)?(\+\w+)?://).", url):
        raise ValueError("expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
    if not url.startswith("sqlite"):
        refuse_spaces(url)
        match = re.fullmatch(r"[^/?]*//([^@]*@)?(\[[^\]@]*\]|[^:@/?]*)(:(\d+))?(/[^/?@]*)?(\?.*)?", url)
        if match is None or int(match[4] or 1) > LAST_PORT:
            raise ValueError(
                "expected postgresql://USER:PASSWORD@HOST:PORT/NAME; in a password write @ : / as %40 %3A %2F"
            )
