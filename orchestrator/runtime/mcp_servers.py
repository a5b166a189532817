"""MCP servers as sources of tools. A worker keeps its connections between the calls of one job."""

import asyncio
import hashlib
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx2
import structlog

from orchestrator.domain.errors import AgentError
from orchestrator.domain.json_schema import evaluable, schema_fault
from orchestrator.domain.text import error_message, error_name
from orchestrator.domain.tools import McpServer
from orchestrator.domain.turns import ToolFailed
from orchestrator.runtime.last_words import LastWords, last_words
from orchestrator.runtime.mcp_connections import McpConnections
from orchestrator.runtime.tool_secrets import ToolSecrets

if TYPE_CHECKING:
    from mcp import Client

log = structlog.get_logger(__name__)

EFFECT_KEY: Final = "orchestrator/effect-id"
DIGESTS: Final = "digests"  # In a listed tool: digests of the parts of its definition.
UNREACHABLE: Final = "mcp_unreachable"
_LIST_SECONDS: Final = 30.0
_MAX_PAGES: Final = 50
_WORDS: Final = 500
# Errors of JSON-RPC that the model can correct, and the one of a server that forgot the session.
_INVALID_ARGUMENTS: Final = -32602


class McpServers:
    """Lists and calls tools of MCP servers."""

    def __init__(self, secrets: ToolSecrets) -> None:
        self._secrets = secrets
        self._connections = McpConnections(self._connect)
        self._ignored: set[tuple[str, str]] = set()  # Tools that the log has.

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()

    async def tools(self, server: McpServer, job_id: str = "") -> list[dict[str, Any]]:
        """The allowed tools of a server. Raises `AgentError`: a missing one is not retryable."""
        async with self._connected(server, job_id) as client, asyncio.timeout(_LIST_SECONDS):
            listed: dict[str, dict[str, Any]] = {}
            cursor: str | None = None
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                for tool in page.tools:
                    listed[tool.name] = {
                        "name": tool.name,
                        "description": self._secrets.masked(tool.description or ""),
                        "inputSchema": _evaluable(server, tool.name, tool.input_schema),
                        DIGESTS: {"description": _digest(tool.description or ""), "schema": _digest(tool.input_schema)},
                    }
                cursor = page.next_cursor
                if cursor is None:
                    break
        if missing := [name for name in server.allow if name not in listed]:
            raise AgentError(
                f"{server.label()} has no tool {', '.join(missing)}. It has: {', '.join(sorted(listed))[:300]}.",
                kind="unknown_tool",
                retryable=False,
            )
        ignored = {(server.name, name) for name in listed.keys() - set(server.allow)}
        if new := sorted(name for _, name in ignored - self._ignored):
            self._ignored |= ignored
            log.info("mcp_tools_ignored", server=server.name, tools=new[:50])
        return [listed[name] for name in server.allow]

    async def call(
        self,
        server: McpServer,
        tool: str,
        arguments: dict[str, Any],
        *,
        effect_id: str,
        seconds: float,
        job_id: str = "",
    ) -> str:
        """The text of a tool's result. Raises `ToolFailed` for a failure that the tool reports, else `AgentError`."""
        meta: Any = {EFFECT_KEY: effect_id}  # Any key is allowed in it; the type of the SDK lists its own.
        async with self._connected(server, job_id, tool) as client:
            result = await client.call_tool(tool, arguments, read_timeout_seconds=seconds, meta=meta)
        parts = [_text(block) for block in getattr(result, "content", ())]
        text = self._secrets.masked("\n\n".join(part for part in parts if part))
        if getattr(result, "is_error", False):
            raise ToolFailed(text or "The tool failed without a message.")
        return text

    @asynccontextmanager
    async def _connected(self, server: McpServer, job_id: str, tool: str = "") -> AsyncIterator["Client"]:
        """A client of the server. Raises `AgentError` for what the SDK raises."""
        # Only agents with MCP servers pay for the import, and no other call waits for it.
        await asyncio.to_thread(importlib.import_module, "mcp.client.streamable_http")
        from mcp import MCPError  # noqa: PLC0415

        what = server.label(tool)
        try:
            async with self._connections.lent(server, job_id) as client:
                yield client
        except MCPError as error:
            message = self._reason(error)
            if error.code == _INVALID_ARGUMENTS:
                raise ToolFailed(message) from None
            raise AgentError(f"{what}: {message}", kind="mcp_error", retryable=True) from None
        except AgentError:
            raise
        except (OSError, httpx2.HTTPError, TimeoutError, ExceptionGroup) as error:
            if faults := _own_faults(error):
                raise faults[0] from None
            message = f"{what} does not answer: {self._reason(error)}"
            raise AgentError(message, kind=UNREACHABLE, retryable=True) from None

    def _reason(self, error: Exception) -> str:
        """Why a server does not answer, with what its program wrote last."""
        reason = self._secrets.masked(error_message(_first(error)) or error_name(error))
        # Masked before they are cut: the end of a secret is one, too.
        words = [self._secrets.masked(note)[-_WORDS:] for note in getattr(error, "__notes__", ())]
        return f"{reason}. Its program wrote: {words[0]}" if words else reason

    async def _connect(self, server: McpServer, stack: AsyncExitStack) -> "Client":
        from mcp import Client, MCPError  # noqa: PLC0415

        words = None if server.url else await stack.enter_async_context(last_words())
        target = await self._target(server, stack, words)
        try:
            client = await stack.enter_async_context(Client(target, read_timeout_seconds=server.timeout))
        except (MCPError, OSError, ExceptionGroup) as error:
            if words is not None and (text := await words.text()):
                error.add_note(text)
            raise
        # The model reads the text. The SDK would list all tools again, and match the server's own patterns with
        # Python's engine, which a single one can hold for ever.
        client.session.validate_tool_result = _accepted  # type: ignore[method-assign]
        return client

    async def _target(self, server: McpServer, stack: AsyncExitStack, words: LastWords | None) -> Any:
        if words is None:
            from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

            headers = {"Authorization": f"Bearer {self._secrets.value(server.token)}"} if server.token else {}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=server.timeout))
            return streamable_http_client(server.url, http_client=http)
        from mcp import StdioServerParameters  # noqa: PLC0415
        from mcp.client.stdio import stdio_client  # noqa: PLC0415

        environment = {secret.name: self._secrets.value(secret) for secret in server.environment}
        program, *arguments = server.command
        return stdio_client(
            StdioServerParameters(command=program, args=arguments, env=environment or None), errlog=words.file
        )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _evaluable(server: McpServer, tool: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool as far as it is evaluated here. The server checks the rest."""
    fault = schema_fault(schema)
    if fault is None:
        return schema
    try:
        schema = evaluable(schema)
    except RecursionError:  # it is nested more deeply than any arguments
        schema = {"type": "object"}
    log.warning(
        "mcp_schema_not_checked", server=server.name, tool=tool, fault=fault, whole=schema_fault(schema) is not None
    )
    return schema


async def _accepted(name: str, result: Any) -> None:
    """Accept a result whatever the output schema of its tool says."""


def _text(block: Any) -> str:
    """A block of a result as text; a binary one only by its kind and size."""
    match getattr(block, "type", ""):
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {len(block.data)} characters of base64: not shown]"
        case "resource":
            return str(getattr(block.resource, "text", f"[binary resource {block.resource.uri}]"))
        case kind:
            return f"[{kind} {getattr(block, 'uri', '')}]"


def _own_faults(error: BaseException) -> list[AgentError]:
    """Our own errors inside the groups that the SDK's task groups raise."""
    if isinstance(error, AgentError):
        return [error]
    if isinstance(error, BaseExceptionGroup):
        return [fault for inner in error.exceptions for fault in _own_faults(inner)]
    return []


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
