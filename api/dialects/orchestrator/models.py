"""Bodies exactly as documented (M-009, M-013, M-021, M-041)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.storable import JsonObject, storable

SessionStatus = Literal["queued", "running", "completed", "failed"]


class WorkflowRequest(BaseModel):
    """Starts a workflow by its type (M-009, M-021)."""

    model_config = ConfigDict(allow_inf_nan=False)

    requirements: Annotated[str, AfterValidator(storable)] = Field(description="Task requirements")
    workflow_type: str = Field(description="Type of workflow to execute", max_length=200)
    configuration: JsonObject | None = Field(
        default_factory=dict,
        description="Values for the workflow's own input, and model settings.",
    )
    priority: str | None = Field(default="normal", pattern="^(low|normal|high|critical)$")


class WorkflowRequestV2(WorkflowRequest):
    """Starts a workflow by its type, with a URL that receives its end (M-039)."""

    webhook_url: Annotated[str, AfterValidator(storable)] | None = Field(default=None, max_length=2000)


class CustomWorkflowRequest(WorkflowRequest):
    """The body of `POST /custom/execute` (M-021)."""


class WorkflowAccepted(BaseModel):
    """A workflow was started."""

    session_id: str
    status: Literal["accepted"] = "accepted"
    message: str = "Workflow accepted for execution"
    workflow_type: str
    created_at: datetime


class CustomWorkflowResponse(BaseModel):
    """A custom workflow was started (M-022)."""

    session_id: str
    status: str
    message: str
    created_at: datetime
    estimated_completion: datetime | None = None


class WorkflowProgressResponse(BaseModel):
    """State of a session (M-013, M-014, M-026). `generated_code` is present after completion."""

    session_id: str
    status: SessionStatus
    progress: float = Field(ge=0, le=100)
    current_phase: str | None = None
    phases_completed: list[str] = Field(default_factory=list)
    errors: list[dict[str, str]] = Field(default_factory=list)
    partial_results: dict[str, Any] | None = None
    workflow_type: str
    reason: str | None = Field(default=None, description="The reason of the current state, as a sentence.")
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    error: str | None = None
    results: dict[str, Any] | None = None
    generated_code: dict[str, str] | None = Field(
        default=None, exclude_if=lambda code: code is None, description="The code that the agents wrote, by path."
    )


class WorkflowTypes(BaseModel):
    """The workflow types that can be started (M-017)."""

    workflow_types: list[str]


class ErrorResponse(BaseModel):
    """The body of every error (M-041), with FastAPI's own `detail` (M-045, C-12)."""

    error: str
    message: str
    details: dict[str, Any] | None = None
    timestamp: datetime
    request_id: str
    detail: str | list[dict[str, Any]]
