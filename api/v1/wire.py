"""Common field types of response bodies."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from api.prefix import located
from orchestrator.domain.moments import stamp

Timestamp = Annotated[
    datetime,
    PlainSerializer(stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2024-12-09T10:30:00Z"]}),
]


def absent(value: Any) -> bool:
    """Return whether a field is left out (for `exclude_if`)."""
    return value is None


class Wire(BaseModel):
    """A response body. A field that does not apply is null, or left out if it is marked `absent`."""

    model_config = ConfigDict(frozen=True)


class Links(Wire):
    """Paths of a job, relative to the server; behind a proxy they include its path prefix."""

    self: str
    events: str
    output: str
    cancel: str

    @classmethod
    def of(cls, job_id: str) -> "Links":
        """Return the links of one job."""
        job_path = located(f"/v1/jobs/{quote(job_id, safe='')}")
        return cls(self=job_path, events=f"{job_path}/events", output=f"{job_path}/output", cancel=f"{job_path}/cancel")


class Target(Wire):
    """The agent or workflow that a job runs, never both (D-047)."""

    agent_id: str | None = Field(default=None, exclude_if=absent, description="Only in jobs of agents.")
    workflow_id: str | None = Field(default=None, exclude_if=absent, description="Only in jobs of workflows.")
