"""Calls to Temporal fail at once while it is away, instead of each one waiting for its own deadline (decision 0022)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

log = structlog.get_logger(__name__)

_DOUBT: Final = 0.75  # seconds without an answer after which a call has Temporal looked at
_PROBE: Final = timedelta(seconds=2)  # how long that look may take: a caller hears of an outage within three seconds
_PAUSE: Final = 0.5  # seconds between two looks while Temporal is away
_AWAY: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})

T = TypeVar("T")
Response = TypeVar("Response", bound=Message)


class Circuit:
    """Whether Temporal answers, as far as this process knows. Only a failed `probe` says that it does not.

    A call that fails or gets no answer starts the probe. While the probe fails, every call fails with `UNAVAILABLE`:
    those under way are cut off, and further ones are not made. The probe goes on until it succeeds.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        doubt: float = _DOUBT,
        pause: float = _PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._doubt = doubt
        self._pause = pause
        self._clock = clock
        self._calls: set[asyncio.Timeout] = set()
        self._looking: asyncio.Task[None] | None = None
        self._returned_at: float | None = None
        self.away = False

    def returned_within(self, seconds: float) -> bool:
        """Whether Temporal answers again since no more than so many seconds ago."""
        return self._returned_at is not None and self._clock() - self._returned_at < seconds

    async def call(self, make: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        """What a call answers within `seconds`, its retries included. Raises `RPCError` and what the call raises."""
        if self.away:
            self._look()
            raise _unanswered()
        doubt = asyncio.get_running_loop().call_later(self._doubt, self._look)
        try:
            async with asyncio.timeout(seconds) as limit:
                self._calls.add(limit)
                try:
                    return await make()
                finally:
                    self._calls.discard(limit)
        except TimeoutError as late:
            self._look()
            raise _unanswered() from late
        except RPCError as error:
            if error.status in _AWAY:
                self._look()
            raise
        except RuntimeError:  # of a lazy client that cannot connect
            self._look()
            raise
        finally:
            doubt.cancel()

    def _look(self) -> None:
        """Have one probe under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._until_answered(), name="probe of Temporal")

    async def _until_answered(self) -> None:
        while not await self._answers():
            if not self.away:
                self.away = True
                log.warning("temporal_away", calls=len(self._calls))
                now = asyncio.get_running_loop().time()
                for limit in self._calls:
                    limit.reschedule(now)
            await asyncio.sleep(self._pause)
        if self.away:
            self.away, self._returned_at = False, self._clock()
            log.info("temporal_back")

    async def _answers(self) -> bool:
        try:
            # The call's own deadline does not count the time that it takes to connect.
            async with asyncio.timeout(_PROBE.total_seconds()):
                await self._probe()
        except RPCError as error:
            return error.status not in _AWAY  # a refusal is an answer
        except (RuntimeError, TimeoutError):
            return False
        return True


class GuardedService(ServiceClient):
    """The SDK's service client, every call of which goes through one circuit. Workers poll and report past it."""

    def __init__(self, service: ServiceClient) -> None:
        super().__init__(service.config)
        self._service = service
        self.circuit = Circuit(self._probe)

    @property
    def worker_service_client(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a private type of the SDK
        """What workers use: their polls are long, and what they report has retries of its own."""
        return self._service.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        """See `ServiceClient`."""
        self._service.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        """See `ServiceClient`."""
        self._service.update_api_key(api_key)

    async def _probe(self) -> None:
        # Read from the server's database: one that lost it answers nothing else either.
        await self._service.workflow_service.get_cluster_info(GetClusterInfoRequest(), timeout=_PROBE)

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[Response],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,  # noqa: ASYNC109 - the SDK's parameter
    ) -> Response:
        def make() -> Awaitable[Response]:
            return self._service._rpc_call(  # noqa: SLF001 - the one method through which the SDK makes calls
                rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
            )

        return await self.circuit.call(make, timeout.total_seconds() if timeout is not None else None)


def circuit_of(client: Client) -> Circuit:
    """The circuit of a client with our plugin."""
    service = client.service_client
    if not isinstance(service, GuardedService):
        raise TypeError("the client was connected without OrchestratorPlugin")
    return service.circuit


def _unanswered() -> RPCError:
    return RPCError("Temporal does not answer", RPCStatusCode.UNAVAILABLE, b"")
