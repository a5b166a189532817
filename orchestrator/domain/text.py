"""Makes foreign text safe to store, send and show (decision 0018). Pure."""

import re
from typing import Any, Final

MESSAGE_LIMIT: Final = 2000
NAME_LIMIT: Final = 100
MAX_CAUSES: Final = 4
# JSON parsers stop at about 200 levels, and a result wraps an answer in more levels.
MAX_LEVELS: Final = 100
# Python refuses to print longer integers, and databases refuse them.
_MAX_BITS: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Characters that control a terminal, except tab and newline, or that change the direction or the lines of text.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Characters of links, pictures, HTML and code in Markdown, and their replacements.
_MARKUP: Final = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "`": "'"})
_ADDRESS: Final = re.compile(r"(?i)(://|www\.|@)")
_CUT: Final = re.compile(r"… \((\d+) characters more\)\Z")
_ROOM_FOR_COUNT: Final = 40


def sound(text: str) -> str:
    """Text that every store and protocol accepts: surrogate pairs are joined, lone ones become U+FFFD, NUL goes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "")


def cut(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Sound text without control characters, of at most `limit` characters. Its end says how many were cut off."""
    unseen = max(0, len(text) - 2 * limit)  # Scanning megabytes would block the event loop.
    text = _CONTROL.sub("", sound(text[: 2 * limit]))
    if len(text) <= limit and not unseen:
        return text
    before = _CUT.search(text)
    message = text[: before.start()] if before else text
    beginning = message[: limit - _ROOM_FOR_COUNT]
    more = len(message) - len(beginning) + unseen + (int(before[1]) if before else 0)
    return f"{beginning}… ({more} characters more)"


def name(text: str, limit: int = NAME_LIMIT) -> str:
    """One line of at most `limit` printable characters; empty only if there is none."""
    line = " ".join(_CONTROL.sub("", sound(text[: 2 * limit])).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def inert(text: str) -> str:
    """The text for a page of Markdown: links, pictures, HTML and code in it have no effect."""
    return _ADDRESS.sub(r"\1 ", text.translate(_MARKUP))


def visible(text: str) -> str:
    """The text with `�` for every character that controls a terminal."""
    return _UNSAFE.sub("\ufffd", text)


def escaped_json(document: str) -> str:
    """The same JSON, with an escape for every character that controls a terminal."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def headline(text: str, limit: int = 200) -> str:
    """One line of at most `limit` bytes, as Temporal requires of a summary."""
    line = name(text, limit)
    while len(line.encode()) > limit:
        line = line[: len(line) * 3 // 4].rstrip("…") + "…"
    return line


def error_name(error: BaseException) -> str:
    """The class name of an exception: the stable word of its kind."""
    return name(type(error).__name__) or "error"


def cause_of(error: BaseException) -> BaseException | None:
    """The cause of an error, as Python shows it in a traceback."""
    return error.__cause__ if error.__cause__ is not None or error.__suppress_context__ else error.__context__


def error_message(error: BaseException) -> str:
    """The text of an exception, cut. If its `__str__` fails, a sentence that says so."""
    return cut(whole_message(error))


def whole_message(error: BaseException) -> str:
    """The text of an exception, however long. If its `__str__` fails, a sentence that says so."""
    try:
        return str(error)
    except BaseException as fault:  # noqa: BLE001 - the edge of an author's code, which may even exit
        return f"its text cannot be read ({error_name(fault)})"


def sound_data(value: Any, levels: int = MAX_LEVELS) -> Any:
    """JSON data with sound texts. NaN and infinities become null, because JSON lacks them.

    Raises `ValueError` for data that is more than `levels` levels deep or has enormous integers.
    """
    match value:
        case str():
            return sound(value)
        case bool() | None:
            return value
        case int():
            if value.bit_length() > _MAX_BITS:
                raise ValueError(f"it holds an integer of {value.bit_length()} bits")
            return value
        case float():
            return value if float("-inf") < value < float("inf") else None
        case _ if levels == 0:
            raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")
        case dict():
            return {
                sound(key) if isinstance(key, str) else key: sound_data(item, levels - 1) for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [sound_data(item, levels - 1) for item in value]
        case _:
            return value
