"""Bodies as documented (S-006, S-012 to S-020); where the document names no fields, ours (C-68)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.storable import JsonObject, storable

_Percent = Annotated[float, Field(ge=0, le=100)]


class LoginRequest(BaseModel):
    """Who signs in."""

    username: Annotated[str, Field(max_length=200), AfterValidator(storable)]
    password: Annotated[str, Field(max_length=1000), AfterValidator(storable)]


class RefreshRequest(BaseModel):
    """The refresh token of the last answer; each is used once."""

    refresh_token: Annotated[str, Field(max_length=4000), AfterValidator(storable)]


class TokenResponse(BaseModel):
    """Tokens of a user; `expires_in` is the seconds that the access token is valid."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not one
    expires_in: int


class PartnershipHealth(BaseModel):
    """How one partnership fares."""

    health: str = Field(description="`excellent`, `good`, `fair`, `poor`, or `unknown` while nothing ended.")
    score: _Percent = Field(description="Percent of attempts that succeeded; 0 while nothing ended.")


class HealthResponse(BaseModel):
    """The whole system, and every partnership by its id."""

    status: Literal["healthy", "degraded"] = Field(description="`degraded` while no worker polls.")
    partnerships: dict[str, PartnershipHealth]
    last_updated: datetime


class PartnershipMetrics(BaseModel):
    """Percent and milliseconds, over 24 hours."""

    uptime: _Percent = Field(description="Attempts that were not lost; while none began, whether a worker polls.")
    response_time: float = Field(description="Mean milliseconds of a successful attempt.")
    success_rate: _Percent


class MetricsResponse(BaseModel):
    """The figures of one partnership."""

    partnership_type: str
    metrics: PartnershipMetrics
    timestamp: datetime


class DecisionRequest(BaseModel):
    """What is to be decided on."""

    model_config = ConfigDict(allow_inf_nan=False)

    context: JsonObject = Field(
        description="Free-form: goal, time, money, options, constraints; at most 4 MiB as JSON, unless configured."
    )


class DecisionPhase(BaseModel):
    """One phase of the plan."""

    phase: int
    action: str
    timeline: str


class DecisionResponse(BaseModel):
    """A decision; `decision` is a code in UPPER_SNAKE_CASE."""

    decision: str
    rationale: str
    implementation_plan: list[DecisionPhase]
    success_metrics: list[str]
    risk_mitigation: list[str]


class DeliverableProgress(BaseModel):
    """One kind of work and the percent of its calls that are completed."""

    name: str
    progress: _Percent


class PartnershipStatus(BaseModel):
    """How far one partnership is with what it began in the last 24 hours."""

    id: str
    name: str
    health: str
    progress: _Percent
    deliverables: list[DeliverableProgress]


class ComponentHealth(BaseModel):
    """One part of the installation."""

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="`degraded` is a part without which jobs run, but less well."
    )
    message: str


class ResourceFigures(BaseModel):
    """What the process that answers uses. Null where its machine does not tell."""

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
    """One job of the caller, or of anybody for an admin."""

    job_id: str
    kind: str
    name: str
    status: str
    progress: int
    created_at: datetime
    completed_at: datetime | None


class SystemStatus(BaseModel):
    """The parts of the installation, what this process uses, and the latest jobs."""

    system_health: dict[str, ComponentHealth]
    resource_usage: ResourceFigures
    recent_activity: list[Activity] | None = Field(description="Null while the job index does not answer.")


class ConfigResponse(BaseModel):
    """Every setting; of a secret only whether it is set."""

    settings: dict[str, Any]
    secrets_configured: dict[str, bool]


class DeploymentCheck(BaseModel):
    """One thing that a production deployment has."""

    name: str
    passed: bool
    message: str


class DeploymentReadiness(BaseModel):
    """The percent of checks that passed, all of them, and what to do for those that did not."""

    readiness_score: _Percent
    checks: list[DeploymentCheck]
    recommendations: list[str]


class Endpoint(BaseModel):
    """One operation of this surface. Any of `roles` is enough; none asks for no token."""

    method: str
    path: str
    summary: str
    roles: list[str]
    target_ms: int | None = Field(description="Milliseconds that an answer may take.")


class EndpointList(BaseModel):
    """Every operation of this surface."""

    version: str
    endpoints: list[Endpoint]


class ErrorResponse(BaseModel):
    """Every error's body (C-11)."""

    detail: str
    error: str
    message: str
