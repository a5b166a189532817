"""Keyset pagination: a page begins after a row, not at an offset. The condition is one range of an index."""

from typing import Any

from sqlalchemy import Column, ColumnElement, literal, tuple_

from orchestrator.domain.pages import Position


def after(position: Position, created_at: Column[Any], id: Column[Any], *, newest_first: bool) -> ColumnElement[bool]:
    """The condition for the rows after `position`, in the order of `created_at` and `id`."""
    row = tuple_(created_at, id)
    start = tuple_(literal(position.at, created_at.type), literal(position.id, id.type))
    return row < start if newest_first else row > start
