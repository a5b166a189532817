"""Bodies exactly as documented: camelCase, and no field is null (O-049, O-050, C-36, C-37)."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from api.storable import FIRST_FAULT, JsonObject, storable
from api.webhooks import Events, Secret
from orchestrator.domain.user_agents import AgentStatus, Framework

ExecutionStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"]
LogLevel = Literal["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
Environment = Literal["development", "staging", "production"]
Trigger = Literal["manual", "scheduled", "webhook"]
Timeframe = Literal["24h", "7d", "30d", "90d"]
Absent = SkipJsonSchema[None]

_MAX_URL_LENGTH: Final = 2000


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError(
            "null", "Input should be {expected}", {"expected": "a value; leave out the field instead of sending null"}
        )
    return value


def _without_null_defaults(schema: JsonDict) -> None:
    properties = schema.get("properties")
    for field in properties.values() if isinstance(properties, dict) else ():
        if isinstance(field, dict) and field.get("default", 0) is None:
            del field["default"]


class Wire(BaseModel):
    """A body in camelCase. A field without a value is left out."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False, json_schema_extra=_without_null_defaults
    )


Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[Text, Field(min_length=1, max_length=100)]
Tags = Annotated[list[Annotated[Text, Field(max_length=100)]], FIRST_FAULT, Field(max_length=50)]
_NotNull = BeforeValidator(_refuse_null)


class CreateAgentRequest(Wire):
    """The agent to create (O-011)."""

    name: Name
    framework: Framework
    description: Annotated[Text | Absent, _NotNull] = None
    configuration: JsonObject = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)
    is_active: StrictBool = True


class UpdateAgentRequest(Wire):
    """The fields of an agent to change. A field that is left out does not change (O-014)."""

    name: Annotated[Name | Absent, _NotNull] = None
    description: Annotated[Text | Absent, _NotNull] = None
    configuration: Annotated[JsonObject | Absent, _NotNull] = None
    tags: Annotated[Tags | Absent, _NotNull] = None
    is_active: Annotated[StrictBool | Absent, _NotNull] = None


class StartExecutionRequest(Wire):
    """The execution to start (O-022)."""

    agent_id: Text
    input: JsonObject = Field(default_factory=dict)
    configuration: JsonObject = Field(default_factory=dict)
    environment: Environment = "development"
    trigger: Trigger = "manual"


class SaveConfigurationRequest(Wire):
    """The configuration to save (O-034)."""

    name: Name
    framework: Framework
    configuration: JsonObject
    description: Annotated[Text | Absent, _NotNull] = None
    is_template: StrictBool = False
    is_public: StrictBool = False


class CreateWebhookRequest(Wire):
    """The webhook to register (O-038)."""

    url: Annotated[Text, Field(max_length=_MAX_URL_LENGTH, json_schema_extra={"format": "uri"})]
    events: Events
    secret: Annotated[Secret | Absent, _NotNull] = None


class ErrorAnswer(Wire):
    """The body of every error (O-048)."""

    error: str
    message: str
    details: dict[str, Any] | Absent = None


class Message(Wire):
    """The result of a request, as a sentence (C-40)."""

    message: str


class Pagination(Wire):
    """The page, and the number of pages (O-047)."""

    page: int
    limit: int
    total: int
    pages: int


class Agent(Wire):
    """An agent with its current metrics (O-016). `avg_execution_time` is milliseconds."""

    id: str
    name: str
    description: str | Absent = None
    framework: Framework
    status: AgentStatus
    configuration: dict[str, Any]
    tags: list[str]
    is_active: bool
    total_executions: int
    successful_executions: int
    avg_execution_time: float | Absent = None
    last_executed_at: datetime | Absent = None
    created_at: datetime
    updated_at: datetime


class AgentRef(Wire):
    """The agent of an execution."""

    id: str
    name: str
    framework: Framework


class Execution(Wire):
    """An execution (O-027). `duration` is milliseconds, `cost` USD."""

    id: str
    status: ExecutionStatus
    input: dict[str, Any]
    output: dict[str, Any] | Absent = None
    error: str | Absent = None
    duration: int | Absent = None
    tokens_used: int | Absent = None
    cost: float | Absent = None
    trigger: Trigger
    environment: Environment
    started_at: datetime | Absent = None
    completed_at: datetime | Absent = None
    agent: AgentRef


class ExecutionLog(Wire):
    """One line of an execution's log (O-029). `id` is the id of its event."""

    id: str
    level: LogLevel
    message: str
    timestamp: datetime
    metadata: dict[str, Any]


class ExecutionDetailed(Execution):
    """An execution with its log (O-028)."""

    logs: list[ExecutionLog]


class ExecutionProgress(Execution):
    """An execution in a stream, with its progress in percent."""

    progress: int


class Count(Wire):
    """Number of executions."""

    executions: int


class AgentDetailed(Agent):
    """An agent with its newest executions and their total number (O-017)."""

    executions: list[Execution]
    count: Count = Field(alias="_count")


class AgentPage(Wire):
    """One page of agents (O-009)."""

    agents: list[Agent]
    pagination: Pagination


class ExecutionList(Wire):
    """One page of executions (O-020)."""

    executions: list[Execution]
    pagination: Pagination


class ExecutionStarted(Wire):
    """An execution was started (O-021, C-70)."""

    execution_id: str
    status: Literal["started"] = "started"
    message: str = "Execution started"


class LogPagination(Wire):
    """The range of lines, and their total number (O-025)."""

    offset: int
    limit: int
    total: int
    has_more: bool


class LogList(Wire):
    """Lines of a log (O-025)."""

    logs: list[ExecutionLog]
    pagination: LogPagination


class User(Wire):
    """The user who saved a configuration."""

    name: str
    image: str | Absent = None


class Configuration(Wire):
    """A saved configuration (O-035)."""

    id: str
    name: str
    description: str | Absent = None
    framework: Framework
    configuration: dict[str, Any] | Absent = Field(default=None, description="Left out if a list becomes too large.")
    is_template: bool
    is_public: bool
    usage_count: int
    created_at: datetime
    updated_at: datetime
    user: User


class ConfigurationList(Wire):
    """Saved configurations (O-032)."""

    configurations: list[Configuration]


class Webhook(Wire):
    """A webhook; its secret is never shown (O-039, C-55)."""

    id: str
    url: str
    events: list[str]
    is_active: bool
    created_at: datetime


class WebhookRows(Wire):
    """The caller's webhooks (O-036)."""

    webhooks: list[Webhook]


class WebhookCreated(Wire):
    """A webhook was registered (O-037)."""

    id: str
    message: str = "Webhook created"
