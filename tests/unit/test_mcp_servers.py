"""MCP servers over HTTP: the allow-list, the token, results, and what another attempt may cure."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from mcp.server import MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.authoring import AgentError, McpServer, Secret
from orchestrator.runtime.mcp_connections import McpConnections
from orchestrator.runtime.mcp_servers import UNREACHABLE, McpServers
from orchestrator.runtime.tool_secrets import ToolSecrets
from orchestrator.testing import eventually

STDIO_WIKI = """
import os
from mcp.server import MCPServer
server = MCPServer("wiki")
@server.tool()
async def search(words: str) -> str:
    return str(os.getpid())
server.run("stdio")
"""
TOKEN = "very-secret-token"


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[tuple[str, list[str]]]:
    server = MCPServer("wiki")

    @server.tool()
    async def search(words: str) -> list[str]:
        """Find pages."""
        return [f"page about {words}", f"the token is {TOKEN}"]

    @server.tool()
    async def broken() -> str:
        """Always fails."""
        raise ValueError("no such page")

    @server.tool(structured_output=True)
    async def count(words: str) -> dict[str, str]:
        """Count words."""
        return {"words": words}

    listed = server._tool_manager.get_tool("count")
    assert listed is not None
    listed.parameters["properties"]["words"] |= {
        "pattern": "(?=x)",
        "$schema": "http://json-schema.org/draft-07/schema#",
    }
    listed.fn_metadata.output_schema = {"type": "object", "patternProperties": {"(?=x)": {}}, "required": ["more"]}

    tokens: list[str] = []

    def noting(app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                headers: dict[bytes, bytes] = dict(scope["headers"])
                tokens.append(headers.get(b"authorization", b"").decode())
            await app(scope, receive, send)

        return noted

    app: Any = server.streamable_http_app()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(noting(app), log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    http = uvicorn.Server(config)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", tokens
    http.should_exit = True
    await serving


def servers() -> McpServers:
    return McpServers(ToolSecrets({"WIKI_TOKEN": TOKEN}))


def _counting(opened: list[str]) -> McpConnections:
    """Connections to a real server that count how often one is opened."""
    source = servers()

    async def connect(server: McpServer, stack: AsyncExitStack) -> Any:
        opened.append(server.name)
        return await source._connect(server, stack)

    return McpConnections(connect, idle_seconds=30)


async def _search(connections: McpConnections, wiki: McpServer, job: str) -> Any:
    async with connections.lent(wiki, job) as client:
        return await client.call_tool("search", {"words": "tea"})


async def test_a_connection_is_kept_for_the_job_and_lent_to_one_call_at_a_time(site: tuple[str, list[str]]):
    wiki, opened = McpServer("wiki", url=site[0], allow=("search",)), list[str]()
    connections = _counting(opened)
    for _ in range(3):
        await _search(connections, wiki, "job_1")
    assert len(opened) == 1
    await _search(connections, wiki, "job_2")
    assert len(opened) == 2
    async with connections.lent(wiki, "job_1"):
        await asyncio.gather(*(_search(connections, wiki, "job_1") for _ in range(2)))
    assert len(opened) == 4
    await connections.aclose()
    assert not connections._owners


async def test_a_call_that_fails_and_one_that_is_cancelled_leave_no_connection(site: tuple[str, list[str]]):
    wiki, opened = McpServer("wiki", url=site[0], allow=("search",)), list[str]()
    connections = _counting(opened)
    with pytest.raises(ValueError, match="no"):
        async with connections.lent(wiki, "job"):
            raise ValueError("no")
    cut_off = asyncio.create_task(_search(connections, wiki, "job"))
    await asyncio.sleep(0)
    cut_off.cancel()
    await asyncio.wait({cut_off})
    assert not connections._idle
    await _search(connections, wiki, "job")
    assert len(connections._idle) == 1
    await connections.aclose()
    assert not connections._owners


async def test_a_connection_that_died_is_replaced():
    program = (sys.executable, "-c", STDIO_WIKI)
    wiki, opened = McpServer("wiki", command=program, allow=("search",)), list[str]()
    connections = _counting(opened)
    await _search(connections, wiki, "job")
    async with connections.lent(wiki, "job") as client:
        pid = int((await client.call_tool("search", {"words": "pid"})).content[0].text)
    assert len(opened) == 1
    os.kill(pid, signal.SIGKILL)
    await _search(connections, wiki, "job")
    assert len(opened) == 2
    await connections.aclose()


async def test_only_allowed_tools_are_listed_and_results_are_text_without_secrets(site: tuple[str, list[str]]):
    url, tokens = site
    wiki = McpServer("wiki", url=url, allow=("search",), token=Secret("WIKI_TOKEN"))
    source = servers()

    [tool] = await source.tools(wiki)
    text = await source.call(wiki, "search", {"words": "tea"}, effect_id="job/1", seconds=10)

    assert (tool["name"], tool["description"]) == ("search", "Find pages.")
    assert tool["inputSchema"]["required"] == ["words"]
    assert "page about tea" in text
    assert "the token is ***" in text
    assert set(tokens) == {f"Bearer {TOKEN}"}


async def test_patterns_of_a_server_are_not_matched_with_an_engine_that_backtracks(site: tuple[str, list[str]]):
    url, tokens = site
    wiki = McpServer("wiki", url=url, allow=("count",))

    [tool] = await servers().tools(wiki)
    tokens.clear()
    text = await servers().call(wiki, "count", {"words": "tea"}, effect_id="job/1", seconds=10)

    assert "pattern" not in tool["inputSchema"]["properties"]["words"]
    assert tool["inputSchema"]["properties"]["words"]["type"] == "string"
    assert "tea" in text  # although its result lacks what the output schema requires


async def test_a_failure_of_the_tool_is_for_the_model_and_a_missing_tool_for_the_author(site: tuple[str, list[str]]):
    url, _ = site
    wiki = McpServer("wiki", url=url, allow=("broken", "search"))
    with pytest.raises(AgentError, match="Error executing tool broken") as failed:
        await servers().call(wiki, "broken", {}, effect_id="job/1", seconds=10)
    assert (failed.value.kind, failed.value.retryable) == ("tool_failed", False)
    with pytest.raises(AgentError, match="MCP server wiki has no tool serch"):
        await servers().tools(McpServer("wiki", url=url, allow=("serch",)))


async def test_a_server_that_is_down_is_tried_again() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/mcp"
    with pytest.raises(AgentError, match="MCP server wiki does not answer") as failed:
        await servers().tools(McpServer("wiki", url=url, allow=("search",)))
    assert (failed.value.kind, failed.value.retryable) == (UNREACHABLE, True)


async def test_a_program_that_ends_at_once_is_quoted_without_secrets():
    program = f"import sys; sys.exit('x' * 9000 + ' no module named wiki, token {TOKEN}')"
    wiki = McpServer(
        "wiki", command=(sys.executable, "-c", program), allow=("search",), environment=(Secret("WIKI_TOKEN"),)
    )
    with pytest.raises(AgentError, match=r"MCP server wiki does not answer: .*no module named wiki") as failed:
        await servers().tools(wiki)
    assert failed.value.kind == UNREACHABLE
    assert TOKEN not in failed.value.message
    assert len(failed.value.message) < 1000


async def test_a_missing_secret_is_named():
    wiki = McpServer("wiki", url="http://127.0.0.1:1/mcp", allow=("search",), token=Secret("OTHER_TOKEN"))
    with pytest.raises(AgentError, match="OTHER_TOKEN is not set on this worker") as failed:
        await servers().tools(wiki)
    assert failed.value.retryable is False


async def test_a_server_that_hangs_ends_with_the_limit_of_its_call_and_is_killed(tmp_path: Path):
    program = STDIO_WIKI.replace("return str(os.getpid())", "open(words, 'w').write(str(os.getpid())); time.sleep(999)")
    wiki = McpServer("wiki", command=(sys.executable, "-c", "import time" + program), allow=("search",))
    source, noted = servers(), tmp_path / "pid"
    call = asyncio.create_task(source.call(wiki, "search", {"words": str(noted)}, effect_id="e", seconds=60))

    async def pid() -> str:
        return noted.read_text() if noted.exists() else ""

    async def lives() -> bool:
        return Path(f"/proc/{await pid()}").exists()

    await eventually(pid, bool)
    call.cancel()
    done, _ = await asyncio.wait({call}, timeout=10)
    assert done, "the end of a call waits for a server that hangs"
    await eventually(lives, lambda alive: not alive)
    await source.aclose()
