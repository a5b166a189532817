"""How single values look on the wire."""

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
    """For `exclude_if`: a field that only some answers have."""
    return value is None


class Wire(BaseModel):
    """A body that is sent. Fields that do not apply are null; the few marked `absent` are left out instead."""

    model_config = ConfigDict(frozen=True)


class Links(Wire):
    """Where a job's parts are found, relative to the server; behind a proxy with its path prefix."""

    self: str
    events: str
    output: str
    cancel: str

    @classmethod
    def of(cls, job_id: str) -> "Links":
        """The links of one job."""
        here = located(f"/v1/jobs/{quote(job_id, safe='')}")
        return cls(self=here, events=f"{here}/events", output=f"{here}/output", cancel=f"{here}/cancel")


class Target(Wire):
    """What a job runs: an agent or a workflow, never both (D-047)."""

    agent_id: str | None = Field(default=None, exclude_if=absent, description="Of agent jobs only.")
    workflow_id: str | None = Field(default=None, exclude_if=absent, description="Of workflow jobs only.")
