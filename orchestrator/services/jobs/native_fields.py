"""What a job used, in the fields of the native API, which deliveries use too (D-049, D-100)."""

from typing import Any

from orchestrator.domain.jobs import Job


def used(job: Job) -> dict[str, Any]:
    """What the job used: costs are USD, null where no price is known; `execution_time` is seconds, once ended."""
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
    """What the calls cost that the job took over from an earlier one: it is not charged again."""
    return {"reused_tokens": job.reused.total_tokens, "reused_cost": job.reused.cost}
