"""Agents: list them, look at one, run one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Unpack, overload

from devora._async.handles import AsyncJob
from devora._async.resource import not_none
from devora._async.starts import AsyncStarts, ConfigOptions
from devora._async.transport import refuse_empty
from devora._config import CallOptions
from devora.models import AgentDetail, AgentHealth, AgentList, Result


class AsyncAgents(AsyncStarts):
    """Agents: list them, look at one, run one."""

    async def list(self, **options: Unpack[CallOptions]) -> AgentList:
        """Every agent, with live availability."""
        return await self._call(AgentList, "GET", "/agents", **options)

    async def get(self, agent_id: str, **options: Unpack[CallOptions]) -> AgentDetail:
        """One agent, with its schemas, settings and price."""
        return await self._call(AgentDetail, "GET", _path(agent_id), **options)

    async def health(self, agent_id: str, **options: Unpack[CallOptions]) -> AgentHealth:
        """How the last 24 hours of an agent were."""
        return await self._call(AgentHealth, "GET", f"{_path(agent_id)}/health", **options)

    @overload
    async def execute(
        self,
        agent_id: str,
        input: dict[str, Any],
        *,
        config: ConfigOptions | None = None,
        labels: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        start_at: datetime | None = None,
        delay: int | None = None,
        async_mode: Literal[False] = False,
        **options: Unpack[CallOptions],
    ) -> Result: ...

    @overload
    async def execute(
        self,
        agent_id: str,
        input: dict[str, Any],
        *,
        config: ConfigOptions | None = None,
        labels: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        start_at: datetime | None = None,
        delay: int | None = None,
        async_mode: Literal[True],
        **options: Unpack[CallOptions],
    ) -> AsyncJob: ...

    async def execute(
        self,
        agent_id: str,
        input: dict[str, Any],
        *,
        config: ConfigOptions | None = None,
        labels: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        start_at: datetime | None = None,
        delay: int | None = None,
        async_mode: bool = False,
        **options: Unpack[CallOptions],
    ) -> Result | AsyncJob:
        """Run an agent. Return the result (after at most `timeout`, 600 seconds by default); with `async_mode` the
        job at once, which may start at `start_at` or after `delay` seconds. Raises `JobFailed`, `JobCancelled`,
        `JobTimeoutError`."""
        at = None if start_at is None else start_at.isoformat()
        more = not_none(config=config, labels=labels, webhook_url=webhook_url, start_at=at, delay=delay)
        body = {"input": input, **more}
        path = f"{_path(agent_id)}/execute"
        return await self._start(path, body, **options) if async_mode else await self._run(path, body, **options)


def _path(agent_id: str) -> str:
    return f"/agents/{refuse_empty('agent_id', agent_id)}"
