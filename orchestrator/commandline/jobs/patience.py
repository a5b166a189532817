"""Waits out limits and outages: what one request is told to wait, every request of the command waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from orchestrator.commandline.run.client import NoAnswer

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_LONGEST_WISH: Final = 120.0  # An API that asks for more, as for a month's tokens, is not waited for.


class Patience:
    """Repeats requests that got no answer, or none for now: for `seconds` where one fails, or where all are silent.

    An API that has not answered at all is not waited for; without `outages` only limits are waited out. `told` is
    called with words for people when something else is wrong than before. `reached`: the API has answered something.
    """

    def __init__(self, seconds: float, told: Callable[[str], None] = lambda _: None, *, outages: bool = True) -> None:
        self._seconds = seconds
        self._outages = outages
        self._told = told
        self._resume_at = 0.0
        self._pause = _FIRST_PAUSE
        self._silent_since: float | None = None
        self.reached = False
        self._said = ""

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request. Raises `NoAnswer` when it is given up, and what else the request raises."""
        began = _now()
        while True:
            await asyncio.sleep(max(0.0, self._resume_at - _now()))
            try:
                answer = await request()
            except NoAnswer as fault:
                if fault.unsure and _now() - began > self._seconds:
                    raise
                await self._wait(fault)
            else:
                self.answered()
                return answer

    def answered(self) -> None:
        """There was an answer: begin anew with the shortest pause."""
        self._pause, self._silent_since, self.reached, self._said = _FIRST_PAUSE, None, True, ""

    @property
    def silent(self) -> bool:
        """Whether the newest answer to any request was none."""
        return self._silent_since is not None

    async def breathe(self) -> None:
        """A short pause between two looks."""
        await asyncio.sleep(self._pause)

    async def _wait(self, fault: NoAnswer) -> None:
        """Wait before another try. Raises the fault when that would take too long."""
        wish = fault.retry_after
        self._silent_since = _now() if self._silent_since is None else self._silent_since
        silent = _now() - self._silent_since
        self.reached = self.reached or fault.unsure or fault.limited
        wanted = fault.limited or (self._outages and self.reached)
        if not wanted or (wish or 0) > _LONGEST_WISH or silent + (wish or 0) > self._seconds:
            raise fault
        pause = self._pause if wish is None else wish
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._resume_at = max(self._resume_at, _now() + pause)
        if str(fault) != self._said:
            self._said = str(fault)
            self._told(f"{fault}; trying again")
        await asyncio.sleep(max(0.0, self._resume_at - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
