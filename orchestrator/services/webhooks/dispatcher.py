"""Starts the workflows of webhook deliveries: at once, or in the next pass of the reconciler if that fails."""

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
    """Starts deliveries in the background, one dispatcher per process. Tracks the starts in progress."""

    def __init__(self, gateway: TemporalGateway, deliveries: DeliveryRepository, *, schedule: Sequence[float]) -> None:
        self._gateway = gateway
        self._deliveries = deliveries
        self._schedule = list(schedule)
        self._starting = Background()

    def dispatch(self, deliveries: Sequence[DueDelivery]) -> None:
        """Start deliveries whose rows are written, in the background. The reconciler starts those that fail here."""
        self._starting.start(self._start_or_log(deliveries), "webhook deliveries")

    async def settle(self) -> None:
        """Wait until all starts are done. Call it before the connections are closed."""
        await self._starting.settle()

    async def repair(self, *, before: datetime, limit: int) -> int:
        """Start deliveries that are due and not started. Returns how many it started. Raises `Unavailable`."""
        return len(await self._start(await self._deliveries.unstarted(before=before, limit=limit)))

    async def give_up(self, *, at: datetime, before: datetime, limit: int) -> int:
        """Close, as failed, deliveries that were due before `before` and whose workflow was terminated or failed.

        A delivery that Temporal does not know is started again. Returns how many were closed. Raises `Unavailable`.
        """
        closed = 0
        for delivery in await self._deliveries.overdue(before=before, limit=limit):
            try:
                running = await self._gateway.delivery_open(delivery.id)
            except NotFound:
                await self._start([delivery])
                continue
            if not running and await self._deliveries.give_up(delivery.id, DeliveryState.FAILED, at=at):
                log.warning("delivery_given_up", delivery_id=delivery.id)
                closed += 1
        return closed

    async def _start_or_log(self, deliveries: Sequence[DueDelivery]) -> None:
        try:
            await self._start(deliveries)
        except Unavailable as error:
            log.warning(
                "deliveries_not_started", delivery_ids=[delivery.id for delivery in deliveries], error=error.message
            )

    async def _start(self, deliveries: Sequence[DueDelivery]) -> list[str]:
        started = []
        for delivery in deliveries:
            try:
                await self._gateway.start_delivery(
                    self._input(delivery), owner=delivery.owner, summary=_summary(delivery)
                )
            except Unavailable:
                raise
            except OrchestratorError as error:  # A refused one must not delay the others.
                log.warning("delivery_refused", delivery_id=delivery.id, error=error.message)
            else:
                started.append(delivery.id)
        if started:
            await self._deliveries.started(started)
        return started

    def _input(self, due: DueDelivery) -> DeliveryInput:
        # A test is attempted once: its sender waits for the result.
        schedule = [0.0] if due.event == WebhookEvent.WEBHOOK_TEST else self._schedule
        return DeliveryInput(delivery_id=due.id, schedule=schedule)


def _summary(due: DueDelivery) -> str:
    """The summary for operators. It has only the host of the URL: the rest may contain a secret."""
    return f"{due.event} to {urlsplit(due.url).hostname}"
