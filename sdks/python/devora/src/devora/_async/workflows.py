"""Workflows: list them, look at one, run one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Unpack, overload

from devora._async.handles import AsyncJob
from devora._async.resource import not_none
from devora._async.starts import AsyncStarts, ConfigOptions
from devora._async.transport import refuse_empty
from devora._config import CallOptions
from devora.models import Result, WorkflowDetail, WorkflowList


class AsyncWorkflows(AsyncStarts):
    """Workflows: list them, look at one, run one."""

    async def list(self, **options: Unpack[CallOptions]) -> WorkflowList:
        """Every workflow."""
        return await self._call(WorkflowList, "GET", "/workflows", **options)

    async def get(self, workflow_id: str, **options: Unpack[CallOptions]) -> WorkflowDetail:
        """One workflow, with its steps and schemas."""
        return await self._call(WorkflowDetail, "GET", _path(workflow_id), **options)

    @overload
    async def run(
        self,
        workflow_id: str,
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
    async def run(
        self,
        workflow_id: str,
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

    async def run(
        self,
        workflow_id: str,
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
        """Run a workflow. Return the result (after at most `timeout`, 600 seconds by default); with `async_mode` the
        job at once, which may start at `start_at` or after `delay` seconds. Raises `JobFailed`, `JobCancelled`,
        `JobTimeoutError`."""
        at = None if start_at is None else start_at.isoformat()
        more = not_none(config=config, labels=labels, webhook_url=webhook_url, start_at=at, delay=delay)
        body = {"input": input, **more}
        path = f"{_path(workflow_id)}/run"
        return await self._start(path, body, **options) if async_mode else await self._run(path, body, **options)


def _path(workflow_id: str) -> str:
    return f"/workflows/{refuse_empty('workflow_id', workflow_id)}"
