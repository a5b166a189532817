"""Options of the start of a job's workflow, for the API and for other workflows."""

from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from orchestrator.domain import names
from orchestrator.domain.commands import JobInput
from orchestrator.domain.labels import JobLabel, JobPriority


def priority_of(job: JobInput) -> Priority:
    """The priority of a job. Temporal alternates between the owners of one priority."""
    priority = JobPriority.of(job.priority or job.labels.get(JobLabel.PRIORITY, ""))
    return Priority(priority_key=priority.rank if priority else None, fairness_key=names.fairness_key(job.owner))


def search_attributes_of(job: JobInput) -> TypedSearchAttributes:
    """The search attributes of a job, for operators."""
    values = {
        names.ATTRIBUTE_KIND: str(job.kind),
        names.ATTRIBUTE_DEFINITION: job.definition,
        names.ATTRIBUTE_OWNER: job.owner,
    }
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    return TypedSearchAttributes(pairs)
