"""What the tier of a caller permits a job: high priority, a chosen model, a callback."""

from orchestrator.domain.access import Principal
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.labels import JobLabel, JobPriority
from orchestrator.domain.limits import TierLimits


def permitted(job: JobInput, principal: Principal, limits: TierLimits) -> JobInput:
    """The job with the priority that the tier permits. The label `priority` keeps the requested word.

    Raises `Forbidden` for a model, a length or a callback that the caller's tier does not include.
    """
    if not limits.overrides and (job.config.model is not None or job.config.max_tokens is not None):
        raise _forbidden(principal, "choose model or max_tokens", "configuration")
    if not limits.callbacks and job.webhook_url is not None:
        raise _forbidden(principal, "have a callback", "webhook_url")
    priority = JobPriority.of(job.labels.get(JobLabel.PRIORITY, ""))
    if priority is not None and priority.urgent and not (limits.high_priority or principal.admin):
        return job.model_copy(update={"priority": JobPriority.NORMAL.value})
    return job


def _forbidden(principal: Principal, what: str, field: str) -> Forbidden:
    return Forbidden(f"Jobs of the tier {principal.tier} may not {what}: leave it out of the request", field=field)
