"""Writes decisions of workflow code into history: one command, no activity and no round trip."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.names import MEMO_NOTE
    from orchestrator.domain.notes import Note


def note(*notes: Note) -> None:
    """Record notes as one event. Keep them small: their event is in history, whole."""
    if notes:
        workflow.upsert_memo({MEMO_NOTE: [each.model_dump(mode="json") for each in notes]})
