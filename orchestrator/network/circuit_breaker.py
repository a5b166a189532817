"""Calls to a part that is away fail at once, instead of each one waiting for its own deadline (decision 0022)."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 2.0  # how long a look at a part may take: a caller hears of an outage within three seconds
_DOUBT: Final = 0.75  # seconds without an answer after which a call has its part looked at
_STALL: Final = 0.5  # seconds by which a timer of a process that gets its share of the processor is never late
_PAUSE: Final = 0.5  # seconds between two looks while the part is away

T = TypeVar("T")


class CircuitBreaker:
    """Whether a part answers, as far as this process knows. Only a failed `probe` says that it does not.

    A call that fails or gets no answer starts the probe. While the probe fails, every call fails with the probe's
    error: those under way are cut off, and further ones are not made. The probe goes on until it succeeds. Of the
    `errors` that calls raise, `lost` tells those of a part that does not answer from its refusals, which are answers.
    """

    def __init__(
        self,
        part: str,
        probe: Callable[[], Awaitable[object]],
        errors: tuple[type[Exception], ...],
        lost: Callable[[Exception], bool] = lambda _: True,
        *,
        doubt: float = _DOUBT,
        pause: float = _PAUSE,
        patience: float = PROBE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._part = part
        self._probe = probe
        self._errors: tuple[type[Exception], ...] = (*errors, TimeoutError)
        self._lost = lost
        self._doubt = doubt
        self._pause = pause
        self._patience = patience
        self._clock = clock
        self._calls: set[asyncio.Timeout] = set()
        self._looking: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._answered_at = -math.inf
        self._returned_at: float | None = None

    @property
    def away(self) -> bool:
        """Whether the last probe failed."""
        return self._fault is not None

    def returned_within(self, seconds: float) -> bool:
        """Whether the part answers again since no more than so many seconds ago."""
        return self._returned_at is not None and self._clock() - self._returned_at < seconds

    async def call(self, make: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """What a call answers within `seconds`, its retries included.

        Raises what the call raises, the probe's error, or `TimeoutError`.
        """
        if self._fault is not None:
            self._look()
            raise self._fault.with_traceback(None)
        doubt = asyncio.get_running_loop().call_later(self._doubt, self._look)
        try:
            async with asyncio.timeout(seconds) as limit:
                self._calls.add(limit)
                try:
                    answer = await make()
                finally:
                    self._calls.discard(limit)
        except self._errors as error:
            if isinstance(error, TimeoutError) and self._fault is not None:
                raise self._fault.with_traceback(None) from None
            if self._lost(error):
                self._look()
            raise
        else:
            self._answered_at = asyncio.get_running_loop().time()
            return answer
        finally:
            doubt.cancel()

    def _look(self) -> None:
        """Have one probe under way."""
        if self._looking is None or self._looking.done():
            looking = self._until_answered()
            self._looking = asyncio.get_running_loop().create_task(looking, name=f"probe of {self._part}")

    async def _until_answered(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while (fault := await self._failure()) is not None:
            if self._proves(began):
                if self._fault is None:
                    log.warning(f"{self._part}_away", fault=str(fault)[:500], calls=len(self._calls))
                self._fault = fault
                for limit in self._calls:
                    limit.reschedule(clock())
            await asyncio.sleep(self._pause)
            began = clock()
        if self._fault is not None:
            self._fault, self._returned_at = None, self._clock()
            log.info(f"{self._part}_back")

    async def _failure(self) -> Exception | None:
        try:
            # A deadline of the call itself does not count the time that it takes to connect.
            async with asyncio.timeout(self._patience):
                await self._probe()
        except self._errors as error:
            return error if self._lost(error) else None
        return None

    def _proves(self, began: float) -> bool:
        """Whether a failed probe proves something. One that was late does not if another call was answered meanwhile,
        or if this process itself stood still."""
        took = asyncio.get_running_loop().time() - began
        late = took > 0.9 * self._patience
        return self.away or not late or (self._answered_at < began and took < self._patience + _STALL)
