"""Schedules: create, list, change, pause, trigger and delete them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import EllipsisType
from typing import Any, Unpack

from devora._async.pages import AsyncPage
from devora._async.resource import AsyncResource, not_none
from devora._async.starts import ConfigOptions
from devora._async.transport import refuse_empty
from devora._config import CallOptions
from devora.models import Schedule


class AsyncSchedules(AsyncResource):
    """Schedules: create, list, change, pause, trigger and delete them."""

    async def create(
        self,
        spec: Mapping[str, Any] | str,
        input: dict[str, Any],
        *,
        agent_id: str | None = None,
        workflow_id: str | None = None,
        name: str | None = None,
        config: ConfigOptions | None = None,
        webhook_url: str | None = None,
        labels: Mapping[str, str] | None = None,
        overlap: str | None = None,
        catchup_window_seconds: int | None = None,
        pause_on_failure: bool | None = None,
        paused: bool | None = None,
        note: str | None = None,
        remaining_runs: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Schedule:
        """Create a schedule of an agent or of a workflow. `spec` is such as `{"cron": ["0 6 * * *"]}`, or one cron
        expression."""
        target = not_none(agent_id=agent_id, workflow_id=workflow_id, name=name)
        start = not_none(config=config, webhook_url=webhook_url, labels=labels)
        policy = not_none(
            overlap=overlap,
            catchup_window_seconds=catchup_window_seconds,
            pause_on_failure=pause_on_failure,
            paused=paused,
            note=note,
            remaining_runs=remaining_runs,
        )
        body = {"spec": _spec(spec), "input": input, **target, **start, **policy}
        return await self._call(Schedule, "POST", "/schedules", body=body, **options)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncPage[Schedule]:
        """The caller's schedules, oldest first."""
        query = not_none(limit=limit, offset=offset, after=after)
        return await self._page(Schedule, "schedules", "/schedules", query, **options)

    async def get(self, schedule_id: str, **options: Unpack[CallOptions]) -> Schedule:
        """One schedule, with its next times and its last runs."""
        return await self._call(Schedule, "GET", _path(schedule_id), **options)

    async def update(
        self,
        schedule_id: str,
        *,
        spec: Mapping[str, Any] | str | None = None,
        input: dict[str, Any] | None = None,
        name: str | None = None,
        config: ConfigOptions | None = None,
        webhook_url: str | EllipsisType | None = ...,
        labels: Mapping[str, str] | None = None,
        overlap: str | None = None,
        catchup_window_seconds: int | None = None,
        pause_on_failure: bool | None = None,
        remaining_runs: int | EllipsisType | None = ...,
        **options: Unpack[CallOptions],
    ) -> Schedule:
        """Change a schedule; arguments that are left out do not change. None removes `webhook_url` and
        `remaining_runs`."""
        body = not_none(
            spec=None if spec is None else _spec(spec),
            input=input,
            name=name,
            config=config,
            labels=labels,
            overlap=overlap,
            catchup_window_seconds=catchup_window_seconds,
            pause_on_failure=pause_on_failure,
        )
        cleared = {"webhook_url": webhook_url, "remaining_runs": remaining_runs}
        body |= {field: value for field, value in cleared.items() if not isinstance(value, EllipsisType)}
        return await self._call(Schedule, "PATCH", _path(schedule_id), body=body, **options)

    async def delete(self, schedule_id: str, **options: Unpack[CallOptions]) -> None:
        """Delete a schedule; its running jobs continue."""
        await self._send("DELETE", _path(schedule_id), **options)

    async def pause(self, schedule_id: str, note: str = "", **options: Unpack[CallOptions]) -> Schedule:
        """Pause a schedule."""
        return await self._call(Schedule, "POST", f"{_path(schedule_id)}/pause", body={"note": note}, **options)

    async def unpause(self, schedule_id: str, note: str = "", **options: Unpack[CallOptions]) -> Schedule:
        """Unpause a schedule."""
        return await self._call(Schedule, "POST", f"{_path(schedule_id)}/unpause", body={"note": note}, **options)

    async def trigger(
        self, schedule_id: str, *, overlap: str | None = None, **options: Unpack[CallOptions]
    ) -> Schedule:
        """Start a run now. Its `job_id` is in the answer; None if the overlap policy holds it back."""
        body = not_none(overlap=overlap)
        return await self._call(Schedule, "POST", f"{_path(schedule_id)}/trigger", body=body, **options)

    async def backfill(
        self,
        schedule_id: str,
        start_at: datetime,
        end_at: datetime,
        *,
        overlap: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Schedule:
        """Start the runs of a period, whose times must have a time zone."""
        body = {"start_at": _moment(start_at), "end_at": _moment(end_at), **not_none(overlap=overlap)}
        return await self._call(Schedule, "POST", f"{_path(schedule_id)}/backfill", body=body, **options)


def _spec(spec: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(spec, str):
        return {"cron": [spec]}
    if not isinstance(spec, Mapping):
        raise TypeError(
            f'spec must be such as {{"cron": ["0 6 * * *"]}}, or a cron expression, not a {type(spec).__name__}'
        )
    return {name: _moment(value) for name, value in spec.items()}


def _moment(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _path(schedule_id: str) -> str:
    return f"/schedules/{refuse_empty('schedule_id', schedule_id)}"
