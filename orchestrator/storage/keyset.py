"""Pages that begin after a row instead of at an offset, as one range of an index on time and id."""

from typing import Any

from sqlalchemy import Column, ColumnElement, literal, tuple_

from orchestrator.domain.pages import Position


def after(position: Position, created_at: Column[Any], id: Column[Any], *, newest_first: bool) -> ColumnElement[bool]:
    """Return the condition for the rows that follow a row."""
    row = tuple_(created_at, id)
    place = tuple_(literal(position.at, created_at.type), literal(position.id, id.type))
    return row < place if newest_first else row > place
