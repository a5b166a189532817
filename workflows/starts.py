"""What the workflow of a job is started with, by the API and by other workflows alike."""

from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from orchestrator.domain import names
from orchestrator.domain.commands import JobInput
from orchestrator.domain.labels import JobLabel, JobPriority


def priority_of(job: JobInput) -> Priority:
    """Jobs of the same priority take turns by owner."""
    priority = JobPriority.of(job.priority or job.labels.get(JobLabel.PRIORITY, ""))
    return Priority(priority_key=priority.rank if priority else None, fairness_key=names.fairness_key(job.owner))


def search_attributes_of(job: JobInput) -> TypedSearchAttributes:
    """What operators find a job by."""
    values = {
        names.ATTRIBUTE_KIND: str(job.kind),
        names.ATTRIBUTE_DEFINITION: job.definition,
        names.ATTRIBUTE_OWNER: job.owner,
    }
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    return TypedSearchAttributes(pairs)
