"""Runs the activities of plugins behind the bulkhead, and accepts their heartbeats from any thread."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.errors import temporal_errors
from orchestrator.runtime.bulkhead import Bulkhead

_COMPLETES_LATER: Final = object()


class AuthorActivities(Interceptor):
    """Keeps coroutines of plugins' activities out of the worker's event loop. Plain functions run in threads anyway."""

    def __init__(self, functions: Iterable[Callable[..., Any]], bulkhead: Bulkhead) -> None:
        definitions = map(activity._Definition.must_from_callable, functions)  # noqa: SLF001 - no public way
        self._types = frozenset(definition.name for definition in definitions)
        self._bulkhead = bulkhead

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap each attempt of an activity."""
        return _Inbound(next, self._types, self._bulkhead)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, types: frozenset[str | None], bulkhead: Bulkhead) -> None:
        super().__init__(next)
        self._types = types
        self._bulkhead = bulkhead

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        name, function = activity.info().activity_type, input.fn
        if name not in self._types or not inspect.iscoroutinefunction(function):
            return await super().execute_activity(input)

        async def run(*arguments: Any) -> Any:
            try:
                return await function(*arguments)
            except activity._CompleteAsyncError:  # noqa: SLF001 - the error that `raise_complete_async` raises
                return _COMPLETES_LATER

        async def contained(*arguments: Any) -> Any:
            with temporal_errors():
                return await self._bulkhead.call(name, run, *arguments, finish=lambda value: value)

        input.fn = contained
        value = await super().execute_activity(input)
        if value is _COMPLETES_LATER:
            activity.raise_complete_async()
        return value


class _Outbound(ActivityOutboundInterceptor):
    def __init__(self, next: ActivityOutboundInterceptor) -> None:
        super().__init__(next)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def heartbeat(self, *details: Any) -> None:
        if threading.get_ident() == self._thread:
            self.next.heartbeat(*details)
        else:
            self._loop.call_soon_threadsafe(self.next.heartbeat, *details)
