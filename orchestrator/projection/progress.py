"""The progress of a job, in percent."""

from collections.abc import Sequence
from typing import Final

from orchestrator.domain.jobs import CallStatus

_ENDED: Final = tuple(status for status in CallStatus if status.ended)


class Progress:
    """The running number. Exact numbers never fall, and neither do the estimates before them."""

    def __init__(self) -> None:
        self.percent = 0
        self._exact = 0

    def reach(self, percent: int, *, exact: bool) -> None:
        """Take the next number. The first exact one replaces an estimate, also a higher one."""
        if exact:
            self._exact = max(self._exact, percent)
        self.percent = self._exact if exact else max(self.percent, percent)


def progress_of(calls: Sequence[CallStatus], *, decides: bool, total: int) -> int:
    """Ended calls over `total`, at most 99; of a plan that decides nothing, only completed calls count.

    As long as not all calls are known, `total` is one more than the known ones: an estimate, for surfaces whose
    documents demand a number. The native API shows null instead.
    """
    # Every event of a job comes here with all of its calls: counting in a list is many times faster than a loop.
    done = sum(map(calls.count, _ENDED)) if decides else calls.count(CallStatus.COMPLETED)
    return min(99, 100 * done // max(1, total))
