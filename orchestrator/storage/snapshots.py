"""The documents of a closed job as columns. The result is stored once, in its own column."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_COMPLETED = "job_completed"


def final_columns(
    snapshot: dict[str, Any], events: Sequence[dict[str, Any]] | None, result: dict[str, Any] | None
) -> dict[str, Any]:
    """The columns of a final snapshot and its events, without their copies of the result."""
    columns: dict[str, Any] = {"snapshot": snapshot, "events": events, "result": result}
    if "result" in snapshot and snapshot["result"] == result:
        columns["snapshot"] = _without(snapshot, "result")
    if events and _ends_with(events[-1], result):
        last = events[-1]
        columns["events"] = [*events[:-1], {**last, "data": _without(last["data"], "output")}]
    if (started_at := snapshot.get("started_at")) is not None:
        columns["started_at"] = datetime.fromisoformat(started_at)
    return columns


def whole_snapshot(snapshot: dict[str, Any], result: dict[str, Any] | None) -> dict[str, Any]:
    """The snapshot as `final_columns` received it."""
    return {"result": result, **snapshot}


def whole_events(events: list[dict[str, Any]], result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The events as `final_columns` received them."""
    last = events[-1] if events else {}
    if last.get("type") != _COMPLETED or "output" in last.get("data", {"output": None}):
        return events
    return [*events[:-1], {**last, "data": {"output": result, **last["data"]}}]


def _ends_with(event: Mapping[str, Any], result: dict[str, Any] | None) -> bool:
    data = event.get("data", {})
    return event.get("type") == _COMPLETED and "output" in data and data["output"] == result


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
