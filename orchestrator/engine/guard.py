"""Every call of a Temporal client goes through one circuit, so that it fails at once while Temporal is away."""

from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

from orchestrator.network.circuit_breaker import PROBE_SECONDS, CircuitBreaker

_UNANSWERED: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})

# `RuntimeError` is a lazy client's that cannot connect.
ERRORS: Final = (RPCError, RuntimeError)

Response = TypeVar("Response", bound=Message)


class GuardedService(ServiceClient):
    """The SDK's service client behind a circuit. Workers poll and report past it."""

    def __init__(self, service: ServiceClient) -> None:
        super().__init__(service.config)
        self._service = service
        self.circuit = CircuitBreaker("temporal", self._probe, ERRORS, lost)

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
        # Read from the server's database: a server that lost it answers nothing else either.
        timeout = timedelta(seconds=PROBE_SECONDS)
        await self._service.workflow_service.get_cluster_info(GetClusterInfoRequest(), timeout=timeout)

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

        try:
            return await self.circuit.call(make, timeout.total_seconds() if timeout is not None else None)
        except (RPCError, TimeoutError) as error:
            if self.circuit.away and (isinstance(error, TimeoutError) or error.status in _UNANSWERED):
                # The probe's own deadline is not the caller's: the SDK has another error for that.
                raise RPCError("Temporal does not answer", RPCStatusCode.UNAVAILABLE, b"") from error
            if isinstance(error, TimeoutError):
                raise RPCError("Temporal does not answer", RPCStatusCode.DEADLINE_EXCEEDED, b"") from error
            raise


def circuit_of(client: Client) -> CircuitBreaker:
    """The circuit of a client with our plugin."""
    service = client.service_client
    if not isinstance(service, GuardedService):
        raise TypeError("the client was connected without OrchestratorPlugin")
    return service.circuit


def lost(error: Exception) -> bool:
    """Whether an error of a call says that Temporal did not answer."""
    return not isinstance(error, RPCError) or error.status in _UNANSWERED
