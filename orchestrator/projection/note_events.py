"""The events of what a workflow decided or noticed."""

from collections.abc import Sequence
from typing import Any

from orchestrator.domain import notes as n
from orchestrator.domain.events import EventName, EventType

Content = tuple[EventType, str, str, dict[str, Any]]
"""Type, name, message and data of an event."""


def note_content(notes: Sequence[n.Note]) -> Content | None:
    """The event of one decision, or None for one that changes only what is known of the calls."""
    note = notes[0]
    match note:
        case n.StepSkipped():
            data = {**_place(note), "why": note.why}
            return EventType.JOB_PROGRESS, EventName.STEP_SKIPPED, f"{note.step} is skipped: {note.why}.", data
        case n.ItemsListed():
            data = {**_place(note), "items": len(note.keys)}
            return EventType.JOB_PROGRESS, EventName.STEP_ITEMS, f"{note.step} runs for {len(note.keys)} items.", data
        case n.RoundBegun():
            data = {**_place(note), "round": note.number}
            return EventType.JOB_PROGRESS, EventName.STEP_ROUND, f"Round {note.number} of {note.step} begins.", data
        case n.FailedStep():
            data = {**_place(note), "error": note.error.model_dump(mode="json"), "on_error": note.on_error}
            message = f"{note.step} failed: {note.error.type}; the job goes on."
            return EventType.AGENT_EVENT, EventName.STEP_FAILED, message, data
        case n.ToolChanged():
            data = {**_place(note), "agent": note.agent, "server": note.server, "tool": note.tool, "parts": note.parts}
            message = f"MCP server {note.server} changed its tool {note.tool}: {', '.join(note.parts)}."
            return EventType.AGENT_EVENT, EventName.TOOL_CHANGED, message, data
        case n.HistoryGrown():
            data = {"events": note.events, "bytes": note.bytes, "most_events": n.HISTORY_EVENTS}
            message = f"The history of the job is long: {note.text}. {note.remedy}"
            return EventType.AGENT_EVENT, EventName.JOB_HISTORY_LONG, message, {**data, "most_bytes": n.HISTORY_BYTES}
        case _:
            return None


def _place(note: n.StepSkipped | n.ItemsListed | n.RoundBegun | n.FailedStep | n.ToolChanged) -> dict[str, Any]:
    return {"step": note.step, **({"key": note.key} if note.key else {})}
