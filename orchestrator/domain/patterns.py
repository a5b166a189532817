"""Matches regular expressions of others in time linear in the text.

Python's engine backtracks: one pattern and forty characters can hold a process for ever, and its interpreter lock too.
Rust's engine, which pydantic brings along, never backtracks. It has no look-around and no backreferences.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_PATTERN: Final = 2_000
"""Characters of a pattern."""
# A linear engine may still read each byte once for each place in the pattern: at least 25 million of these in a second.
_MAX_COST: Final = 60_000_000
_COST_OF_COMPILING: Final = 4_000
_TOKENS: Final = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*\]|\{(?P<low>\d{1,9})?(?P<comma>,(?P<high>\d{1,9})?)?\}|.", re.DOTALL
)


class UnsupportedPattern(ValueError):
    """A pattern that cannot be matched in linear time, or at all."""


class TooMuchWork(ValueError):
    """The text is too long for its pattern, or there are too many of them."""


@dataclass(slots=True)
class Patterns:
    """The patterns of one check, with a limit for all that is matched in it."""

    _left: int = _MAX_COST
    _compiled: dict[str, tuple[SchemaValidator, int]] = field(default_factory=dict)

    def matches(self, pattern: str, text: str) -> bool:
        """Whether the pattern occurs in the text. Raises `UnsupportedPattern`, `TooMuchWork`."""
        validator, size = self.compile(pattern)
        self._spend(len(text.encode(errors="replace")) * size, pattern)
        return validator.isinstance_python(text)

    def compile(self, pattern: str) -> tuple[SchemaValidator, int]:
        """The pattern, ready to match, and its size. Raises `UnsupportedPattern`, `TooMuchWork`."""
        cached = self._compiled.get(pattern)
        if cached is not None:
            return cached
        if len(pattern) > MAX_PATTERN:
            raise UnsupportedPattern(f"pattern {pattern[:40]!r}… has more than {MAX_PATTERN} characters")
        size = size_of(pattern)
        self._spend(size * _COST_OF_COMPILING, pattern)
        try:
            validator = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
        except SchemaError as error:
            reason = str(error).strip().splitlines()[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ")
            raise UnsupportedPattern(f"pattern {pattern[:200]!r} cannot be used: {reason}") from None
        self._compiled[pattern] = validator, size
        return validator, size

    def _spend(self, cost: int, pattern: str) -> None:
        self._left -= cost
        if self._left < 0:
            raise TooMuchWork(f"the texts are too long to be matched with patterns such as {pattern[:100]!r}")


def pattern_fault(pattern: str) -> str | None:
    """Why a pattern cannot be matched in linear time, or None."""
    try:
        Patterns().compile(pattern)
    except UnsupportedPattern as error:
        return str(error)
    except TooMuchWork:
        return f"pattern {pattern[:200]!r} repeats too much: use lower limits of repetition"
    return None


def size_of(pattern: str) -> int:
    """About how many places a pattern has, with counted repetitions written out. `(a{1,50}){1,50}` has 2500."""
    totals, last = [0], 0
    for token in _TOKENS.finditer(pattern):
        text = token.group()
        if text == "(":
            totals.append(0)
            last = 0
        elif text == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        elif text[0] == "{" and len(text) > 1:
            times = max(1, *(int(token[name] or 0) for name in ("low", "high")))
            totals[-1] += last * (times - 1)
            last *= times
        elif text not in ("*", "+", "?"):
            last = 1
            totals[-1] += 1
    return max(1, sum(totals))
