"""Metrics of jobs and agents."""

from __future__ import annotations

from typing import Unpack

from devora._async.resource import AsyncResource
from devora._async.transport import refuse_empty
from devora._config import CallOptions
from devora.models import AgentMetrics, MetricsOverview


class AsyncMetrics(AsyncResource):
    """Metrics of jobs and agents."""

    async def get(self, **options: Unpack[CallOptions]) -> MetricsOverview:
        """The last 24 hours: jobs, tokens, cost, by agent and by workflow."""
        return await self._call(MetricsOverview, "GET", "/metrics", **options)

    async def agent(self, agent_id: str, *, period: str | None = None, **options: Unpack[CallOptions]) -> AgentMetrics:
        """One agent over a period: `1h`, `24h`, `7d`, `30d` or `all`."""
        path = f"/metrics/agents/{refuse_empty('agent_id', agent_id)}"
        return await self._call(AgentMetrics, "GET", path, query={"period": period}, **options)
