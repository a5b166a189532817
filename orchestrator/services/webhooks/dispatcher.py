"""Starts the workflows of deliveries that are due: at once where it can, by the reconciler where it could not."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import structlog

from orchestrator.domain.errors import NotFound, OrchestratorError, Unavailable
from orchestrator.domain.webhooks import DeliveryInput, DeliveryState, DueDelivery, WebhookEvent
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.services.background import Background
from orchestrator.storage.deliveries import DeliveryRepository

log = structlog.get_logger(__name__)


class DeliveryDispatcher:
    """One per process. Nobody waits for it: a job has ended whether or not its webhooks are told already."""

    def __init__(self, gateway: TemporalGateway, deliveries: DeliveryRepository, *, schedule: Sequence[float]) -> None:
        self._gateway = gateway
        self._deliveries = deliveries
        self._schedule = list(schedule)
        self._starting = Background()

    def dispatch(self, due: Sequence[DueDelivery]) -> None:
        """Start deliveries whose rows are written, in the background; the reconciler starts what this cannot."""
        self._starting.start(self._dispatched(due), "webhook deliveries")

    async def settle(self) -> None:
        """Wait until every start under way is done. Before the connections are closed."""
        await self._starting.settle()

    async def repair(self, *, before: datetime, limit: int) -> int:
        """Start what was due before then and never started; how many that were. Raises `Unavailable`."""
        return len(await self._start(await self._deliveries.unstarted(before=before, limit=limit)))

    async def give_up(self, *, at: datetime, before: datetime, limit: int) -> int:
        """Close as failed what was due before then and whose workflow has ended without a word: terminated in Temporal,
        or failed. One that Temporal no longer knows is started anew. How many were closed. Raises `Unavailable`."""
        closed = 0
        for one in await self._deliveries.overdue(before=before, limit=limit):
            try:
                going_on = await self._gateway.delivery_open(one.id)
            except NotFound:
                await self._start([one])
                continue
            if not going_on and await self._deliveries.give_up(one.id, DeliveryState.FAILED, at=at):
                log.warning("delivery_given_up", delivery_id=one.id)
                closed += 1
        return closed

    async def _dispatched(self, due: Sequence[DueDelivery]) -> None:
        try:
            await self._start(due)
        except Unavailable as fault:
            log.warning("deliveries_not_started", delivery_ids=[one.id for one in due], error=fault.message)

    async def _start(self, due: Sequence[DueDelivery]) -> list[str]:
        started = []
        for one in due:
            try:
                await self._gateway.start_delivery(self._input(one), owner=one.owner, summary=_summary(one))
            except Unavailable:
                raise
            except OrchestratorError as fault:  # one that Temporal refuses must not hold up the others
                log.warning("delivery_refused", delivery_id=one.id, error=fault.message)
            else:
                started.append(one.id)
        if started:
            await self._deliveries.started(started)
        return started

    def _input(self, due: DueDelivery) -> DeliveryInput:
        # Whoever asks for a test wants to know now.
        schedule = [0.0] if due.event == WebhookEvent.WEBHOOK_TEST else self._schedule
        return DeliveryInput(delivery_id=due.id, schedule=schedule)


def _summary(due: DueDelivery) -> str:
    """What operators see of it: no more of the URL than its host, the rest may be a secret."""
    return f"{due.event} to {urlsplit(due.url).hostname}"
