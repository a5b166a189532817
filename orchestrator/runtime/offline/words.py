"""Turns free text into one clean line, a sentence, or a name that code can carry."""

import keyword
import re
import unicodedata
from typing import Final

_STOP_WORDS: Final = (
    "a an the and or of for to in on with by from as at is are be can could should must shall will may via per "
    "into over that this these those it its their our your we i you they user users able allow allows allowing "
    "want wants need needs new all each every any support supports supporting provide provides build create add "
    "make have has use using simple full basic please so least une des les pour avec "
    "how what which who whom whose where when why does did been was were since after before while during than then "
    "browse view manage search see get read list update delete send receive track show handle enable"
)
_STOP: Final = frozenset(_STOP_WORDS.split())
_PLURAL_ES: Final = ("s", "x", "ch", "sh")


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
    """The two leading words of substance as a name: `Users can browse products` gives `browse_products`."""
    meaning = [word for word in ascii_words(text) if len(word) > 2 and word not in _STOP and not word.isdigit()]
    return snake(" ".join(meaning[:2]), default)


def kebab(name: str) -> str:
    """`shopping_cart` as `shopping-cart`."""
    return name.strip("_").replace("_", "-")


def pascal(name: str) -> str:
    """`shopping_cart` as `ShoppingCart`."""
    return "".join(part.capitalize() for part in name.split("_") if part)


def plural(name: str) -> str:
    """`category` as `categories`; a name that ends in a plain `s` counts as plural already."""
    name = name.strip("_")
    if name.endswith("s") and not name.endswith("ss"):
        return name
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(_PLURAL_ES) else f"{name}s"


def ended(text: str) -> str:
    """A text with a mark at its end."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def sentences(text: str) -> list[str]:
    """The sentences, lines and bullet points of a text, cleaned, without empty ones."""
    parts = re.split(r"(?<=[.!?])\s+|[\n;]+", text)
    lines = (clean(part, 200).lstrip("-*•0123456789.) ").rstrip(".;, ") for part in parts)
    return [line for line in lines if len(line) > 2]
