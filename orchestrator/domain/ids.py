"""Job ids (A5): the Temporal workflow id, prefixed by kind. Pure: randomness comes from the caller."""

import hashlib
from enum import StrEnum
from typing import Final

IDEMPOTENCY_KEY_LIMIT: Final = 255
JOB_ID_LIMIT: Final = 255


class JobKind(StrEnum):
    """What a job runs (D-047)."""

    AGENT = "agent"
    WORKFLOW = "workflow"


_PREFIX: Final = {JobKind.AGENT: "job_", JobKind.WORKFLOW: "wf_job_"}


def job_id(kind: JobKind, tail: str) -> str:
    """The id of a new job: `job_<tail>` or `wf_job_<tail>` (D-050)."""
    return _PREFIX[kind] + tail


def idempotent_job_id(kind: JobKind, principal: str, key: str) -> str:
    """The id that one principal's idempotency key always leads to; Temporal itself rejects the duplicate."""
    digest = hashlib.sha256(f"{principal}\0{kind}\0{key}".encode()).hexdigest()
    return job_id(kind, digest[:32])


def kind_of(value: str) -> JobKind | None:
    """The kind that a job id names, or None when it is no job id."""
    for kind in (JobKind.WORKFLOW, JobKind.AGENT):
        if value.startswith(_PREFIX[kind]):
            return kind
    return None


def addressable(value: str) -> bool:
    """Whether an id can be a job's: one segment of a path, printable, at most 255 characters.

    Ids that the API made have a prefix; the id of a workflow that was started in Temporal may have any form.
    """
    return 0 < len(value) <= JOB_ID_LIMIT and value.isprintable() and "/" not in value and value not in (".", "..")
