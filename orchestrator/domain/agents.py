"""Agents: data for a prompted agent, or a plain function (A9, A13)."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any, Generic, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, model_validator
from typing_extensions import TypeVar

from orchestrator.domain.file_names import safe_path
from orchestrator.domain.tool_schemas import Secret
from orchestrator.domain.tools import AgentTool, AskPerson, Files, HttpGet, McpServer, Tool, as_tool, names_of


class Squad(StrEnum):
    """The seven squads (D-020)."""

    BUSINESS = "business"
    FRONTEND = "frontend"
    BACKEND = "backend"
    DATA = "data"
    QA = "qa"
    DEVOPS = "devops"
    DOCUMENTATION = "documentation"


def _safe(path: object) -> object:
    return safe_path(path) if isinstance(path, str) else path


class Deliverable(BaseModel):
    """A named artifact of a job: relative path, media type, text content. An unsafe path is changed, not refused."""

    model_config = ConfigDict(frozen=True)

    path: Annotated[str, BeforeValidator(_safe)] = Field(
        min_length=1, max_length=255, description="Relative path of the file, such as docs/report.md."
    )
    media_type: str = "text/markdown"
    content: str


class AgentOutput(BaseModel):
    """The output of every agent. The output model of an agent extends it with typed fields."""

    summary: str = Field(description="What was done, in at most three sentences.")
    output: str = Field(description="The full answer, as Markdown.")
    deliverables: list[Deliverable] = Field(
        default_factory=list, description="Files that the answer consists of, if any."
    )


Out_co = TypeVar("Out_co", bound=AgentOutput, default=AgentOutput, covariant=True)
"""The output model of an agent: workflow code gets answers of its type."""
_OUTPUT: Any = AgentOutput  # A default cannot have the type of a variable.


class ModelSettings(BaseModel):
    """Defaults that a request may override (D-021, D-022)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_model: str = "anthropic/claude-3.5-sonnet"
    default_temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=4096, ge=1)


class Pricing(BaseModel):
    """Published price in USD (D-021). Only tokens are charged (C-59)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_request: float = 0.05
    per_1k_tokens: float = 0.012


class FunctionCall(BaseModel):
    """What an agent function receives: the input as validated by the agent's input model, and the outputs of earlier
    steps. `effect_id` is the same on each attempt of the call: pass it to side effects as their idempotency key."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    step: str
    attempt: int
    effect_id: str
    input: dict[str, Any]
    context: list["StepOutput"] = Field(default_factory=list)


class StepOutput(BaseModel):
    """The output of an agent call of an earlier step: whole for the steps that need it, else only its summary."""

    model_config = ConfigDict(frozen=True)

    step: str
    agent: str
    key: str = Field(default="", exclude_if=lambda key: not key)
    summary: str
    output: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    artifact: str | None = Field(default=None, description="Id of the whole answer when `output` is a preview.")


AgentFunction = Callable[[FunctionCall], Awaitable[AgentOutput] | AgentOutput]


class Agent(BaseModel, Generic[Out_co]):
    """One agent of the catalogue: instructions and settings for a model, or `function` for plain code."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")
    name: str = Field(min_length=1)
    squad: str = Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")
    description: str = Field(min_length=1)
    capabilities: tuple[str, ...] = Field(min_length=1)
    instructions: str = ""
    input_model: type[BaseModel]
    output_model: type[Out_co] = _OUTPUT
    settings: ModelSettings = ModelSettings()
    model: str | None = Field(
        default=None,
        description="The model of this agent. Unlike `settings.default_model`, the installation's default does not "
        "replace it.",
    )
    pricing: Pricing = Pricing()
    function: AgentFunction | None = None
    tools: tuple[Annotated[InstanceOf[Tool] | InstanceOf[AgentTool], BeforeValidator(as_tool)], ...] = ()
    toolsets: tuple[InstanceOf[McpServer] | InstanceOf[Files] | InstanceOf[HttpGet] | InstanceOf[AskPerson], ...] = ()
    fallback_models: tuple[str, ...] = Field(
        default=(), description="Models that are asked in turn once the attempts of the one before are used up."
    )
    max_turns: int = Field(default=20, ge=1, le=1000, description="Turns with tools; one more turn must answer.")
    max_cost: float | None = Field(default=None, gt=0, description="USD of one call; then one more turn must answer.")
    source: str = "built-in"
    listed: bool = Field(default=True, description="False for an internal agent of a surface: lists leave it out.")

    @property
    def acts(self) -> bool:
        """Whether it has tools: its calls then have turns."""
        return bool(self.tools or self.toolsets)

    def tool_names(self) -> list[str]:
        """The names of its tools, as the model sees them."""
        return names_of(self.tools, self.toolsets)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that its tools need."""
        functions = [tool for tool in self.tools if isinstance(tool, Tool)]
        servers = [toolset for toolset in self.toolsets if isinstance(toolset, McpServer)]
        parameters = (secret for tool in functions for secret in tool.signature.secrets.values())
        return (*parameters, *(secret for server in servers for secret in server.secrets))

    @model_validator(mode="after")
    def _tools_are_sound(self) -> Self:
        if self.acts and self.function is not None:
            raise ValueError(f"agent {self.id!r} has a function and tools: a function calls what it needs by itself")
        names = self.tool_names()
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"agent {self.id!r} has two tools of one name: {', '.join(doubles)}")
        return self

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the input of a job of this agent (D-021)."""
        return self.input_model.model_json_schema()

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the output of a job of this agent (D-021, D-022); typed fields are in `metadata.data`."""
        schema = self.output_model.model_json_schema()
        fields = schema["properties"]
        typed_fields = {name: field for name, field in fields.items() if name not in AgentOutput.model_fields}
        data = {"type": "object", "description": "The agent's typed fields.", "properties": typed_fields}
        return {
            "type": "object",
            "properties": {
                "status": {"type": "string", "enum": ["success", "partial"]},
                "output": {**fields["output"], "type": "string"},
                "deliverables": fields["deliverables"],
                "metadata": {"type": "object", "properties": {"data": data}},
            },
            "required": ["status", "output", "metadata"],
            "$defs": schema.get("$defs", {}),
        }
