"""How often a call was tried, and what became of each try: the agent's own attempts apart from what befell workers.

Temporal counts tries and makes no difference between them (decision 0019).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.names import AGENT_HELD_UP

# What a worker that lacks the agent says of a call: nothing has begun, another worker may take it.
UNKNOWN_AGENT: Final = "unknown_agent"
WORKER_LOST: Final = "worker_lost"
WORKER_SHUTDOWN: Final = "worker_shutdown"
# What a worker says of a call that is not to run beside another over which workers died, too.
WORKER_SUSPECT: Final = "worker_suspect"
WORKER_STOPPED: Final = "worker_stopped"
# What a worker says of a call whose owner's other calls hold the tokens that it needs (decision 0024).
TOKENS_HELD: Final = "tokens_held"
# The tries that failed like this began no attempt.
WAITED: Final = frozenset({UNKNOWN_AGENT, WORKER_SUSPECT, TOKENS_HELD})
# Over how many dead workers a call becomes a suspect: one of each worker's suspects runs at a time.
SUSPECT_LIMIT: Final = 3
# How many workers may die over one call: an agent that ends its process must not end it for ever.
LOST_LIMIT: Final = 5
# How many workers in a row may be told to stop during one call: an agent that has its process stopped must not do so
# for ever. Restarts of many workers, one after another, are over by then: the pauses between the tries grow.
STOPPED_LIMIT: Final = 10
# How many attempts a call may have that others of its agent hold up.
HELD_LIMIT: Final = 50
# How many answers of one call may find no store that keeps them.
UNKEPT_LIMIT: Final = 5

_OFFERS: Final = Backoff(1.0, 30.0, factor=1.5)
# Of two idle workers, the one without the agent gets a call as often by chance once in a thousand times.
_QUICK_OFFERS: Final = 10
_UNKEPT_PAUSES: Final = Backoff(5.0, 60.0)
_ORDINARY_STOPS: Final = 3  # A call that was cut off as often is made again at once.
_STOP_PAUSES: Final = Backoff(5.0, 60.0)
_UNKEPT = "unavailable"
_SHORTEST_TOKEN_WAIT: Final = 1.0
_LONGEST_TOKEN_WAIT: Final = 5.0

# `held`: an operator paused the call, or another call of its agent blocked the loop that it ran in.
End = Literal["waited", "failed", "unkept", "stopped", "held"]


class Tally(BaseModel):
    """What is known of a call's tries. Each try that ends by itself hands it on; what it does not cover was cut off.

    `attempts` are the tries in which the agent began: the agent itself `failures` of them, workers died over `lost`,
    and `unkept` had an answer that no store took. In the last `stopped` of them the worker was told to stop. A call
    whose last tries only waited for tokens does so `for_tokens_since` a time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tries: int = 0
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    unkept: int = 0
    stopped: int = 0
    for_tokens_since: datetime | None = Field(default=None, exclude_if=lambda since: since is None)

    @classmethod
    def of(cls, told: Any) -> "Tally | None":
        """The tally in the details of a heartbeat or a failure; None where there is none."""
        try:
            return cls.model_validate(told["tally"]) if isinstance(told, Mapping) and "tally" in told else None
        except ValidationError:
            return None

    def number(self, tries: int) -> int:
        """Which attempt Temporal's try of that number is."""
        set_back = tries < self.tries  # By an operator, to give the agent as many again.
        return self.attempts + tries - (0 if set_back else self.tries)

    def missing(self, tries: int) -> int:
        """How many tries before that one ended without a word."""
        return max(0, tries - 1 - self.tries)

    def before(self, tries: int, error: str | None) -> Self:
        """The tally as Temporal's try of that number begins; `error` is what Temporal says of the one before.

        That word is taken for all that ended without one of their own.
        """
        if self.tries >= tries:
            return type(self)(tries=tries - 1, attempts=self.attempts)
        missing = self.missing(tries)
        if error is None or error == "heartbeat_timeout":
            ended = {"lost": self.lost + missing}
        elif error.lower() == _UNKEPT:
            ended = {"unkept": self.unkept + missing}
        else:
            ended = {"failures": self.failures + missing}
        return self.model_copy(update={"tries": tries - 1, "attempts": self.attempts + missing, **ended})

    def after(self, end: End) -> Self:
        """The tally once the try that just began has ended like this."""
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

    def waits_for_tokens(self, at: datetime) -> Self:
        """The tally while the try that just began has no tokens."""
        return self.model_copy(update={"for_tokens_since": self.for_tokens_since or at})

    def waited_for_tokens(self, at: datetime) -> timedelta:
        """How long the call has waited for tokens."""
        return at - (self.for_tokens_since or at)

    @property
    def wait(self) -> float:
        """Seconds until a call that no worker knew is offered again: a second at first, since another worker may know
        its agent; then every half a minute.
        """
        return _OFFERS.pause(self.tries - self.attempts - _QUICK_OFFERS + 1)

    def token_wait(self, at: datetime) -> float:
        """Seconds until a call looks again for tokens: a second at first, and longer the longer it has waited."""
        waited = self.waited_for_tokens(at).total_seconds()
        return min(max(_SHORTEST_TOKEN_WAIT, waited / 2), _LONGEST_TOKEN_WAIT)

    @property
    def stopped_wait(self) -> float:
        """Seconds until a call is made again that stopping workers cut off: at once at first, then ever later."""
        if self.stopped <= _ORDINARY_STOPS:
            return 1.0
        return _STOP_PAUSES.pause(self.stopped - _ORDINARY_STOPS)

    @property
    def unkept_wait(self) -> float:
        """Seconds until a call whose answer was not kept is made again."""
        return _UNKEPT_PAUSES.pause(self.unkept + 1)


def end_of(kind: str) -> End:
    """How a try ended that raised an error of that kind."""
    return "unkept" if kind == _UNKEPT else "held" if kind == AGENT_HELD_UP else "failed"
