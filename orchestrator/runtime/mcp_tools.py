"""The tools of the MCP servers of a job: listed once for each agent call, and compared with the last time."""

from typing import Any

import structlog

from orchestrator.domain.agents import Agent
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.tools import McpServer
from orchestrator.domain.turns import MCP_TOOL_CHANGED, ChangedTool, ToolTask
from orchestrator.runtime.mcp_servers import DIGESTS, McpServers
from orchestrator.runtime.turn_records import ListedTools, TurnRecords

log = structlog.get_logger(__name__)


class McpTools:
    """Lists and calls the tools of an agent's servers, and notices a definition that changed within the job."""

    def __init__(self, records: TurnRecords, servers: McpServers) -> None:
        self._records = records
        self._servers = servers

    async def listed(self, agent: Agent, task: AgentTask) -> ListedTools:
        """The tools of the agent's servers for one call, with what changed since the job listed them before.

        Raises `AgentError`; of kind `mcp_tool_changed`, not retryable, if a pinned server changed an allowed tool.
        """
        servers = [toolset for toolset in agent.toolsets if isinstance(toolset, McpServer)]
        if not servers:
            return ListedTools()
        call = str(task.call_id._replace(path=""))
        stored = await self._records.tools(task.job_id, call, agent.id)
        if stored is not None:
            return stored
        listed = ListedTools(
            servers={server.name: await self._servers.tools(server, task.job_id) for server in servers}
        )
        places = {server.name: _place(server) for server in servers}
        before = await self._records.definitions(task.job_id, list(places.values()))
        for server in servers:
            changed = _changes(server, before.get(places[server.name], {}), listed.servers[server.name])
            if changed and server.pinned:
                raise _refused(changed[0])
            listed.changed.extend(changed)
        await self._records.keep_tools(task.job_id, call, listed)
        for name, place in places.items():
            now = {tool["name"]: tool[DIGESTS] for tool in listed.servers[name]}
            if before.get(place) != (merged := before.get(place, {}) | now):
                await self._records.keep_definitions(task.job_id, place, merged)
        for change in listed.changed:
            log.warning("mcp_tool_changed", server=change.server, tool=change.tool, parts=change.parts)
        return listed

    async def call(
        self,
        server: McpServer,
        tool: str,
        arguments: dict[str, Any],
        task: ToolTask,
        *,
        effect_id: str,
        seconds: float,
    ) -> str:
        """The text of a tool's result. Raises `AgentError`, also if a pinned tool is not what its agent call listed."""
        if server.pinned:
            await self._check(server, tool, task)
        return await self._servers.call(
            server, tool, arguments, effect_id=effect_id, seconds=seconds, job_id=task.job_id
        )

    async def _check(self, server: McpServer, tool: str, task: ToolTask) -> None:
        id = CallId.parse(task.id)
        listed = await self._records.tools(task.job_id, str(id._replace(path="")), task.agent) if id else None
        earlier = listed.servers.get(server.name, []) if listed else []
        before = {each["name"]: each.get(DIGESTS) for each in earlier if each["name"] == tool}
        now = [each for each in await self._servers.tools(server, task.job_id) if each["name"] == tool]
        if changed := _changes(server, before, now):
            raise _refused(changed[0])


def _place(server: McpServer) -> str:
    """Where a job keeps what it knows of a server: the same for every agent that uses it."""
    return f"{server.name}:{server.url or ' '.join(server.command)}"[:200]


def _changes(server: McpServer, before: dict[str, Any], tools: list[dict[str, Any]]) -> list[ChangedTool]:
    changes = []
    for tool in tools:
        known_digests = before.get(tool["name"]) or {}
        parts = [part for part, digest in tool[DIGESTS].items() if known_digests.get(part, digest) != digest]
        if parts:
            changes.append(ChangedTool(server=server.name, tool=tool["name"], parts=parts))
    return changes


def _refused(change: ChangedTool) -> AgentError:
    message = (
        f"MCP server {change.server} changed the {' and the '.join(change.parts)} of its tool {change.tool} during "
        "this job, and the server is pinned. Check the server, then retry the job."
    )
    return AgentError(message, kind=MCP_TOOL_CHANGED, retryable=False)
