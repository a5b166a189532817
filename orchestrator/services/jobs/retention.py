"""Deletes old rows from the index, in small batches, when their retention time of the settings is over."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.retention import Retention
from orchestrator.services.access.idempotency import RETENTION
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.pruning import PruningRepository

log = structlog.get_logger(__name__)

_BATCH: Final = 200  # Rows of one transaction. It is short, so that jobs do not wait for it.
_BATCHES: Final = 5  # Transactions for each kind of row in one pass.
_EXPIRED: Final = timedelta(days=1)  # Retention of an expired refresh token, which is refused in any case.


class IndexPruner:
    """Runs at the end of each pass of the reconciler."""

    def __init__(self, rows: PruningRepository, trail: AuditRepository, retention: Retention) -> None:
        self._rows = rows
        kinds: list[tuple[timedelta | None, Callable[[datetime, int], Awaitable[int]]]] = [
            (retention.jobs, rows.jobs),
            (retention.events, rows.events),
            (retention.attempts, rows.attempts),
            (retention.deliveries, rows.deliveries),
            (retention.deliveries or retention.jobs, rows.account_events),
            (retention.audit, trail.prune),
            (_EXPIRED, rows.refresh_tokens),
            (RETENTION, rows.idempotency_keys),
        ]
        self._kinds = [(age, prune) for age, prune in kinds if age is not None]

    async def prune(self, now: datetime) -> int:
        """Delete some old rows and return their number. Stops if the index does not answer."""
        total = 0
        try:
            for age, prune in self._kinds:
                for _ in range(_BATCHES):
                    pruned = await prune(now - age, _BATCH)
                    total += pruned
                    if pruned < _BATCH:
                        break
        except Unavailable as error:
            log.warning("index_not_pruned", error=error.message)
        return total
