"""Calls of agents and tools whose runtime is opened by the first of them, or once the process serves."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from activities.tools import ToolActivities
from orchestrator.composition.imports import quick_imports
from orchestrator.domain.agents import Agent
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.ports import TextSink, ToolRuntime
from orchestrator.domain.turns import ToolResult, ToolTask
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.composition.agent_runtime import OpenRuntime

    Opened = Callable[[], Awaitable[OpenRuntime]]


async def import_runtime(settings: Settings) -> None:
    """Import the libraries of the runtime and of the configured providers. It takes a second, in a thread.

    The end of the process does not wait for the thread.
    """
    outcome = Future[None]()

    def work() -> None:
        outcome.set_running_or_notify_cancel()
        try:
            _import_runtime(settings)
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    Thread(target=work, name="imports", daemon=True).start()
    await asyncio.wrap_future(outcome)


def _import_runtime(settings: Settings) -> None:
    with quick_imports():
        from orchestrator.composition import agent_runtime  # noqa: PLC0415

        agent_runtime.import_providers(settings)


@dataclass(frozen=True, slots=True)
class LazyAgents:
    """The port `AgentRuntime` over a runtime that `opened` returns."""

    opened: "Opened"

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Callable[[int], None], sink: TextSink
    ) -> AgentResult:
        """The result of one call. Raises what the runtime raises."""
        runtime = await self.opened()
        return await runtime.runner.run(agent, task, attempt=attempt, progress=progress, sink=sink)


@dataclass(frozen=True, slots=True)
class LazyTools:
    """The port `ToolCalls` over a runtime that `opened` returns."""

    opened: "Opened"
    activities: Callable[[ToolRuntime], ToolActivities]

    async def run(self, task: ToolTask) -> ToolResult:
        """The result of one call. Raises what `ToolActivities` raises."""
        runtime = await self.opened()
        return await self.activities(runtime.tools).run(task)
