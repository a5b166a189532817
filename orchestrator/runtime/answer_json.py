"""JSON as models write it: between prose, with line breaks in its texts, with half an emoji."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import from_json

from orchestrator.domain.text import sound, sound_data

# A lone half of a surrogate pair as an escape. Escaped backslashes are matched first, so that `\\ud83d` stays text. At
# the end of what has arrived the other half may still be on its way.
_ESCAPES: Final = re.compile(
    r"""(?i)\\\\
    | \\ud[89ab][0-9a-f]{2} (?: \\ud[c-f][0-9a-f]{2} | (?: \\ (?: u (?: d (?: [c-f][0-9a-f]{0,1} )? )? )? )? \Z )
    | (?P<lone> \\ud[89a-f][0-9a-f]{2} )""",
    re.VERBOSE,
)
_BEGINNING: Final = re.compile(r'\{\s*["}]')
# Every try reads at most to the end, so that a hostile text costs no more than so many readings.
_MOST_TRIES: Final = 50
# Texts with line breaks in them, which strict parsers refuse.
_READER: Final = json.JSONDecoder(strict=False)


def sound_escapes(text: str) -> str:
    """Sound JSON text: lone halves of a surrogate pair are U+FFFD, whether written out or escaped."""
    return _ESCAPES.sub(lambda found: r"\ufffd" if found["lone"] else found[0], sound(text))


def mended(text: str) -> str:
    """The object in a text as JSON that a strict parser takes; the text if there is none."""
    text = sound_escapes(text)
    try:
        value = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return text
    # Some models write the object into a list, or as JSON within a text.
    return next(objects(value if isinstance(value, str) else text), text)


def objects(text: str) -> Iterator[str]:
    """The outermost JSON objects in a text, in order, each as JSON that a strict parser takes."""
    at = 0
    for _ in range(_MOST_TRIES):
        found = _BEGINNING.search(text, at)
        if found is None:
            return
        try:
            value, at = _READER.raw_decode(text, found.start())
            yield _written(value)
        except (ValueError, RecursionError):  # no JSON, or nothing that can be carried
            at = found.start() + 1


def _written(value: Any) -> str:
    return json.dumps(sound_data(value), ensure_ascii=False)
