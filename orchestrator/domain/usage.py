"""Tokens and money of one agent call. An unknown price is None, never 0."""

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

# More than any call uses, and little enough that a database can add up many.
_MOST_TOKENS: Final = 1_000_000_000
_MOST_COST: Final = 1_000_000.0


class Usage(BaseModel):
    """What one call used. Costs are USD: `cost` from the agent's published price (D-030), `provider_cost` the
    provider's own; each None when not known."""

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
        """The same without what no call can have used: negative or enormous counts, costs that are no amount.

        A count that is left out is 0, and the price that depends on it is not known.
        """
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        wrong = {name: 0 for name, count in counts.items() if not 0 <= count <= _MOST_TOKENS}
        costs = {"cost": self.cost, "provider_cost": self.provider_cost}
        unknown = {
            name: None for name, cost in costs.items() if cost is not None and (wrong or not 0 <= cost <= _MOST_COST)
        }
        return self.model_copy(update={**wrong, **unknown}) if wrong or unknown else self

    @classmethod
    def total(cls, parts: "Iterable[Usage]") -> "Usage":
        """The sum of any number, added as `plus` does."""
        whole = cls()
        for part in parts:
            whole = whole.plus(part)
        return whole

    def plus(self, other: "Usage") -> "Usage":
        """The sum; a cost that one side does not know stays the other side's."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=_sum(self.cost, other.cost),
            provider_cost=_sum(self.provider_cost, other.provider_cost),
        )


def published_cost(total_tokens: int, per_1k_tokens: float) -> float:
    """`tokens / 1000 × per_1k_tokens`, the only charge of the published price (D-030, C-59)."""
    return round(total_tokens / 1000 * per_1k_tokens, 6)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: four bytes are taken as one."""
    return -(-len(text.encode(errors="replace")) // 4)


def _sum(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return left if right is None else right
    return round(left + right, 6)
