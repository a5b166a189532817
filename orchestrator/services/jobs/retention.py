"""Deletes from the index what was kept for as long as the settings say, in small batches."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.retention import Retention
from orchestrator.services.access.idempotency import KEPT
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.pruning import PruningRepository

log = structlog.get_logger(__name__)

_BATCH: Final = 200  # Rows of one short transaction, so that jobs never wait for pruning.
_BATCHES: Final = 5  # Transactions for each kind of row in one pass.
_EXPIRED: Final = timedelta(days=1)  # How long an expired refresh token is kept; it is refused either way.


class IndexPruner:
    """Runs at the end of each pass of the reconciler."""

    def __init__(self, rows: PruningRepository, trail: AuditRepository, retention: Retention) -> None:
        self._rows = rows
        kinds: list[tuple[timedelta | None, Callable[[datetime, int], Awaitable[int]]]] = [
            (retention.jobs, rows.jobs),
            (retention.events, rows.events),
            (retention.attempts, rows.attempts),
            (retention.deliveries, rows.deliveries),
            (retention.audit, trail.prune),
            (_EXPIRED, rows.refresh_tokens),
            (KEPT, rows.idempotency_keys),
        ]
        self._kinds = [(kept, prune) for kept, prune in kinds if kept is not None]

    async def prune(self, now: datetime) -> int:
        """Delete some of what is too old, and return how many rows. An index that does not answer stops it."""
        total = 0
        try:
            for kept, prune in self._kinds:
                for _ in range(_BATCHES):
                    pruned = await prune(now - kept, _BATCH)
                    total += pruned
                    if pruned < _BATCH:
                        break
        except Unavailable as fault:
            log.warning("index_not_pruned", error=fault.message)
        return total
