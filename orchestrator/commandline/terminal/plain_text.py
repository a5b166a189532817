"""Text of others for a terminal: models, tools and callers must not be able to move its cursor or change its title."""

from orchestrator.domain.text import visible


def plain(text: str) -> str:
    """The text with every character that a terminal would obey shown as `�`."""
    return visible(text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(plain(text).split())
