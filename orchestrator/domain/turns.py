"""The turns of an agent with tools: one model request each, and the tool calls that it asks for (decision 0035).

The first turn has the activity of any agent call. Its result says what the workflow does next, policy included, so that
history alone decides, and workflow code needs no catalogue. Messages and long values are stored beside the job.
"""

import hashlib
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from orchestrator.domain.errors import AgentError
from orchestrator.domain.jobs import JobError
from orchestrator.domain.plans import RetryPolicy
from orchestrator.domain.tally import Tally
from orchestrator.domain.usage import Usage

MODEL_BYTES: Final = 16_000  # The most of a tool's result that the model gets at once.
ARGUMENT_BYTES: Final = 4_000  # Longer arguments are stored with their turn; history has their beginning.
ARGUMENTS_BYTES: Final = 16_000  # So many of all calls of one turn together: each gets an equal share.
PREVIEW_CHARACTERS: Final = 200
MAX_DEPTH: Final = 3  # An agent may call an agent that calls an agent.
MAX_PARALLEL: Final = 8  # Tool calls of one turn that run at the same time.
TOOL_FAILED: Final = "tool_failed"  # The error type of a tool that reports a failure: its message is for the model.
FAILED_LEAD: Final = "The tool failed. "  # What the model hears before the text of a failed call.
TOOL_TIMEOUT: Final = "tool_timeout"
MCP_TOOL_CHANGED: Final = "mcp_tool_changed"  # The error type of a pinned MCP tool that is not what it was.
DETAIL_FALLBACK: Final = "fallback"  # In the details of an error: the model that is asked next.

_ASK_SECONDS: Final = 7 * 86_400.0
_DIGEST_LENGTH: Final = 16


class ToolFailed(AgentError):
    """A tool reports a failure. The message is for the model; another attempt would not help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=TOOL_FAILED, retryable=False)


UseKind = Literal["function", "agent", "question"]
AnswerStatus = Literal["completed", "failed", "refused", "unknown", "skipped"]


class TurnMessage(BaseModel):
    """A part of a message through Temporal: immutable; it ignores fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ToolRequest(TurnMessage):
    """One tool call that a turn asks for, with everything that the workflow needs to make it.

    A call with a `fault` is not made: the model hears why.
    """

    number: int = Field(description="Its place in the turn, from 1.")
    tool: str
    kind: UseKind = "function"
    target: str = Field(default="", description="The agent that an agent tool calls.")
    arguments: dict[str, Any] = Field(default_factory=dict)
    stored: bool = Field(default=False, description="The arguments are stored with the turn; `arguments` is empty.")
    shown: str = Field(default="", description="The beginning of the arguments, for people.")
    fault: str | None = None
    timeout: float = 60.0
    retry: RetryPolicy = RetryPolicy(maximum_attempts=3)
    on_error: Literal["report", "fail"] = "report"
    sequential: bool = False
    at_most_once: bool = False
    ask_before: bool = False
    by: tuple[str, ...] = ()
    ask_timeout: float = _ASK_SECONDS
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema of a question's form, or of the arguments that a person may change.",
    )

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what is said: a turn of hundreds of calls stays in history, where the status reads it."""
        return {
            name: value
            for name, value in handler(self).items()
            if name not in _REQUEST_DEFAULTS or getattr(self, name) != _REQUEST_DEFAULTS[name]
        }


_REQUEST_DEFAULTS: Final = {
    name: each.get_default(call_default_factory=True)
    for name, each in ToolRequest.model_fields.items()
    if not each.is_required()
}


class ChangedTool(TurnMessage):
    """An allowed tool of an MCP server whose definition changed since the job listed it before."""

    server: str
    tool: str
    parts: list[str] = Field(description="What changed: `description`, `schema`.")


class AgentTurn(TurnMessage):
    """What a turn found: the model asks for tools, or must correct its answer (no calls)."""

    number: int
    calls: list[ToolRequest] = Field(default_factory=list)
    max_turns: int
    max_cost: float | None = None
    tokens: int = Field(default=0, description="Tokens of the conversation so far.")
    invalid: int = Field(default=0, description="Turns in a row with nothing but faults.")
    conversation: str = Field(default="", description="The name of the conversation up to here.")
    counts_attempts: bool = Field(
        default=False,
        description="Before one of the calls is cancelled, the workflow counts its attempts. False in old histories.",
    )


class ToolAnswer(TurnMessage):
    """The answer to one tool call. A long result is stored under the id of its activity; `text` is then empty."""

    number: int
    status: AnswerStatus = "completed"
    text: str = ""
    note: str = Field(default="", description="What the model hears beside a result, such as a person's changes.")
    stored: str = Field(default="", description="The activity whose stored result it is.")
    digest: str = Field(default="", description="The digest of that result.")


class TurnTask(TurnMessage):
    """The part of an `AgentTask` for a turn after the first. The messages so far are stored beside the job."""

    number: int
    answers: list[ToolAnswer] = Field(default_factory=list)
    last: Literal["", "turns", "cost"] = Field(default="", description="Why this turn gets no tools: it must answer.")
    tokens: int = Field(default=0, description="Tokens of the conversation so far.")
    invalid: int = 0
    conversation: str = Field(default="", description="The name of the conversation before this turn.")


class ToolTask(TurnMessage):
    """Input of the activity of one tool call."""

    job_id: str
    owner: str = ""
    id: str = Field(description="Its activity's id: the call, the turn, its place in the turn.")
    agent: str
    tool: str
    turn: int
    number: int
    arguments: dict[str, Any] | None = Field(default=None, description="None if they are stored with the turn.")
    edited: bool = False
    retry: RetryPolicy = RetryPolicy(maximum_attempts=3)
    at_most_once: bool = False
    tally: Tally = Tally()


class ToolResult(TurnMessage):
    """Output of that activity: the beginning of the result. The whole is stored under the id of the activity."""

    tool: str
    preview: str = ""
    bytes: int = 0
    digest: str = ""
    attempt: int = 1


class CountTask(TurnMessage):
    """Input of the activity that counts the attempts of the open tool calls of its job."""

    job_id: str


class ToolAttempts(TurnMessage):
    """The attempts of a tool call that have begun. `error` is that of the last one, if it has ended.

    Temporal's number of a try is higher by `waited`: in so many tries no attempt began.
    """

    id: str = Field(description="The id of the call's activity.")
    attempts: int
    waited: int = 0
    error: JobError | None = None


class CountedAttempts(TurnMessage):
    """Output of that activity. Calls that have not begun, or are in their first try, are left out."""

    calls: list[ToolAttempts] = Field(default_factory=list)


class TurnState(TurnMessage):
    """A call between two turns, as a run passes it to the run that continues it. `call` is its id without a path."""

    call: str
    next: TurnTask
    usage: Usage = Usage()
    spent: float = Field(default=0.0, description="USD of the call and of the agents that it called.")
    attempts: int = 0
    fallback: int = 0
    model: str | None = None


def result_digest(text: str) -> str:
    """The digest of a tool's result."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_DIGEST_LENGTH]


def is_tool_path(path: str) -> bool:
    """Whether the path of a call's id is that of a tool call: `t3.2`. That of a turn is `t3`, or `t3m2`."""
    return "." in path


def turn_of(path: str) -> int:
    """The number of the turn in a path; 1 for the first activity of a call, which has none."""
    number = path.removeprefix("t").partition(".")[0].partition("m")[0]
    return int(number) if number.isdigit() else 1


def tool_type(agent: str, tool: str) -> str:
    """The activity type of a tool call. Agents' ids have no dots, so it is never that of an agent."""
    return f"{agent}.{tool}"
