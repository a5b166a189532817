"""Inputs, questions and results of the adapters of agent frameworks: plain data that also crosses pipes."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.domain.agents import Deliverable, StepOutput
from orchestrator.domain.usage import Usage

FRAMEWORK_PATTERN: Final = r"^[a-z][a-z0-9_\-]{0,62}$"
# The value of `executed_by` in an output's metadata if no framework ran the agent.
NATIVE: Final = "native"
EXECUTED_BY: Final = "executed_by"
# The error of an execution if no worker offers its framework and the agent allows no fallback.
FRAMEWORK_UNAVAILABLE: Final = "framework_unavailable"


class Plain(BaseModel):
    """Immutable, and tolerant of fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FrameworkTask(Plain):
    """One attempt of an agent call, for a framework."""

    framework: str
    job_id: str
    step: str
    attempt: int
    effect_id: str = Field(description="The same on every attempt of the call: an idempotency key for side effects.")
    agent: str = Field(description="The agent's name.")
    description: str = ""
    configuration: dict[str, Any] = Field(default={}, description="The agent's configuration, as its user wrote it.")
    input: dict[str, Any] = {}
    context: list[StepOutput] = Field(default=[], description="Outputs of earlier steps of the job.")
    model: str | None = Field(default=None, description="`provider:model`, where the request names one.")
    temperature: float | None = None
    max_tokens: int | None = None
    seconds: float = Field(description="The time limit of the attempt.")


class FrameworkResult(Plain):
    """The result of a framework.

    `usage` and `model` describe the framework's own model calls, without the questions that it asked the product.
    """

    output: str = Field(description="The full answer, as Markdown.")
    summary: str = Field(default="", description="At most three sentences; by default the beginning of the output.")
    deliverables: list[Deliverable] = []
    data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    usage: Usage | None = None
    model: str | None = None


class Question(Plain):
    """One model call. The product adds the task's input."""

    title: str = Field(min_length=1, description="What the call is for, in a word or two.")
    instructions: str = Field(default="", description="The system prompt.")
    instruction: str = Field(default="", description="What to do now.")
    context: list[StepOutput] = Field(default=[], description="Earlier answers: in full, or as summaries alone.")


class Answer(Plain):
    """The answer of the model."""

    summary: str
    output: str
    model: str
