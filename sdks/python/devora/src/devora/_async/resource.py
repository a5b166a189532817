"""Sends requests and reads responses, for every group of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack

from devora._async.pages import AsyncPage, Item
from devora._async.transport import AsyncTransport, Request
from devora._config import CallOptions
from devora._model import Model
from devora._responses import RawResponse
from devora.errors import unexpected

Answer = TypeVar("Answer", bound=Model)


class AsyncResource:
    """A group of calls."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Unpack[CallOptions],
    ) -> RawResponse:
        config = self._transport.config
        request = Request(config, method, path, query=query, body=body, default_timeout=config.timeout, **options)
        return await self._transport.send(request)

    async def _call(
        self,
        model: type[Answer],
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Unpack[CallOptions],
    ) -> Answer:
        return read(model, await self._send(method, path, query=query, body=body, **options))

    async def _page(
        self, model: type[Item], key: str, path: str, query: dict[str, Any], **options: Unpack[CallOptions]
    ) -> AsyncPage[Item]:
        async def fetch(page_query: dict[str, Any]) -> RawResponse:
            response = await self._send("GET", path, query=page_query, **options)
            read(Model, response)
            return response

        return AsyncPage(model, key, await fetch(query), query, fetch)


def read(model: type[Answer], response: RawResponse) -> Answer:
    """Return the object of a response. Raises `DevoraError` if it is not a JSON object."""
    body = response.parsed_body()
    if not isinstance(body, dict):
        raise unexpected(f"The answer is not a JSON object: {response.text[:100]!r}; check the base URL", response)
    return model.from_wire(body, response)


def not_none(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
