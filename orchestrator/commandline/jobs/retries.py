"""Retries requests during limits and outages. All requests of a command share the same pauses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from orchestrator.commandline.run.client import NoAnswer
from orchestrator.domain.backoff import Backoff

T = TypeVar("T")

_BACKOFF: Final = Backoff(0.5, 10.0)
_MAX_RETRY_AFTER: Final = 120.0  # A longer wait, such as for a monthly limit, is an error instead.


class ApiRetries:
    """Repeats requests that got no response or have to wait: for `seconds`, for one request or if none is answered.

    An API that never responded is not waited for. Without `outages`, only limits are waited for. `notify` is called
    with a message for people if the problem changes. `reached`: the API has responded at least once.
    """

    def __init__(self, seconds: float, notify: Callable[[str], None] = lambda _: None, *, outages: bool = True) -> None:
        self._seconds = seconds
        self._outages = outages
        self._notify = notify
        self._resume_at = 0.0
        self._failures = 0  # in a row
        self._silent_since: float | None = None
        self.reached = False
        self._last_problem = ""

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """The response to a request. Raises `NoAnswer` after the last try, and every other error of the request."""
        began = _now()
        while True:
            await asyncio.sleep(max(0.0, self._resume_at - _now()))
            try:
                response = await request()
            except NoAnswer as fault:
                if fault.unsure and _now() - began > self._seconds:
                    raise
                await self._wait(fault)
            else:
                self.answered()
                return response

    def answered(self) -> None:
        """Record a response: the next pause is the shortest one."""
        self._failures, self._silent_since, self.reached, self._last_problem = 0, None, True, ""

    @property
    def silent(self) -> bool:
        """Whether the last request got no response."""
        return self._silent_since is not None

    async def pause(self) -> None:
        """Wait a little before the next request."""
        await asyncio.sleep(_BACKOFF.pause(self._failures + 1))

    async def _wait(self, fault: NoAnswer) -> None:
        """Wait before the next try. Raises the error if the wait would be too long."""
        retry_after = fault.retry_after
        self._silent_since = _now() if self._silent_since is None else self._silent_since
        silent = _now() - self._silent_since
        self.reached = self.reached or fault.unsure or fault.limited
        retryable = fault.limited or (self._outages and self.reached)
        if not retryable or (retry_after or 0) > _MAX_RETRY_AFTER or silent + (retry_after or 0) > self._seconds:
            raise fault
        self._failures += 1
        pause = _BACKOFF.pause(self._failures) if retry_after is None else retry_after
        self._resume_at = max(self._resume_at, _now() + pause)
        if fault.problem != self._last_problem:
            self._last_problem = fault.problem
            self._notify(f"{fault}; trying again")
        await asyncio.sleep(max(0.0, self._resume_at - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
