"""Masks secrets in texts, in every form in which a serializer, an address or a page writes them."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from orchestrator.domain.text import cut, sound

MASK: Final = "***"
_LINE_LIMIT: Final = 300
_HEXADECIMAL: Final = re.compile("%[0-9A-F]{2}")
_SECRETS: Final = re.compile(
    r"(?i)\b(?:sk|pk|rk)-[\w*.\-]{3,}"
    r"|\b(?:bearer|basic)\s+[^\s\"',}]+"
    r"|\b(?:x-)?(?:api[-_ ]?key|authorization|auth[-_ ]?token|password)\b[\"']?\s*[:=]\s*[\"']?[^\s\"',}]+"
)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets: as they are or escaped, even twice, for JSON, Python, an address or a page."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """One line of at most 300 characters, with `secrets` and anything that looks like a secret masked."""
    text = masked(sound(text), secrets)
    text = " ".join(_SECRETS.sub(MASK, text).split())
    return text if len(text) <= _LINE_LIMIT else text[: _LINE_LIMIT - 1] + "…"


@lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[str]:
    # Most secrets have only letters and digits, and one form.
    return frozenset(form for once in _escaped(secret) for form in _escaped(once) if form)


def _escaped(text: str) -> set[str]:
    addresses = [
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
    ]
    return {
        text,
        sound(text),
        cut(text, len(text) + 1),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        *(form[1:-1] for form in (repr(text), ascii(text))),
        # Python escapes a `'` only in a text that has a `"`, too.
        *(form[2:-1] for form in (repr(f'"{text}'), ascii(f'"{text}'))),
        *(form[2:-1] for form in (repr(text.encode(errors="replace")), repr(b'"' + text.encode(errors="replace"))[1:])),
        html.escape(text),
        *addresses,
        *(_HEXADECIMAL.sub(lambda match: match[0].lower(), each) for each in addresses),
    }
