"""Bodies exactly as documented (A-010, A-013, A-014, A-018, A-026, A-028, A-036)."""

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from api.storable import JsonObject, storable
from api.webhooks import Events, Secret
from orchestrator.domain.conversations import Mode, Swarm

MAX_MESSAGE_LENGTH: Final = 32_000
MAX_SESSION_ID_LENGTH: Final = 200
_V1_NAMES: Final = frozenset({"text", "sessionId"})

Version = Literal["v1", "v2"]
Message = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_LENGTH), AfterValidator(storable)]
SessionId = Annotated[str, Field(min_length=1, max_length=MAX_SESSION_ID_LENGTH), AfterValidator(storable)]


class ChatRequest(BaseModel):
    """One message (A-013). The body of version 1, `{"text", "sessionId"}`, is also accepted (A-018)."""

    model_config = ConfigDict(allow_inf_nan=False)

    message: Message
    session_id: SessionId | None = Field(default=None, description="Chosen by you, or generated if left out.")
    optimization_mode: Mode = Mode.BALANCED
    swarm_type: Swarm = Swarm.RESEARCH_TEAM
    use_memory: bool = Field(
        default=False, strict=True, description="Whether the agents get the earlier turns of the session."
    )
    user_context: JsonObject = Field(default_factory=dict)

    _version: Version = PrivateAttr(default="v2")

    @model_validator(mode="wrap")
    @classmethod
    def _either_version(cls, data: Any, handler: ModelWrapValidatorHandler["ChatRequest"]) -> "ChatRequest":
        old = isinstance(data, dict) and "message" not in data and not _V1_NAMES.isdisjoint(data)
        return _ChatRequestV1.model_validate(data) if old and cls is ChatRequest else handler(data)

    @property
    def version(self) -> Version:
        """Return the version of the body's shape."""
        return self._version


class _ChatRequestV1(ChatRequest):
    """A message of version 1. Errors use the field names that the client used."""

    model_config = ConfigDict(validate_by_name=True)

    message: Message = Field(alias="text")
    session_id: SessionId | None = Field(default=None, alias="sessionId")

    _version: Version = PrivateAttr(default="v1")


class Step(BaseModel):
    """One agent's part in an answer. `duration` is seconds."""

    step: str
    agent: str
    status: str
    duration: float | None


class ChatMetadata(BaseModel):
    """Details of an answer. `notes` explain, for example, why there is no `quality_score`."""

    tokens_used: int
    model: str | None
    processing_steps: list[Step]
    job_id: str
    cost: float | None
    notes: list[str]


class ChatData(BaseModel):
    """An answer (A-014). `execution_time` is seconds; `quality_score` is 0 to 1, or null if nothing judged it."""

    response: str
    session_id: str
    execution_mode: str
    quality_score: float | None
    execution_time: float
    metadata: ChatMetadata


class WebhookRequest(BaseModel):
    """The webhook to register (A-036)."""

    url: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(storable)]
    events: Events
    secret: Secret | None = Field(default=None, description="Signs the deliveries. Generated if left out.")


class WebhookData(BaseModel):
    """The registered webhook. `secret` is present only if it was generated."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    secret: str | None = Field(default=None, exclude_if=lambda secret: secret is None)


class Metadata(BaseModel):
    """Request id, time and version of an answer."""

    request_id: str = Field(description="The caller's own `X-Request-ID`, else a UUID.")
    timestamp: datetime
    version: Version


class Fault(BaseModel):
    """One error. For invalid input `details` are `{"field", "reason"}`."""

    code: str
    message: str
    details: dict[str, Any]


class Failed(BaseModel):
    """The body of every error (A-011)."""

    success: Literal[False] = False
    data: None = None
    metadata: Metadata
    error: Fault


Data = TypeVar("Data", bound=BaseModel)


class Answered(BaseModel, Generic[Data]):
    """The body of every other answer (A-010)."""

    success: Literal[True] = True
    data: Data
    metadata: Metadata
    error: None = None


class Health(BaseModel):
    """Health of the system (A-026). `uptime` is seconds. A degraded component does not make the system unhealthy."""

    status: Literal["healthy", "unhealthy"]
    version: str
    uptime: float
    components: dict[str, Literal["healthy", "degraded"]]


class Readiness(BaseModel):
    """Whether the system can serve requests (A-028)."""

    ready: bool
    checks: dict[str, bool]
