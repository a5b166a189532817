"""Growing pauses between tries: one way to compute them; callers differ in their parameters alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that begin with `first` seconds and grow by `factor` up to `longest`."""

    first: float
    longest: float
    factor: float = 2.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row; the first pause for one failure or fewer."""
        seconds = min(self.first, self.longest)
        # Step by step: a power overflows for an operation that has failed for days.
        for _ in range(failures - 1):
            if seconds >= self.longest or self.factor == 1:
                break
            seconds = min(seconds * self.factor, self.longest)
        return seconds

    def pauses(self) -> Iterator[float]:
        """The pauses one after another, without end."""
        failures = 0
        while True:
            failures += 1
            yield self.pause(failures)


def jittered(seconds: float, share: float, uniform: Callable[[float, float], float]) -> float:
    """A pause that is up to `share` shorter or longer, so that clients that failed together do not return together.

    `uniform` draws a number between two: in a workflow, from the workflow's own generator.
    """
    return seconds * uniform(1 - share, 1 + share)
