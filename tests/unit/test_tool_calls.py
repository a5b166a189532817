"""One tool call: what an author and a model hear of their mistakes."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.authoring import Agent, AgentError, Files, JobInput, Tool
from orchestrator.domain.file_names import names_a_file
from orchestrator.domain.turns import ToolFailed, ToolTask
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.tool_calls import ToolRunner
from orchestrator.runtime.tool_secrets import ToolSecrets


async def nap() -> str:
    """Block the loop."""
    time.sleep(1)  # noqa: ASYNC251 - the mistake
    return ""


DESK = Agent(
    id="u_desk",
    name="Desk",
    squad="business",
    description="Helps",
    capabilities=("support",),
    instructions="Help.",
    input_model=JobInput,
    tools=(Tool(nap),),
    toolsets=(Files(),),
)


@pytest_asyncio.fixture(loop_scope="session")
async def runner() -> AsyncIterator[ToolRunner]:
    bulkhead = Bulkhead(block_limit=0.2)
    nothing: Any = None  # These calls need no store, no server and no page.
    yield ToolRunner(nothing, nothing, nothing, ToolSecrets({}), bulkhead)
    bulkhead.close()


async def made(runner: ToolRunner, tool: str, **arguments: Any) -> str:
    task = ToolTask(job_id="job_1", id="a.u_desk.t1.1", agent="u_desk", tool=tool, turn=1, number=1)
    return await runner._call(DESK, task, arguments, attempt=1, seconds=5)


async def test_a_tool_that_blocks_is_named_with_its_own_line_and_a_remedy_that_it_can_take(runner: ToolRunner):
    with pytest.raises(AgentError, match=r"asyncio\.to_thread") as caught:
        await made(runner, "nap")
    assert caught.value.kind == "agent_blocked"
    assert f"{Path(__file__).name}, line" in caught.value.message
    assert "in nap" in caught.value.message


@pytest.mark.parametrize("path", [" ", "/", "\\", "..", ". /"])
async def test_a_path_that_names_no_file_is_refused_not_written_over_another(runner: ToolRunner, path: str):
    assert not names_a_file(path)
    with pytest.raises(ToolFailed, match="names no file"):
        await made(runner, "write_file", path=path, content="x")


async def test_a_file_is_written_under_a_safe_path(runner: ToolRunner):
    assert await made(runner, "write_file", path="/a/../b.md", content="é") == "Wrote a/b.md, 2 bytes."
