"""Text of others for a terminal: models, tools and callers must not be able to move its cursor or change its title."""

import re
from typing import Final

# Control characters but tab and newline, and the marks that turn the direction of text.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """The text with every character that a terminal would obey shown as `�`."""
    return _UNSAFE.sub("\ufffd", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(plain(text).split())
