"""What an agent call and the agents that it calls as tools have spent, against the limits of all of them."""

from dataclasses import dataclass
from typing import Optional


@dataclass(slots=True)
class Spending:
    """USD of one agent call, and of every call for it. `above` is that of the agent whose tool this call is."""

    above: Optional["Spending"] = None
    usd: float = 0.0
    limit: float | None = None

    @property
    def depth(self) -> int:
        """How many agents above this one called an agent for it."""
        return self.above.depth + 1 if self.above else 0

    def add(self, usd: float | None) -> None:
        """Count the cost of one request here, and for every agent above."""
        self.usd += usd or 0.0
        if self.above:
            self.above.add(usd)

    def is_over(self) -> bool:
        """Whether the limit of this call, or of an agent above, is reached."""
        if self.limit is not None and self.usd >= self.limit:
            return True
        return self.above is not None and self.above.is_over()
