"""A Temporal client behind a circuit: every call fails at once while Temporal does not answer."""

from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

from orchestrator.network.circuit_breaker import PROBE_SECONDS, CircuitBreaker

_OUTAGE_CODES: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})

# A lazy client that cannot connect raises `RuntimeError`.
ERRORS: Final = (RPCError, RuntimeError)

Response = TypeVar("Response", bound=Message)


class GuardedService(ServiceClient):
    """The SDK's service client behind a circuit. Workers bypass the circuit."""

    def __init__(self, service: ServiceClient) -> None:
        super().__init__(service.config)
        self._service = service
        self.circuit = CircuitBreaker("temporal", self._probe, ERRORS, is_outage)

    @property
    def worker_service_client(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a private type of the SDK
        """The client for workers, without the circuit: polls are long, and reports have their own retries."""
        return self._service.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        """See `ServiceClient`."""
        self._service.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        """See `ServiceClient`."""
        self._service.update_api_key(api_key)

    async def _probe(self) -> None:
        # This call reads the server's database: a server without its database answers no other call either.
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
        def call() -> Awaitable[Response]:
            return self._service._rpc_call(  # noqa: SLF001 - the one method through which the SDK makes calls
                rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
            )

        try:
            return await self.circuit.call(call, timeout.total_seconds() if timeout is not None else None)
        except (RPCError, TimeoutError) as error:
            if self.circuit.away and (isinstance(error, TimeoutError) or error.status in _OUTAGE_CODES):
                # DEADLINE_EXCEEDED would mean the caller's deadline; here the probe's deadline passed.
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


def is_outage(error: Exception) -> bool:
    """Whether a call failed because Temporal did not answer."""
    return not isinstance(error, RPCError) or error.status in _OUTAGE_CODES
