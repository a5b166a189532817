"""Tokens and money of one agent call. An unknown price is None, never 0."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


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


def _sum(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return left if right is None else right
    return round(left + right, 6)
