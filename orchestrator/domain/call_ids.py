"""The identity of one agent call: the id of its activity, and the idempotency key of its effects."""

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

# An author's activity can have any id: what follows the agent is a path only if it begins with a turn.
_STEP: Final = r"(?P<step>[^.\[\]#]+)(?:\[(?P<key>[^\[\]]+)\])?"
_PATH: Final = r"(?:\.(?P<path>t[1-9]\d*(?:m[1-9]\d*)?(?:\.[A-Za-z0-9_]+)*))?"
_ID: Final = re.compile(rf"{_STEP}\.(?P<agent>[^#]+?)(?:#(?P<number>[2-9]|[1-9]\d+))?{_PATH}")
_PLACE: Final = re.compile(_STEP + _PATH)
# Also what `call_key` itself makes: a key is passed on, from a flow to its calls, and stays the same.
_SAFE: Final = re.compile(r"[A-Za-z0-9_:@-][A-Za-z0-9_.:@-]{0,63}|[A-Za-z0-9_.:@-]{0,64}-[0-9a-f]{8}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:@-]")
_KEY_LENGTH: Final = 64
_HASH_LENGTH: Final = 8

CallKey = tuple[str, str, str, int]
"""Step, key, agent, and the number of their call: one call of a job, with all its turns and tool calls."""


class CallId(NamedTuple):
    """One agent call, or with a `path` one turn or tool call of it. Its text is the id of the activity.

    `write.writer` is the first call of the agent `writer` in the step `write`, `write.writer#2` the second one.
    `work[alpha].worker` is the call for the item `alpha`, `write[2/alpha].writer` the one in round 2 for that item.
    `desk.support.t7` is the seventh turn of a call, `desk.support.t7.2` the second tool call of that turn.
    """

    step: str
    agent: str
    number: int = 1
    key: str = ""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The id with that text, or None for the id of any other activity."""
        match = _ID.fullmatch(text)
        if match is None:
            return None
        return cls(match["step"], match["agent"], int(match["number"] or 1), match["key"] or "", match["path"] or "")

    def __str__(self) -> str:
        return f"{self._step}.{self.agent}{self._number}{f'.{self.path}' if self.path else ''}"

    @property
    def call(self) -> CallKey:
        """The call that the id belongs to, without its path."""
        return self.step, self.key, self.agent, self.number

    @property
    def place(self) -> str:
        """The step with its key and path: `write`, `work[alpha]`, or `desk.t7`. The index keeps it as one word."""
        return f"{self._step}{f'.{self.path}' if self.path else ''}"

    @property
    def caller(self) -> str:
        """The agent as a part of the path of a file: `writer`, `writer-2`, or `writer-alpha`."""
        number = f"-{self.number}" if self.number > 1 else ""
        return f"{self.agent}{f'-{self.key}'.replace('/', '-') if self.key else ''}{number}"

    @property
    def inner_key(self) -> str:
        """The key of the call of another agent that this tool call makes: `support.t3.1`, within the call's own key."""
        caller = self.agent if self.number == 1 else f"{self.agent}.{self.number}"
        return key_within(self.key, call_key(f"{caller}.{self.path}"))

    def effect_id(self, job_id: str) -> str:
        """The idempotency key: the same on each attempt, different for every other call, turn and tool call."""
        return f"{job_id}/{self._step}/{self.agent}{self._number}{f'/{self.path}' if self.path else ''}"

    @property
    def _step(self) -> str:
        return place_of(self.step, self.key)

    @property
    def _number(self) -> str:
        return f"#{self.number}" if self.number > 1 else ""


def call_key(parts: str | int | Iterable[str | int]) -> str:
    """A key in the form that ids can hold: `alpha`, `2`, or `2/alpha` for several parts.

    A part that is longer than 64 characters or has unsafe ones is shortened and gets a hash, so that it stays unique.
    """
    return "/".join(_safe(str(part)) for part in ([parts] if isinstance(parts, str | int) else parts))


def optional_key(parts: str | int | Iterable[str | int]) -> str:
    """The key of a call in workflow code: empty for `""`, which stands for no key."""
    return call_key(parts) if parts != "" else ""


def shortened_key(key: str) -> str:
    """The key that earlier releases gave a child job: a key of several parts became one part with a hash."""
    return _safe(key) if key else ""


def place_of(step: str, key: str) -> str:
    """A step with its key: `write`, or `work[alpha]`."""
    return f"{step}[{key}]" if key else step


def key_within(key: str, part: str | int) -> str:
    """The key of an item or a round within a key: `2/alpha` for the item `alpha` in round 2."""
    return f"{key}/{part}" if key else str(part)


def split_place(text: str) -> tuple[str, str, str]:
    """The step, the key and the path of a `place`."""
    match = _PLACE.fullmatch(text)
    return (match["step"], match["key"] or "", match["path"] or "") if match else (text, "", "")


def _safe(part: str) -> str:
    if _SAFE.fullmatch(part):
        return part
    digest = hashlib.sha256(part.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{_UNSAFE.sub('_', part)[:_KEY_LENGTH]}-{digest}"
