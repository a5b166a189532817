"""Untrusted text for a terminal: models, tools and callers must not move its cursor or change its title."""

from orchestrator.domain.text import visible


def plain(text: str) -> str:
    """The text with every control character shown as `�`."""
    return visible(text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The text without control characters, on one line."""
    return " ".join(plain(text).split())
