"""What the workflow of a job is started with, by the API and by other workflows alike."""

from typing import Final

from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from orchestrator.domain import names
from orchestrator.domain.commands import JobInput

_PRIORITIES: Final = {"critical": 1, "high": 2, "normal": 3, "low": 4}


def priority_of(job: JobInput) -> Priority:
    """Jobs of the same priority take turns by owner."""
    word = job.priority or job.labels.get("priority", "")
    return Priority(priority_key=_PRIORITIES.get(word), fairness_key=names.fairness_key(job.owner))


def search_attributes_of(job: JobInput) -> TypedSearchAttributes:
    """What operators find a job by."""
    values = {
        names.ATTRIBUTE_KIND: str(job.kind),
        names.ATTRIBUTE_DEFINITION: job.definition,
        names.ATTRIBUTE_OWNER: job.owner,
    }
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    return TypedSearchAttributes(pairs)
