"""The tools that one turn offers to its model, with the policy that the workflow follows for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import structlog
from pydantic import BaseModel, Field, create_model
from pydantic_ai.tools import ToolDefinition

from orchestrator.domain.agents import Agent
from orchestrator.domain.expressions import Cel
from orchestrator.domain.json_schema import SchemaFault, faults_of
from orchestrator.domain.schemas import shown
from orchestrator.domain.text import error_message
from orchestrator.domain.text import name as one_line
from orchestrator.domain.tool_conditions import holds
from orchestrator.domain.tool_schemas import faults_in, schema_of
from orchestrator.domain.tools import (
    READ_RESULT,
    TOOL_RETRY,
    AgentTool,
    AskPerson,
    Files,
    HttpGet,
    McpServer,
    Tool,
    mcp_name,
)
from orchestrator.domain.turns import ToolRequest

log = structlog.get_logger(__name__)

_DESCRIPTION_LIMIT: Final = 4_000
_FAULT_LIMIT: Final = 300
_MAX_FAULTS: Final = 3
_OFFERS: Final = 1000  # Offers that are kept: building a schema costs more than a request. Old plugins' ones give way.


class _File(BaseModel):
    path: str = Field(min_length=1, max_length=255, description="Relative path, such as docs/report.md")
    content: str
    media_type: str = "text/markdown"


class _Page(BaseModel):
    url: str = Field(description="An http or https URL of a public host")


class _Question(BaseModel):
    question: str = Field(min_length=1, max_length=2_000, description="The question to the person, complete in itself")


class _Reading(BaseModel):
    result: str = Field(description="The id of the result, such as t3.1")
    offset: int = Field(default=0, ge=0, description="The first character")
    limit: int = Field(default=10_000, ge=1, le=10_000, description="The number of characters")


class _Task(BaseModel):
    task: str = Field(min_length=1, description="What the agent is to do, with everything that it must know")


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool as the model sees it. `arguments` validates them; without it, the JSON Schema does.

    `use` is the call that the workflow makes, without its arguments. With a `condition`, a person is asked only if it
    is true for them.
    """

    name: str
    description: str
    schema: dict[str, Any]
    use: ToolRequest
    arguments: type[BaseModel] | None = None
    condition: Cel | None = None

    def definition(self) -> ToolDefinition:
        """The tool for the model layer."""
        return ToolDefinition(name=self.name, description=self.description, parameters_json_schema=self.schema)

    def asks(self, arguments: dict[str, Any]) -> bool:
        """Whether a person must say yes to a call with these arguments, which fit. May run author code."""
        if self.condition is None:
            return self.use.ask_before
        try:
            return holds(self.condition, self.arguments, arguments)
        except Exception as error:  # noqa: BLE001 - the edge of author code: its types convert the arguments
            reason = one_line(error_message(error), _FAULT_LIMIT)
            log.warning("tool_condition_failed", tool=self.name, condition=self.condition.cel, error=reason)
            return True

    def fault(self, arguments: dict[str, Any]) -> str | None:
        """Why the arguments do not fit, or None. May run author code."""
        if self.arguments is not None:
            return faults_in(self.arguments, arguments)
        try:
            faults = faults_of(self.schema, arguments, _MAX_FAULTS)
        except SchemaFault:  # The server checks what its own schema cannot.
            return None
        return one_line("; ".join(faults), _FAULT_LIMIT) or None


def offers(
    agent: Agent, listed: Mapping[str, Sequence[Mapping[str, Any]]], *, agents: Mapping[str, Agent], cut: bool
) -> list[Offer]:
    """Every tool of an agent. `listed` holds the tools of its MCP servers, `cut` says whether a result was cut."""
    box = [_of_tool(tool, agents) for tool in agent.tools]
    for toolset in agent.toolsets:
        match toolset:
            case McpServer():
                box += _of_server(agent, toolset, listed.get(toolset.name, ()))
            case Files():
                box.append(_own("write_file", "Write a file. It becomes a part of your answer.", _File))
            case HttpGet():
                text = "Read a page of the internet as text."
                box.append(_own("http_get", text, _Page, timeout=toolset.timeout))
            case AskPerson():
                box.append(_of_question(toolset))
    if cut:
        text = "Read more of a result that was cut."
        box.append(_own(READ_RESULT, text, _Reading))
    return box


def _of_tool(tool: Tool | AgentTool, agents: Mapping[str, Agent]) -> Offer:
    return _of_agent(tool, agents) if isinstance(tool, AgentTool) else _of_function(tool)


@lru_cache(maxsize=_OFFERS)
def _of_function(tool: Tool) -> Offer:
    signature = tool.signature
    use = ToolRequest(
        number=1,
        tool=tool.name,
        timeout=tool.timeout,
        retry=tool.retry,
        on_error=tool.on_error,
        sequential=tool.sequential,
        at_most_once=tool.at_most_once,
        ask_before=bool(tool.ask_before),
        by=tool.by,
        ask_timeout=tool.ask_timeout,
        parameters=signature.schema() if tool.ask_before else None,
    )
    text = tool.description or signature.description
    condition = tool.ask_before if isinstance(tool.ask_before, Cel) else None
    return Offer(tool.name, text, signature.schema(), use, signature.arguments, condition)


def _of_agent(tool: AgentTool, agents: Mapping[str, Agent]) -> Offer:
    agent = agents.get(tool.agent)
    use = ToolRequest(number=1, tool=tool.name, kind="agent", target=tool.agent)
    text = tool.description or (agent.description if agent else f"The agent {tool.agent}.")
    fields = agent.input_model.model_fields if agent else {}
    arguments = agent.input_model if agent and fields else _Task
    return Offer(tool.name, text, schema_of(arguments), use, arguments)


def _of_server(agent: Agent, server: McpServer, tools: Sequence[Mapping[str, Any]]) -> list[Offer]:
    return [
        _of_server_tool(mcp_name(server, tool["name"], agent.tools, agent.toolsets), server, tool) for tool in tools
    ]


def _of_server_tool(name: str, server: McpServer, tool: Mapping[str, Any]) -> Offer:
    schema = dict(tool.get("inputSchema") or {"type": "object"})
    asks = server.asks_before(tool["name"])
    use = ToolRequest(
        number=1,
        tool=name,
        timeout=server.timeout,
        retry=server.retry,
        at_most_once=tool["name"] in server.at_most_once,
        ask_before=bool(asks),
        by=server.by,
        parameters=schema if asks else None,
    )
    text = str(tool.get("description") or name)[:_DESCRIPTION_LIMIT]
    return Offer(name, text, schema, use, condition=asks if isinstance(asks, Cel) else None)


def _of_question(toolset: AskPerson) -> Offer:
    text = f"Ask a person, who fills in a form: {toolset.form.__doc__ or toolset.form.__name__}"
    use = ToolRequest(
        number=1,
        tool="ask_person",
        kind="question",
        ask_timeout=toolset.timeout,
        by=toolset.by,
        parameters=toolset.form.model_json_schema(),
    )
    return Offer("ask_person", text[:_DESCRIPTION_LIMIT], schema_of(_Question), use, _Question)


@lru_cache(maxsize=_OFFERS)
def _own(name: str, text: str, arguments: type[BaseModel], *, timeout: float = 60.0) -> Offer:
    use = ToolRequest(number=1, tool=name, timeout=timeout, retry=TOOL_RETRY)
    return Offer(name, text, schema_of(arguments), use, create_model(name, __base__=arguments))


def beginning(arguments: Mapping[str, Any]) -> str:
    """The beginning of arguments, for people."""
    return ", ".join(f"{key}: {shown(value)}" for key, value in arguments.items())[:_FAULT_LIMIT]
