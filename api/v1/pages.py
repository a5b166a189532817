"""Pages of lists: by offset, or after the cursor of the page before."""

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, Field

from api.v1.wire import Wire
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.pages import Position

T = TypeVar("T")

_MAX_CURSOR_LENGTH: Final = 1000
_SEPARATOR: Final = "|"

Limit = Annotated[int, Field(ge=1, le=100)]
Offset = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Listing(StrEnum):
    """The lists with cursors. A cursor is of one list."""

    JOBS = "jobs"
    KEYS = "keys"
    WEBHOOKS = "webhooks"
    DELIVERIES = "deliveries"
    SCHEDULES = "schedules"


class PageQuery(BaseModel):
    """Page of a list."""

    limit: Limit = 20
    offset: Offset = 0


class LongPageQuery(PageQuery):
    """Page of a list of short rows."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50


class CursorQuery(PageQuery):
    """Page of a list, by offset or by cursor."""

    after: str | None = Field(
        default=None,
        max_length=_MAX_CURSOR_LENGTH,
        description="`next` of the previous page. Unlike `offset`, it skips and repeats nothing when rows are added.",
    )

    def position(self, listing: Listing) -> Position | None:
        """Return the position that the cursor names. Raises `InvalidInput` for a cursor that is not of this list."""
        if self.after is None:
            return None
        if self.offset:
            raise InvalidInput("Give after or offset, not both", field="after", expected="one of after and offset")
        return position_of(listing, self.after)


class LongCursorQuery(CursorQuery):
    """Page of a list of short rows, by offset or by cursor."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50


class CursorPage(Wire):
    """What every list with cursors has: `next`, the cursor of the next page, is null on the last page."""

    next: str | None
    has_more: bool


def cut(
    rows: Sequence[T], limit: int, listing: Listing, position: Callable[[T], Position]
) -> tuple[list[T], dict[str, Any]]:
    """Return the rows of a page and its `next` and `has_more`, from one row more than the page has."""
    page = list(rows[:limit])
    more = len(rows) > limit
    return page, {"next": cursor(listing, position(page[-1])) if more else None, "has_more": more}


def cursor(listing: Listing, position: Position) -> str:
    """Return the cursor of a position."""
    text = _SEPARATOR.join((listing, position.at.astimezone(UTC).isoformat(), position.id))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(listing: Listing, text: str) -> Position:
    """Return the position that a cursor names. Raises `InvalidInput` for a cursor that is not of this list."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
        name, at, row_id = content.split(_SEPARATOR, 2)
        moment = datetime.fromisoformat(at)
        if name == listing and moment.tzinfo is not None and row_id.isprintable():
            return Position(moment.astimezone(UTC), row_id)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(
        "This is not a cursor of this list", field="after", provided=text[:80], expected="`next` of an earlier page"
    )
