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


def idempotent_job_id(kind: JobKind, principal: str, *key: str) -> str:
    """The id that one principal's idempotency key always leads to; Temporal itself rejects the duplicate."""
    return job_id(kind, digest(principal, kind, *key)[:32])


def session_digest(session_id: str) -> str:
    """What stands for the id of a session where it can be read: who knows a session's id may look at the session."""
    return digest("session", session_id.replace("-", "").lower())


def digest(*parts: str) -> str:
    """SHA-256 of several texts, in hexadecimal. Other texts, and the same ones cut elsewhere, have another digest."""
    return hashlib.sha256(joined(*parts).encode()).hexdigest()


def joined(*parts: str, by: str = "\0") -> str:
    """Several texts as one from which they can be told again.

    Parts without the separator are joined by it, as they always were: ids that are in use stay the same. Where a part
    holds it, each part follows its own length.
    """
    if parts[0] and not any(by in part for part in parts):
        return by.join(parts)
    return by + "".join(f"{len(part)}:{part}" for part in parts)  # what is joined never begins with the separator


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
