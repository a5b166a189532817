"""Reads JSON as models write it: inside prose, with line breaks in strings, with half an emoji."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import from_json

from orchestrator.domain.text import sound, sound_data

# A lone half of a surrogate pair as an escape. Escaped backslashes match first, so that `\\ud83d` stays text. At the
# end of a streamed text, the other half may still follow.
_ESCAPES: Final = re.compile(
    r"""(?i)\\\\
    | \\ud[89ab][0-9a-f]{2} (?: \\ud[c-f][0-9a-f]{2} | (?: \\ (?: u (?: d (?: [c-f][0-9a-f]{0,1} )? )? )? )? \Z )
    | (?P<lone> \\ud[89a-f][0-9a-f]{2} )""",
    re.VERBOSE,
)
_BEGINNING: Final = re.compile(r'\{\s*["}]')
# Each try reads the text once at most. This limits the cost of a hostile text.
_MAX_TRIES: Final = 50
# Not strict: models write line breaks inside strings.
_READER: Final = json.JSONDecoder(strict=False)


def sound_escapes(text: str) -> str:
    """Replace lone halves of surrogate pairs, raw or escaped, by U+FFFD."""
    return _ESCAPES.sub(lambda match: r"\ufffd" if match["lone"] else match[0], sound(text))


def repaired(text: str) -> str:
    """The object in a text as JSON that a strict parser accepts, or the text if there is none."""
    text = sound_escapes(text)
    try:
        value = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return text
    # Some models write the object into a list, or as JSON inside a string.
    return next(objects(value if isinstance(value, str) else text), text)


def objects(text: str) -> Iterator[str]:
    """The outermost JSON objects in a text, in order, each as JSON that a strict parser accepts."""
    at = 0
    for _ in range(_MAX_TRIES):
        match = _BEGINNING.search(text, at)
        if match is None:
            return
        try:
            value, at = _READER.raw_decode(text, match.start())
            yield _to_json(value)
        except (ValueError, RecursionError):  # Not JSON, or nested too deeply.
            at = match.start() + 1


def _to_json(value: Any) -> str:
    return json.dumps(sound_data(value), ensure_ascii=False)
