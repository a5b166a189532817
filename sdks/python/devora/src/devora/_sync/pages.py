"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from devora._model import Model
from devora.errors import unexpected

if TYPE_CHECKING:
    from devora._responses import RawResponse

Item = TypeVar("Item", bound=Model)


class Page(Generic[Item]):
    """One page of a list. Iteration continues over all later pages, which it fetches as needed.

    `items` are this page's, `total` counts those of all pages where the server counts them.
    """

    def __init__(
        self,
        model: type[Item],
        key: str,
        response: RawResponse,
        query: dict[str, Any],
        fetch: Callable[[dict[str, Any]], RawResponse],
    ) -> None:
        wire = response.parsed_body()
        items = wire.get(key) if isinstance(wire, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise unexpected(f"The answer has no list {key!r}; check the base URL", response)
        self.items: list[Item] = [model.from_wire(item, response) for item in items]
        self.total = _whole(wire.get("total"))
        self.limit = _whole(wire.get("limit"))
        self.offset = _whole(wire.get("offset"))
        cursor = wire.get("next")
        self.next: str | int | None = cursor if isinstance(cursor, str) else _whole(cursor)
        """The cursor of the next page, None at the end."""
        self.raw_response = response
        self.extra = {
            name: value
            for name, value in wire.items()
            if name not in (key, "total", "limit", "offset", "next", "has_more")
        }
        self._wire = wire
        self._arguments = (model, key, fetch)
        self._query = query

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        if "has_more" in self._wire:
            return bool(self._wire["has_more"])
        if "next" in self._wire:
            return self.next is not None
        return bool(self.items) and (self.offset or 0) + len(self.items) < (self.total or 0)

    def next_page(self) -> Page[Item] | None:
        """The page that follows, or None."""
        if not self.has_more:
            return None
        model, key, fetch = self._arguments
        response = self.raw_response
        query = dict(self._query)
        if self.next is not None:
            query.pop("offset", None)
            query["after"] = self.next
        else:
            query["offset"] = (self.offset or 0) + len(self.items)
        if query == self._query:
            raise unexpected(f"The cursor of the list {key!r} does not move on: its pages would have no end", response)
        return Page(model, key, fetch(query), query, fetch)

    def __iter__(self) -> Iterator[Item]:
        page: Page[Item] | None = self
        while page is not None:
            for item in page.items:
                yield item
            page = page.next_page()

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self) -> dict[str, Any]:
        """The page as it was sent."""
        wire: dict[str, Any] = self._wire
        return wire

    @property
    def request_id(self) -> str | None:
        """The id of the request."""
        return self.raw_response.request_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.items)} of {self.total} items)"


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
