"""The usage of a job in the fields of the native API. Webhook deliveries use the same fields (D-049, D-100)."""

from typing import Any

from orchestrator.domain.jobs import Job


def used(job: Job) -> dict[str, Any]:
    """The usage of a job. Costs are USD, null for an unknown price. `execution_time` is seconds, null until the end."""
    usage, seconds = job.usage, job.duration
    return {
        "total_tokens": usage.total_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "execution_time": None if seconds is None else round(seconds, 3),
        "cost": usage.cost,
        "provider_cost": usage.provider_cost,
    }


def reused(job: Job) -> dict[str, Any]:
    """The usage of calls that the job reused from an earlier job. It is not charged again."""
    return {"reused_tokens": job.reused.total_tokens, "reused_cost": job.reused.cost}
