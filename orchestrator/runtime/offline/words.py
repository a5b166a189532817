"""Converts free text into a clean line, sentences, or a name for code."""

import keyword
import re
import unicodedata
from typing import Final

_STOP_WORDS: Final = (
    "a an the and or of for to in on with by from as at is are be can could should must shall will may "
    "into that this their our your user users able all each every how what which who when where why"
)
_STOP: Final = frozenset(_STOP_WORDS.split())


def clean(text: str, limit: int = 400) -> str:
    """One printable line of at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def ascii_words(text: str) -> list[str]:
    """The lower-case ASCII words of a text, accents folded."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", folded.lower())


def snake(text: str, default: str, words: int = 4) -> str:
    """A name such as `shopping_cart`: a valid identifier, never a Python keyword."""
    name = "_".join(ascii_words(text)[:words])[:40].strip("_")
    if not name:
        return default
    if name[0].isdigit():
        name = f"n{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def topic(text: str, default: str) -> str:
    """The first two significant words as a name: `Users can browse products` becomes `browse_products`."""
    significant_words = [
        word for word in ascii_words(text) if len(word) > 2 and word not in _STOP and not word.isdigit()
    ]
    return snake(" ".join(significant_words[:2]), default)


def kebab(name: str) -> str:
    """`shopping_cart` as `shopping-cart`."""
    return name.strip("_").replace("_", "-")


def sentences(text: str) -> list[str]:
    """The sentences, lines and bullet points of a text, cleaned, without empty ones."""
    parts = re.split(r"(?<=[.!?])\s+|[\n;]+", text)
    lines = (clean(part, 200).lstrip("-*•0123456789.) ").rstrip(".;, ") for part in parts)
    return [line for line in lines if len(line) > 2]
