"""A circuit breaker: calls to a part that is away fail at once, before their own deadlines (decision 0022)."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 2.0  # Time limit of a probe: a caller gets the error of an outage within three seconds.
_DOUBT: Final = 0.75  # A call without an answer for so many seconds starts a probe.
_STALL: Final = 0.5  # A timer that is later than so many seconds shows that this process itself stood still.
_PAUSE: Final = 0.5  # Seconds between two probes while the part is away.

T = TypeVar("T")


class CircuitBreaker:
    """Knows whether a part answers. Only a failed `probe` opens the circuit; one that failed at once is repeated first.

    A call that fails or gets no answer starts the probe. While the probe fails, every call fails with the error of the
    probe: running calls are cancelled, and new ones are not made. The probe is repeated until it succeeds. `errors` are
    the errors of calls; `lost` is true of those that mean no answer. The others are refusals, which are answers.
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
        self._probing: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._answered_at = -math.inf
        self._returned_at: float | None = None

    @property
    def away(self) -> bool:
        """Whether the last probe failed."""
        return self._fault is not None

    def returned_within(self, seconds: float) -> bool:
        """Whether the part came back within the last `seconds`."""
        return self._returned_at is not None and self._clock() - self._returned_at < seconds

    async def call(self, make: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """The result of a call, which has `seconds` for all its retries.

        Raises what the call raises, the probe's error, or `TimeoutError`.
        """
        if self._fault is not None:
            self._start_probe()
            raise self._fault.with_traceback(None)
        doubt = asyncio.get_running_loop().call_later(self._doubt, self._start_probe)
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
                self._start_probe()
            raise
        else:
            self._answered_at = asyncio.get_running_loop().time()
            return answer
        finally:
            doubt.cancel()

    def _start_probe(self) -> None:
        """Start the probe, unless it is running."""
        if self._probing is None or self._probing.done():
            probing = self._probe_until_answered()
            self._probing = asyncio.get_running_loop().create_task(probing, name=f"probe of {self._part}")

    async def _probe_until_answered(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        has_repeated = False
        while (fault := await self._failure()) is not None:
            if not (self.away or has_repeated or self._timed_out(began)):
                # The server closes its connections now and then. A probe that meets the end of one fails as if the
                # part were away, but the next one opens another connection.
                has_repeated, began = True, clock()
                continue
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
            # The deadline of the call itself does not include the time to connect.
            async with asyncio.timeout(self._patience):
                await self._probe()
        except self._errors as error:
            return error if self._lost(error) else None
        return None

    def _proves(self, began: float) -> bool:
        """Whether a failed probe proves an outage. A probe that timed out does not, if another call was answered
        meanwhile, or if this process itself stood still."""
        seconds = asyncio.get_running_loop().time() - began
        silent = self._answered_at < began and seconds < self._patience + _STALL
        return self.away or not self._timed_out(began) or silent

    def _timed_out(self, began: float) -> bool:
        """Whether a probe that has just failed had no answer in its time."""
        return asyncio.get_running_loop().time() - began > 0.9 * self._patience
