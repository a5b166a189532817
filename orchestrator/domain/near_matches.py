"""Finds the name that somebody probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_MAX_COMPARED = 100
"""Characters of a name that are compared: the time grows with their square."""


def near_match(name: str, names: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the most similar of the names; empty if none is similar."""
    matches = get_close_matches(name[:_MAX_COMPARED], [str(each) for each in names], n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""
