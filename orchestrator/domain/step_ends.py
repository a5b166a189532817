"""How a step of a plan ended, and what the expressions of later steps see of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.domain.commands import AgentResult
from orchestrator.domain.jobs import JobError


class EndStatus(StrEnum):
    """How a step, or one item of a step, ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StepEnd:
    """The end of a step. `fields` are its values, `data` is what `steps.<id>.data` gives."""

    status: EndStatus
    fields: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[Mapping[str, Any]] | None = None
    error: JobError | None = None
    why: str = ""

    @property
    def ran(self) -> bool:
        """Whether steps that need it may run: a failure that does not end the job counts."""
        return self.status in (EndStatus.COMPLETED, EndStatus.FAILED)

    def view(self) -> dict[str, Any]:
        """The value of `steps.<id>`."""
        data = list(self.items) if self.items is not None else dict(self.fields)
        error = {"error": error_view(self.error)} if self.error else {}
        return {**self.fields, **error, "data": data, "status": str(self.status)}

    def item(self, key: str) -> dict[str, Any]:
        """The value of one item in the list of a step with `for_each`."""
        error = {"error": error_view(self.error)} if self.error else {}
        return {**self.fields, **error, "key": key, "status": str(self.status)}


def error_view(error: JobError) -> dict[str, Any]:
    """The value of `error` in an expression."""
    return {"type": error.type, "message": error.message, "step": error.step or "", "agent": error.agent or ""}


def result_fields(result: AgentResult) -> dict[str, Any]:
    """The values of one agent's answer: its own fields, its summary, its text and the paths of its files."""
    paths = [{"path": file.path, "media_type": file.media_type} for file in result.deliverables]
    return {**result.data, "summary": result.summary, "output": result.output, "deliverables": paths}


def step_fields(results: Sequence[AgentResult], *, by_agent: bool) -> dict[str, Any]:
    """The values of a step: those of its agent, or with several agents by the agent's id."""
    if by_agent:
        return {result.agent: result_fields(result) for result in results}
    return result_fields(results[-1])
