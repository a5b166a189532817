"""Makes one tool call: an author's function, a tool of an MCP server, or one of the engine's own."""

import json
from collections.abc import Mapping
from functools import wraps
from typing import Any, Final, Protocol

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.domain.agents import Agent, Deliverable
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.errors import AgentError
from orchestrator.domain.file_names import names_a_file, safe_path
from orchestrator.domain.text import sound, sound_data
from orchestrator.domain.tool_schemas import ToolCall, ToolSignature
from orchestrator.domain.tools import READ_RESULT, Files, HttpGet, McpServer, Tool, mcp_name
from orchestrator.domain.turns import ToolFailed, ToolTask
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.mcp_tools import McpTools
from orchestrator.runtime.tool_secrets import ToolSecrets
from orchestrator.runtime.turn_messages import arguments_of, calls_of, messages_of
from orchestrator.runtime.turn_records import StoredResult, TurnRecords

UNKNOWN_TOOL: Final = "unknown_tool"
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024


class Pages(Protocol):
    """Reads a page of the internet behind the guard of addresses."""

    async def read(self, url: str, *, owner: str, seconds: float, hosts: tuple[str, ...] = ()) -> str:
        """The page as text. Raises `AgentError`."""


class ToolRunner:
    """Makes tool calls. A result is text for the model; every secret in it is masked."""

    def __init__(
        self, records: TurnRecords, mcp_tools: McpTools, pages: Pages, secrets: ToolSecrets, bulkhead: Bulkhead
    ) -> None:
        self._records = records
        self._mcp_tools = mcp_tools
        self._pages = pages
        self._secrets = secrets
        self._bulkhead = bulkhead

    def knows(self, agent: Agent, tool: str) -> bool:
        """Whether the agent has that tool here; another worker may have a newer plugin."""
        return tool == READ_RESULT or self._target(agent, tool) is not None

    async def stored(self, task: ToolTask, run_id: str) -> str | None:
        """The result that an earlier attempt of the same run stored, or None. Raises `Unavailable`."""
        stored = await self._records.result(task.job_id, task.id)
        return stored.text if stored is not None and stored.run_id == run_id else None

    async def call(self, agent: Agent, task: ToolTask, *, attempt: int, seconds: float, run_id: str) -> str:
        """The result of one attempt, stored already.

        Raises `AgentError`, of kind `tool_failed` with a text for the model, or the author's error.
        """
        arguments = await self._arguments(task)
        text = await self._call(agent, task, arguments, attempt=attempt, seconds=seconds)
        if len(text.encode(errors="replace")) > MAX_RESULT_BYTES:
            raise ToolFailed(f"The result is longer than {MAX_RESULT_BYTES // 1024 // 1024} MB: ask for less.")
        text = self._secrets.masked(sound(text))
        await self._records.keep_result(task.job_id, task.id, StoredResult(run_id=run_id, text=text))
        return text

    def label(self, agent: Agent, name: str) -> str:
        """The tool as people name it, with its server."""
        match self._target(agent, name):
            case (McpServer() as server, str() as tool):
                return server.label(tool)
            case _:
                return f"tool {name}"

    def masked(self, text: str) -> str:
        """A message without secrets."""
        return self._secrets.masked(text)

    async def _arguments(self, task: ToolTask) -> dict[str, Any]:
        if task.arguments is not None:
            return task.arguments
        record = await self._records.turn(task.job_id, task.id.rpartition(".")[0])
        calls = calls_of(messages_of(record)[-1]) if record else []
        if len(calls) < task.number or (arguments := arguments_of(calls[task.number - 1])) is None:
            raise AgentError(f"The arguments of {task.id} are missing.", kind="conversation_lost", retryable=False)
        return arguments

    async def _call(
        self, agent: Agent, task: ToolTask, arguments: dict[str, Any], *, attempt: int, seconds: float
    ) -> str:
        if task.tool == READ_RESULT:
            return await self._read_result(task, arguments)
        match self._target(agent, task.tool):
            case Tool() as tool:
                return await self._function(agent, tool, task, arguments, attempt)
            case (McpServer() as server, str() as name):
                effect = _effect_id(task)
                return await self._mcp_tools.call(server, name, arguments, task, effect_id=effect, seconds=seconds)
            case Files():
                return _written(arguments)
            case HttpGet() as pages:
                url = str(arguments.get("url", ""))
                return await self._pages.read(url, owner=task.owner, seconds=seconds, hosts=pages.hosts)
            case _:
                raise AgentError(f"Agent {agent.id} has no tool {task.tool}.", kind=UNKNOWN_TOOL, retryable=False)

    @staticmethod
    def _target(agent: Agent, name: str) -> object:
        tools = {tool.name: tool for tool in agent.tools if isinstance(tool, Tool)}
        if name in tools:
            return tools[name]
        for toolset in agent.toolsets:
            match toolset:
                case McpServer():
                    for tool in toolset.allow:
                        if mcp_name(toolset, tool, agent.tools, agent.toolsets) == name:
                            return toolset, tool
                case Files() if name == "write_file":
                    return toolset
                case HttpGet() if name == "http_get":
                    return toolset
        return None

    async def _function(self, agent: Agent, tool: Tool, task: ToolTask, arguments: dict[str, Any], attempt: int) -> str:
        signature = tool.signature
        call = ToolCall(
            job_id=task.job_id,
            step=task.id.partition(".")[0],
            agent=agent.id,
            tool=tool.name,
            turn=task.turn,
            attempt=attempt,
            effect_id=_effect_id(task),
        )
        secrets = {parameter: self._secrets.value(secret) for parameter, secret in signature.secrets.items()}

        @wraps(tool.function)  # The line of a function that blocks is the author's, not ours.
        async def run() -> str:
            # In the agent's own loop: validators of the types and serializers of the result are author code, too.
            values = _validated(signature, arguments)
            if signature.call:
                values[signature.call] = call
            result = await tool.function(**values, **secrets)
            return _as_text(result)

        return await self._bulkhead.call(agent.id, run, finish=str)

    async def _read_result(self, task: ToolTask, arguments: Mapping[str, Any]) -> str:
        """A part of an earlier result of the same call."""
        call = task.id.rpartition(".")[0].rpartition(".")[0]
        stored = await self._records.result(task.job_id, f"{call}.{arguments.get('result', '')}")
        if stored is None:
            raise ToolFailed(f"There is no result {str(arguments.get('result'))[:40]!r} in this conversation.")
        offset, limit = int(arguments.get("offset", 0)), int(arguments.get("limit", 10_000))
        part = stored.text[offset : offset + limit]
        return f"Characters {offset} to {offset + len(part)} of {len(stored.text)}:\n{part}"


def _effect_id(task: ToolTask) -> str:
    id = CallId.parse(task.id)
    return id.effect_id(task.job_id) if id else f"{task.job_id}/{task.id}"


def _validated(signature: ToolSignature, arguments: Mapping[str, Any]) -> dict[str, Any]:
    model = signature.arguments.model_validate(arguments)
    return {name: getattr(model, name) for name in signature.arguments.model_fields}


def _written(arguments: Mapping[str, Any]) -> str:
    path = str(arguments.get("path", ""))
    if not names_a_file(path):
        raise ToolFailed(f"The path {path[:40]!r} names no file: write it again as, for example, report.md.")
    file = Deliverable.model_validate(arguments)
    return f"Wrote {safe_path(file.path)}, {len(file.content.encode(errors='replace'))} bytes."


def _as_text(result: Any) -> str:
    """What a tool returned as text: text as it is, anything else as JSON."""
    if isinstance(result, str):
        return result
    if isinstance(result, bytes | bytearray):
        raise ToolFailed(f"The tool returned {len(result)} bytes of binary data, which the model cannot read.")
    data = result.model_dump(mode="json") if isinstance(result, BaseModel) else to_jsonable_python(result)
    return json.dumps(sound_data(data), ensure_ascii=False)
