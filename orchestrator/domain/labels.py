"""The labels of a job that the product itself writes and reads. Every other label belongs to the author of a job."""

from enum import StrEnum
from typing import Final


class JobLabel(StrEnum):
    """Keys of `JobInput.labels` that one room writes and another reads."""

    SURFACE = "surface"
    PRIORITY = "priority"
    # of a session
    WORKFLOW_TYPE = "workflow_type"
    SESSION_ID_HIDDEN = "session_id_hidden"
    # of a chat's turn
    SESSION_ID = "session_id"
    MODE = "mode"
    # of an execution of a user's agent
    AGENT_NAME = "agent_name"
    FRAMEWORK = "framework"
    EXECUTED_BY = "executed_by"
    ENVIRONMENT = "environment"
    TRIGGER = "trigger"
    # of a workflow that was not started through the API
    STARTED_BY = "started_by"
    SCHEDULE = "schedule"
    PARENT = "parent"
    COPY_OF = "copy_of"


ORIGIN_LABELS: Final = (JobLabel.STARTED_BY, JobLabel.SCHEDULE, JobLabel.PARENT, JobLabel.COPY_OF)
"""What says how a workflow that was not started through the API was started."""


class JobPriority(StrEnum):
    """The values of the label `priority`, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """The priority in Temporal's numbers: 1 runs first."""
        return list(JobPriority).index(self) + 1

    @property
    def urgent(self) -> bool:
        """Whether the job runs before those of the normal priority, which a tier has to include."""
        return self.rank < JobPriority.NORMAL.rank

    @classmethod
    def of(cls, word: str) -> "JobPriority | None":
        """The priority of that name; None for an unknown name, such as an author's label."""
        return next((priority for priority in cls if priority == word), None)


def parsed_label(text: str) -> tuple[str, str] | None:
    """The name and the value of `NAME:VALUE`; None for another text. Values may have every character that is stored."""
    name, separator, value = text.partition(":")
    is_plain = not any(char < " " or char == "\x7f" for char in text)
    return (name, value) if name and separator and is_plain else None
