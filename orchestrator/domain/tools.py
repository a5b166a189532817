"""What an agent can do besides answering: functions, MCP servers, other agents, and toolsets of the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from pydantic import BaseModel

from orchestrator.domain.cel import CelFault
from orchestrator.domain.expressions import Cel
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.plans import RetryPolicy
from orchestrator.domain.questions import check_people
from orchestrator.domain.tool_conditions import check_condition
from orchestrator.domain.tool_schemas import TOOL_NAME, Secret, ToolSignature, signature_of

READ_RESULT: Final = "read_result"
# Names of the engine: the model's answer is a tool call, too.
RESERVED: Final = frozenset({"answer", READ_RESULT})
TOOL_RETRY: Final = RetryPolicy(maximum_attempts=3)
TOOL_SECONDS: Final = 60.0
ASK_SECONDS: Final = 7 * 86_400.0

OnError: TypeAlias = Literal["report", "fail"]
Reads: TypeAlias = Literal["", "untrusted"]
Effect: TypeAlias = Literal["", "outward"]


def check_name(name: str, what: str) -> None:
    """Raise `ValueError` for a name that no model could call."""
    if not TOOL_NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r} needs another name: expected a-z, 0-9 and _, at most 64 characters")
    if name in RESERVED:
        raise ValueError(f"{what} {name!r} needs another name: the engine has a tool of that name")


def _check_word(what: str, value: object, words: object) -> None:
    """Raise `ValueError` for a value that is none of the words of a literal type."""
    choices = [str(word) for word in get_args(words)]
    if value not in choices:
        names = " or ".join(repr(word) for word in choices)
        raise ValueError(f"{what} is {value!r}: expected {names}.{near_match(str(value), filter(None, choices))}")


def _check_limits(what: str, timeout: float, by: tuple[str, ...]) -> None:
    if not timeout > 0:
        raise ValueError(f"{what}: timeout is {timeout!r}: expected seconds, more than 0")
    if isinstance(by, str):
        raise TypeError(f"{what}: by is a str: use a tuple, also for one entry: ({by!r},)")
    try:
        check_people(by)
    except ValueError as fault:
        raise ValueError(f"{what}: by: {fault}") from None


def _check_ask_before(what: str, condition: object, schema: Mapping[str, Any] | None) -> None:
    """Without the schema of the arguments, which a server has not listed yet, their names and types are not checked."""
    if isinstance(condition, bool):
        return
    if not isinstance(condition, Cel):
        expected = f"cel({condition!r})" if isinstance(condition, str) else 'cel("args.… > …")'
        raise TypeError(f"{what} is no condition: write True, False or {expected}")
    try:
        check_condition(condition, schema)
    except CelFault as fault:
        raise ValueError(f"{what} {condition.cel!r}: {fault}") from None


@dataclass(frozen=True)
class Tool:
    """A function as a tool, with its policy. A plain function in `Agent(tools=…)` has the policy of the defaults.

    `ask_before`: a person sees the arguments first, and may change or refuse them; `by` says who may. With a condition
    such as `cel("args.amount > 50.0")`, only calls for which it is true wait, and those for which it has no value. No
    answer within `ask_timeout` seconds is a refusal.
    `timeout` is seconds of one attempt. After the last attempt, the model gets the error, unless `on_error` is "fail".
    `sequential` runs the call alone: after the calls before it, before those after it. `at_most_once` makes one
    attempt: after a crash, the model hears that it is unknown whether the call had its effect.
    `reads="untrusted"` says that its results contain texts of others, `effect="outward"` that it changes something
    outside. An agent with both and no `ask_before` is a warning when it is loaded: such a text could make it act.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    ask_before: bool | Cel = False
    by: tuple[str, ...] = ()
    ask_timeout: float = ASK_SECONDS
    timeout: float = TOOL_SECONDS
    retry: RetryPolicy = TOOL_RETRY
    on_error: OnError = "report"
    sequential: bool = False
    at_most_once: bool = False
    reads: Reads = ""
    effect: Effect = ""
    signature: ToolSignature = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"a tool is a function: got {type(self.function).__name__}")
        object.__setattr__(self, "name", self.name or getattr(self.function, "__name__", "tool"))
        check_name(self.name, "tool")
        _check_limits(f"tool {self.name!r}", self.timeout, self.by)
        object.__setattr__(self, "by", tuple(self.by))  # A tool is hashable.
        for field_name, words in (("on_error", OnError), ("reads", Reads), ("effect", Effect)):
            _check_word(f"tool {self.name!r}: {field_name}", getattr(self, field_name), words)
        object.__setattr__(self, "signature", signature_of(self.function, self.name))
        _check_ask_before(f"tool {self.name!r}: ask_before", self.ask_before, self.signature.schema())


@dataclass(frozen=True)
class AgentTool:
    """Another agent of the catalogue as a tool: it gets the arguments as its input, and its answer is the result."""

    agent: str
    description: str = ""

    @property
    def name(self) -> str:
        """The tool has the name of the agent."""
        return self.agent

    def __post_init__(self) -> None:
        check_name(self.agent, "agent")


@dataclass(frozen=True)
class McpServer:
    """An MCP server: by `url` (streamable HTTP), or by `command` (a program beside the worker, over stdio).

    `allow` names the tools that the agent may call; others of the server do not exist for it. `token` is sent as bearer
    token. `environment` names the variables that the program gets besides HOME, PATH and the like. The tools are listed
    once for each agent call. If the description or the schema of one changes during a job, the job has an event; if the
    server is `pinned`, the agent call fails, and a tool is looked at again before each call of it. A person is asked
    before calls of the tools in `ask_before`; `{"refund": cel("args.amount > 50.0")}` asks only for some of them.
    """

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    token: Secret | None = None
    environment: tuple[Secret, ...] = ()
    ask_before: tuple[str, ...] | Mapping[str, bool | Cel] = field(default=(), hash=False)
    by: tuple[str, ...] = ()
    timeout: float = TOOL_SECONDS
    retry: RetryPolicy = TOOL_RETRY
    at_most_once: tuple[str, ...] = ()
    pinned: bool = False

    def __post_init__(self) -> None:
        what = f"MCP server {self.name!r}"
        check_name(self.name, "MCP server")
        if bool(self.url) == bool(self.command):
            raise ValueError(f"{what} needs either a url or a command")
        conditions = self.ask_before if isinstance(self.ask_before, Mapping) else {}
        for field_name in ("command", "allow", "environment", "ask_before", "at_most_once"):
            value = getattr(self, field_name)
            if not isinstance(value, tuple | list) and value is not conditions:
                raise TypeError(f"{what}: {field_name} must be a tuple, also for one entry")
        if not self.allow:
            raise ValueError(f"{what} allows no tool: name the tools that the agent may call in allow=(…)")
        for other in (*self.ask_before, *self.at_most_once):
            if other not in self.allow:
                raise ValueError(f"{what}: {other!r} is not in allow")
        for tool, condition in conditions.items():
            _check_ask_before(f"{what}: ask_before of {tool!r}", condition, None)
        _check_limits(what, self.timeout, self.by)

    def label(self, tool: str = "") -> str:
        """The server, or one of its tools, as people name it."""
        return f"tool {tool} of MCP server {self.name}" if tool else f"MCP server {self.name}"

    def asks_before(self, tool: str) -> bool | Cel:
        """Whether a person is asked before calls of a tool, or under which condition."""
        return self.ask_before.get(tool, False) if isinstance(self.ask_before, Mapping) else tool in self.ask_before

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret of the server."""
        return (*([self.token] if self.token else []), *self.environment)


@dataclass(frozen=True)
class Files:
    """The agent writes files with `write_file`. They become deliverables of its answer."""


@dataclass(frozen=True)
class HttpGet:
    """The agent reads pages of the internet with `http_get`: text, at most 1 MB, never from a private address.

    `hosts` limits it to hosts and their subdomains.
    """

    hosts: tuple[str, ...] = ()
    timeout: float = TOOL_SECONDS

    def __post_init__(self) -> None:
        _check_limits("HttpGet", self.timeout, self.hosts)


@dataclass(frozen=True)
class AskPerson:
    """The agent asks a person with `ask_person`: the model writes the question, the person fills in the form."""

    form: type[BaseModel]
    by: tuple[str, ...] = ()
    timeout: float = 86_400.0

    def __post_init__(self) -> None:
        if not (isinstance(self.form, type) and issubclass(self.form, BaseModel)):
            raise TypeError("AskPerson: form must be a pydantic model")
        _check_limits("AskPerson", self.timeout, self.by)


Toolset: TypeAlias = McpServer | Files | HttpGet | AskPerson
TOOLSET_NAMES: Final[Mapping[type, str]] = {Files: "write_file", HttpGet: "http_get", AskPerson: "ask_person"}


def as_tool(tool: object) -> object:
    """A plain function as a `Tool`; anything else unchanged."""
    return tool if isinstance(tool, Tool | AgentTool) or not callable(tool) else Tool(tool)


def names_of(tools: tuple[Tool | AgentTool, ...], toolsets: tuple[Toolset, ...]) -> list[str]:
    """The names of all tools. Those of an MCP server that another tool has get the prefix of the server."""
    names = [tool.name for tool in tools]
    names += [TOOLSET_NAMES[type(toolset)] for toolset in toolsets if not isinstance(toolset, McpServer)]
    for server in (toolset for toolset in toolsets if isinstance(toolset, McpServer)):
        names += [mcp_name(server, tool, tools, toolsets) for tool in server.allow]
    return names


def mcp_name(server: McpServer, tool: str, tools: tuple[Tool | AgentTool, ...], toolsets: tuple[Toolset, ...]) -> str:
    """The name of a server's tool for the model: its own, or with the server's name if another tool has that name."""
    others = [other.name for other in tools]
    for toolset in toolsets:
        if isinstance(toolset, McpServer):
            others += [] if toolset is server else toolset.allow
        else:
            others.append(TOOLSET_NAMES[type(toolset)])
    plain = TOOL_NAME.fullmatch(tool) and tool not in RESERVED and tool not in others
    return tool if plain else f"{server.name}_{''.join(c if c.isalnum() else '_' for c in tool.lower())}"[:64]


class HasTools(Protocol):
    """An agent, as far as its tools are concerned."""

    @property
    def tools(self) -> tuple[Tool | AgentTool, ...]:
        """Functions and agents."""

    @property
    def toolsets(self) -> tuple[Toolset, ...]:
        """Servers, and tools of the engine."""


def untrusted_tools(agent: HasTools) -> list[str]:
    """The tools and servers whose results contain texts of others."""
    names = [tool.name for tool in agent.tools if isinstance(tool, Tool) and tool.reads == "untrusted"]
    servers = [toolset.name for toolset in agent.toolsets if isinstance(toolset, McpServer)]
    pages = [TOOLSET_NAMES[HttpGet] for toolset in agent.toolsets if isinstance(toolset, HttpGet)]
    return [*names, *servers, *pages]


def outward_tools(agent: HasTools) -> list[str]:
    """The tools that change something outside without a person's yes."""
    tools = [tool for tool in agent.tools if isinstance(tool, Tool)]
    return [tool.name for tool in tools if tool.effect == "outward" and not tool.ask_before]
