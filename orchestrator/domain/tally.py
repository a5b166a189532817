"""Counts the tries of a call: the agent's attempts apart from the tries that a worker's death or stop ended.

Temporal counts all tries alike (decision 0019).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.names import AGENT_HELD_UP

# The error type of a try on a worker that lacks the agent: no attempt began, another worker may take the call.
UNKNOWN_AGENT: Final = "unknown_agent"
WORKER_LOST: Final = "worker_lost"
WORKER_SHUTDOWN: Final = "worker_shutdown"
# The error type of a try that a worker refused, because workers died during this call and during another one on it.
WORKER_SUSPECT: Final = "worker_suspect"
WORKER_STOPPED: Final = "worker_stopped"
# The error type of a try without tokens: other calls of its owner hold them (decision 0024).
TOKENS_HELD: Final = "tokens_held"
# A try with one of these error types began no attempt.
WAITED: Final = frozenset({UNKNOWN_AGENT, WORKER_SUSPECT, TOKENS_HELD})
# A try with one of these error types may have had its effect, or not.
CUT_OFF: Final = frozenset({WORKER_LOST, WORKER_SHUTDOWN, WORKER_STOPPED, "tool_timeout"})
# After so many dead workers a call is a suspect. A worker runs one suspect at a time.
SUSPECT_LIMIT: Final = 3
# The most workers that may die during one call: an agent that ends its process must not do so for ever.
LOST_LIMIT: Final = 5
# The most workers in a row that may stop during one call: an agent that stops its process must not do so for ever.
# The pauses between the tries grow, so that a rolling restart of many workers has ended by then.
STOPPED_LIMIT: Final = 10
# The most attempts of a call that other calls of its agent block.
HELD_LIMIT: Final = 50
# The most answers of one call that no store could keep.
UNKEPT_LIMIT: Final = 5

_OFFERS: Final = Backoff(1.0, 30.0, factor=1.5)
# Of two idle workers, the one without the agent gets a call ten times in a row once in a thousand cases.
_QUICK_OFFERS: Final = 10
_UNKEPT_PAUSES: Final = Backoff(5.0, 60.0)
_ORDINARY_STOPS: Final = 3  # After so few stops the call is retried at once.
_STOP_PAUSES: Final = Backoff(5.0, 60.0)
_UNKEPT = "unavailable"
_SHORTEST_TOKEN_WAIT: Final = 1.0
_MAX_TOKEN_WAIT: Final = 5.0

# `held`: an operator paused the call, or another call of its agent blocked its event loop.
End = Literal["waited", "failed", "unkept", "stopped", "held"]


class Tally(BaseModel):
    """The count of a call's tries. A try that ends by itself passes it on; tries that it does not count were cut off.

    `attempts` are the tries in which the agent began. Of these, `failures` failed in the agent, in `lost` the worker
    died, and `unkept` had an answer that no store could keep. In the last `stopped` of them the worker stopped. If the
    last tries only waited for tokens, `for_tokens_since` is the start of the wait. `usd` is what attempts without an
    answer have cost.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tries: int = 0
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    unkept: int = 0
    stopped: int = 0
    for_tokens_since: datetime | None = Field(default=None, exclude_if=lambda since: since is None)
    usd: float = Field(default=0.0, exclude_if=lambda usd: not usd)

    @classmethod
    def of(cls, details: Any) -> "Tally | None":
        """The tally in the details of a heartbeat or a failure; None if there is none."""
        try:
            return cls.model_validate(details["tally"]) if isinstance(details, Mapping) and "tally" in details else None
        except ValidationError:
            return None

    def number(self, tries: int) -> int:
        """The number of the attempt in Temporal's try of that number."""
        was_reset = tries < self.tries  # An operator reset the activity, to allow as many attempts again.
        return self.attempts + tries - (0 if was_reset else self.tries)

    def missing(self, tries: int) -> int:
        """How many tries before that one ended without a tally."""
        return max(0, tries - 1 - self.tries)

    def before(self, tries: int, error: str | None) -> Self:
        """The tally at the start of Temporal's try of that number. `error` is Temporal's error type of the try before.

        It counts for all tries that ended without a tally.
        """
        if self.tries >= tries:
            return type(self)(tries=tries - 1, attempts=self.attempts, usd=self.usd)
        missing = self.missing(tries)
        if error is None or error == "heartbeat_timeout":
            ended = {"lost": self.lost + missing}
        elif error.lower() == _UNKEPT:
            ended = {"unkept": self.unkept + missing}
        else:
            ended = {"failures": self.failures + missing}
        return self.model_copy(update={"tries": tries - 1, "attempts": self.attempts + missing, **ended})

    def after(self, end: End) -> Self:
        """The tally after the current try has ended."""
        return self.model_copy(
            update={
                "tries": self.tries + 1,
                "attempts": self.attempts + (end != "waited"),
                "failures": self.failures + (end == "failed"),
                "unkept": self.unkept + (end == "unkept"),
                "stopped": self.stopped + 1 if end == "stopped" else self.stopped if end == "waited" else 0,
                "for_tokens_since": self.for_tokens_since if end == "waited" else None,
            }
        )

    def billed(self, usd: float | None) -> Self:
        """The tally once the current try has cost that much, and has no answer."""
        return self.model_copy(update={"usd": self.usd + usd}) if usd else self

    def waits_for_tokens(self, at: datetime) -> Self:
        """The tally while the current try waits for tokens."""
        return self.model_copy(update={"for_tokens_since": self.for_tokens_since or at})

    def waited_for_tokens(self, at: datetime) -> timedelta:
        """How long the call has waited for tokens."""
        return at - (self.for_tokens_since or at)

    @property
    def wait(self) -> float:
        """Seconds until a call that no worker knew is offered again: one at first, because another worker may know the
        agent; later up to 30.
        """
        return _OFFERS.pause(self.tries - self.attempts - _QUICK_OFFERS + 1)

    def token_wait(self, at: datetime) -> float:
        """Seconds until a call asks again for tokens: one at first, more after a longer wait."""
        waited = self.waited_for_tokens(at).total_seconds()
        return min(max(_SHORTEST_TOKEN_WAIT, waited / 2), _MAX_TOKEN_WAIT)

    @property
    def stopped_wait(self) -> float:
        """Seconds until a call that a stopping worker cut off is retried: one at first, then growing."""
        if self.stopped <= _ORDINARY_STOPS:
            return 1.0
        return _STOP_PAUSES.pause(self.stopped - _ORDINARY_STOPS)

    @property
    def unkept_wait(self) -> float:
        """Seconds until a call whose answer could not be stored is retried."""
        return _UNKEPT_PAUSES.pause(self.unkept + 1)


def end_of(kind: str) -> End:
    """The end of a try that raised an error of that kind."""
    return "unkept" if kind == _UNKEPT else "held" if kind == AGENT_HELD_UP else "failed"
