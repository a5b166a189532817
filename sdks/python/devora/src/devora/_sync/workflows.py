"""Workflows: list them, look at one, run one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Unpack, overload

from devora._config import CallOptions
from devora._sync.handles import Job
from devora._sync.resource import not_none
from devora._sync.starts import ConfigOptions, Starts
from devora._sync.transport import refuse_empty
from devora.models import Result, WorkflowDetail, WorkflowList


class Workflows(Starts):
    """Workflows: list them, look at one, run one."""

    def list(self, **options: Unpack[CallOptions]) -> WorkflowList:
        """Every workflow."""
        return self._call(WorkflowList, "GET", "/workflows", **options)

    def get(self, workflow_id: str, **options: Unpack[CallOptions]) -> WorkflowDetail:
        """One workflow, with its steps and schemas."""
        return self._call(WorkflowDetail, "GET", _path(workflow_id), **options)

    @overload
    def run(
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
    def run(
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
    ) -> Job: ...

    def run(
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
    ) -> Result | Job:
        """Run a workflow. Return the result (after at most `timeout`, 600 seconds by default); with `async_mode` the
        job at once, which may start at `start_at` or after `delay` seconds. Raises `JobFailed`, `JobCancelled`,
        `JobTimeoutError`."""
        at = None if start_at is None else start_at.isoformat()
        more = not_none(config=config, labels=labels, webhook_url=webhook_url, start_at=at, delay=delay)
        body = {"input": input, **more}
        path = f"{_path(workflow_id)}/run"
        return self._start(path, body, **options) if async_mode else self._run(path, body, **options)


def _path(workflow_id: str) -> str:
    return f"/workflows/{refuse_empty('workflow_id', workflow_id)}"
