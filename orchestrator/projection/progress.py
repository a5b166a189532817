"""The progress of an open job, in percent."""

from collections.abc import Sequence

from orchestrator.domain.jobs import CallStatus


def progress_of(calls: Sequence[CallStatus], *, decides: bool, total: int) -> int:
    """Ended calls over `total`, at most 99; of a plan that decides nothing, only completed calls count.

    As long as not all calls are known, `total` is one more than the known ones: an estimate, for surfaces whose
    documents demand a number. The native API shows null instead.
    """
    done = sum(call.ended if decides else call is CallStatus.COMPLETED for call in calls)
    return min(99, 100 * done // max(1, total))
