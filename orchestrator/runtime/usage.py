"""The usage of model requests: what providers counted, at the published price."""

from collections.abc import Sequence

from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RunUsage

from orchestrator.domain.agents import Agent
from orchestrator.domain.usage import Usage, published_cost
from orchestrator.runtime.results import without_implausible_counts


def usage_of(agent: Agent, run_usage: RunUsage, provider_cost: float | None) -> Usage:
    """The tokens that the provider counted. Without its count, the price is unknown."""
    reported = Usage(
        prompt_tokens=run_usage.input_tokens, completion_tokens=run_usage.output_tokens, provider_cost=provider_cost
    )
    usage = without_implausible_counts(reported, agent.id)
    if usage != reported or not usage.total_tokens:
        return usage
    return usage.model_copy(update={"cost": published_cost(usage.total_tokens, agent.pricing.per_1k_tokens)})


def provider_cost_of(responses: Sequence[ModelResponse]) -> float | None:
    """The provider's price of responses in USD, or None if one price is unknown (genai-prices)."""
    try:
        return round(sum(float(response.cost().total_price) for response in responses), 6)
    except (LookupError, ValueError):
        return None
