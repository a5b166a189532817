"""Tokens and money of one agent call. An unknown price is None, never 0."""

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

# More than any call uses, and small enough that a database can sum many.
_MAX_TOKENS: Final = 1_000_000_000
_MAX_COST: Final = 1_000_000.0


class Usage(BaseModel):
    """The usage of one call. Costs are USD: `cost` by the agent's published price (D-030), `provider_cost` by the
    provider; None if unknown."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    provider_cost: float | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together (D-027)."""
        return self.prompt_tokens + self.completion_tokens

    def believable(self) -> "Usage":
        """The usage without impossible values: negative or enormous counts, costs that are not amounts.

        An impossible count becomes 0, and the costs that depend on it become unknown.
        """
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        corrected_counts = {name: 0 for name, count in counts.items() if not 0 <= count <= _MAX_TOKENS}
        costs = {"cost": self.cost, "provider_cost": self.provider_cost}
        corrected_costs = {
            name: None
            for name, cost in costs.items()
            if cost is not None and (corrected_counts or not 0 <= cost <= _MAX_COST)
        }
        return (
            self.model_copy(update={**corrected_counts, **corrected_costs})
            if corrected_counts or corrected_costs
            else self
        )

    @classmethod
    def total(cls, parts: "Iterable[Usage]") -> "Usage":
        """The sum of any number of usages."""
        total = cls()
        for part in parts:
            total = total.plus(part)
        return total

    def plus(self, other: "Usage") -> "Usage":
        """The sum. If one side's cost is unknown, the cost is the other side's; 0 and an unknown cost to the provider
        are unknown: a part that is free does not make the whole free."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=_sum(self.cost, other.cost),
            provider_cost=None if self._unpaid(other) else _sum(self.provider_cost, other.provider_cost),
        )

    def _unpaid(self, other: "Usage") -> bool:
        """Whether one side is free, and the provider's price of the other side's tokens is unknown."""
        sides = ((self, other), (other, self))
        return any(a.provider_cost is None and a.total_tokens and b.provider_cost == 0 for a, b in sides)

    def minus(self, other: "Usage") -> "Usage":
        """What is left without a part of it."""
        return Usage(
            prompt_tokens=max(0, self.prompt_tokens - other.prompt_tokens),
            completion_tokens=max(0, self.completion_tokens - other.completion_tokens),
            cost=_difference(self.cost, other.cost),
            provider_cost=_difference(self.provider_cost, other.provider_cost),
        )


def published_cost(total_tokens: int, per_1k_tokens: float) -> float:
    """`tokens / 1000 × per_1k_tokens`, the only charge of the published price (D-030, C-59)."""
    return round(total_tokens / 1000 * per_1k_tokens, 6)


def estimated_tokens(text: str) -> int:
    """The approximate number of tokens of a text: one for four bytes."""
    return -(-len(text.encode(errors="replace")) // 4)


def _sum(first_cost: float | None, second_cost: float | None) -> float | None:
    if first_cost is None or second_cost is None:
        return first_cost if second_cost is None else second_cost
    return round(first_cost + second_cost, 6)


def _difference(cost: float | None, part: float | None) -> float | None:
    return cost if cost is None or part is None else round(max(0.0, cost - part), 6)
