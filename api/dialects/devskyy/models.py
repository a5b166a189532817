"""Bodies as documented (S-006, S-012 to S-020). Where the document names no fields, they are our own (C-68)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.storable import JsonObject, storable

_Percent = Annotated[float, Field(ge=0, le=100)]


class LoginRequest(BaseModel):
    """User name and password."""

    username: Annotated[str, Field(max_length=200), AfterValidator(storable)]
    password: Annotated[str, Field(max_length=1000), AfterValidator(storable)]


class RefreshRequest(BaseModel):
    """The refresh token of the last answer. Each is valid once."""

    refresh_token: Annotated[str, Field(max_length=4000), AfterValidator(storable)]


class TokenResponse(BaseModel):
    """Tokens of a user. `expires_in` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not one
    expires_in: int


class PartnershipHealth(BaseModel):
    """Health of one partnership by score."""

    health: str = Field(description="`excellent`, `good`, `fair`, `poor`, or `unknown` without ended attempts.")
    score: _Percent = Field(description="Percent of attempts that succeeded; 0 without ended attempts.")


class HealthResponse(BaseModel):
    """Health of the system, and of every partnership by id."""

    status: Literal["healthy", "degraded"] = Field(description="`degraded` while no worker polls.")
    partnerships: dict[str, PartnershipHealth]
    last_updated: datetime


class PartnershipMetrics(BaseModel):
    """Percent and milliseconds, over 24 hours."""

    uptime: _Percent = Field(
        description="Percent of attempts that were not lost. Without attempts: 100 while a worker polls, else 0."
    )
    response_time: float = Field(description="Mean milliseconds of a successful attempt.")
    success_rate: _Percent


class MetricsResponse(BaseModel):
    """Metrics of one partnership."""

    partnership_type: str
    metrics: PartnershipMetrics
    timestamp: datetime


class DecisionRequest(BaseModel):
    """The context of a decision."""

    model_config = ConfigDict(allow_inf_nan=False)

    context: JsonObject = Field(
        description="Free-form: goal, time, money, options, constraints. At most 4 MiB as JSON by default."
    )


class DecisionPhase(BaseModel):
    """One phase of the plan."""

    phase: int
    action: str
    timeline: str


class DecisionResponse(BaseModel):
    """A decision. `decision` is a code in UPPER_SNAKE_CASE."""

    decision: str
    rationale: str
    implementation_plan: list[DecisionPhase]
    success_metrics: list[str]
    risk_mitigation: list[str]


class DeliverableProgress(BaseModel):
    """One kind of work, and the percent of its calls that are completed."""

    name: str
    progress: _Percent


class PartnershipStatus(BaseModel):
    """Progress of one partnership with the work that it started in the last 24 hours."""

    id: str
    name: str
    health: str
    progress: _Percent
    deliverables: list[DeliverableProgress]


class ComponentHealth(BaseModel):
    """State of one component of the installation."""

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="`degraded`: jobs run without this component, but less well."
    )
    message: str


class ResourceFigures(BaseModel):
    """Resources of the process that answers. A value that its machine does not provide is null."""

    rss_bytes: int | None
    peak_rss_bytes: int
    cpu_seconds: float
    cpu_percent: float
    open_files: int | None
    open_files_limit: int
    threads: int
    uptime_seconds: float
    load_average: float


class Activity(BaseModel):
    """One job of the caller; for an admin of any owner."""

    job_id: str
    kind: str
    name: str
    status: str
    progress: int
    created_at: datetime
    completed_at: datetime | None


class SystemStatus(BaseModel):
    """Components of the installation, resources of this process, and the latest jobs."""

    system_health: dict[str, ComponentHealth]
    resource_usage: ResourceFigures
    recent_activity: list[Activity] | None = Field(description="Null while the job index does not answer.")


class ConfigResponse(BaseModel):
    """All settings. Of a secret only whether it is set."""

    settings: dict[str, Any]
    secrets_configured: dict[str, bool]


class DeploymentCheck(BaseModel):
    """One check of a production deployment."""

    name: str
    passed: bool
    message: str


class DeploymentReadiness(BaseModel):
    """Percent of passed checks, all checks, and what to do for those that failed."""

    readiness_score: _Percent
    checks: list[DeploymentCheck]
    recommendations: list[str]


class Endpoint(BaseModel):
    """One operation of this surface. One of `roles` is enough; without roles no token is needed."""

    method: str
    path: str
    summary: str
    roles: list[str]
    target_ms: int | None = Field(description="Target for the response time in milliseconds.")


class EndpointList(BaseModel):
    """All operations of this surface."""

    version: str
    endpoints: list[Endpoint]


class ErrorResponse(BaseModel):
    """The body of every error (C-11)."""

    detail: str
    error: str
    message: str
