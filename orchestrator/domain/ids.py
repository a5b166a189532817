"""Job ids (A5): the Temporal workflow id, prefixed by kind. Pure: randomness comes from the caller."""

import hashlib
from enum import StrEnum
from typing import Final

IDEMPOTENCY_KEY_LIMIT: Final = 255
JOB_ID_LIMIT: Final = 255
ID_END_LENGTH: Final = 6
"""The characters at the end of an id by which lists find it: random ones, so that they select few jobs."""


class JobKind(StrEnum):
    """What a job runs (D-047)."""

    AGENT = "agent"
    WORKFLOW = "workflow"


_PREFIX: Final = {JobKind.AGENT: "job_", JobKind.WORKFLOW: "wf_job_"}


def job_id(kind: JobKind, tail: str) -> str:
    """The id of a new job: `job_<tail>` or `wf_job_<tail>` (D-050)."""
    return _PREFIX[kind] + tail


def idempotent_job_id(kind: JobKind, principal: str, *key: str) -> str:
    """The job id for a principal's idempotency key: always the same, so that Temporal rejects a duplicate."""
    return job_id(kind, digest(principal, kind, *key)[:32])


def session_digest(session_id: str) -> str:
    """A digest that replaces a session id in public places: the id itself gives access to the session."""
    return digest("session", session_id.replace("-", "").lower())


def digest(*parts: str) -> str:
    """SHA-256 of several texts, in hexadecimal. Texts that are split elsewhere have another digest."""
    return hashlib.sha256(joined(*parts).encode()).hexdigest()


def joined(*parts: str, by: str = "\0") -> str:
    """Several texts as one, without ambiguity.

    Parts without the separator are joined by it, as in earlier releases: existing ids stay the same. If a part contains
    the separator, each part follows its length.
    """
    if parts[0] and not any(by in part for part in parts):
        return by.join(parts)
    return by + "".join(f"{len(part)}:{part}" for part in parts)  # a joined text never begins with the separator


def kind_of(value: str) -> JobKind | None:
    """The kind of a job id, or None if it is not a job id."""
    for kind in (JobKind.WORKFLOW, JobKind.AGENT):
        if value.startswith(_PREFIX[kind]):
            return kind
    return None


def addressable(value: str) -> bool:
    """Whether an id can be a job's: one segment of a path, printable, at most 255 characters.

    The API makes ids with a prefix; a workflow that was started in Temporal can have any id.
    """
    return 0 < len(value) <= JOB_ID_LIMIT and value.isprintable() and "/" not in value and value not in (".", "..")
