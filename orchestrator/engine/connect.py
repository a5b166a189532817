"""Connects to Temporal, at the address in Temporal's own environment variables and configuration file."""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from orchestrator.domain.errors import InvalidInput, Misconfigured, NotFound, OrchestratorError, Unavailable
from orchestrator.engine.connection_faults import connection_fault
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.network.loopback import is_loopback

_LAST_PORT: Final = 65_535
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@]+):(\d{1,5})")
_SWITCH: Final = ("true", "false", "1", "0")
_SETTINGS: Final = "Correct the TEMPORAL_* variables or the file that TEMPORAL_CONFIG_FILE names."


def connect_options(environment: Mapping[str, str] | None = None, address: str | None = None) -> dict[str, Any]:
    """The options for `Client.connect` from `TEMPORAL_*` and temporal.toml; `address` overrides both.

    An empty variable counts as unset: to the SDK an empty key or switch would mean TLS. Raises `Misconfigured`.
    """
    stripped = {name: value.strip() for name, value in (os.environ if environment is None else environment).items()}
    variables = {name: value for name, value in stripped.items() if value}
    try:
        options: dict[str, Any] = dict(ClientConfig.load_client_connect_config(override_env_vars=variables))
    except (RuntimeError, OSError) as error:
        raise Misconfigured(f"The settings for Temporal cannot be read: {error}.", remedy=_SETTINGS) from error
    options.setdefault("target_host", "127.0.0.1:7233")
    if address:
        options["target_host"] = address
    match = _ADDRESS.fullmatch(options["target_host"])
    if match is None or not 0 < int(match[2]) <= _LAST_PORT:
        raise Misconfigured(
            f"Invalid TEMPORAL_ADDRESS {options['target_host']!r}.",
            remedy="Set it to HOST:PORT, for example 127.0.0.1:7233, with a port from 1 to 65535.",
        )
    if variables.get("TEMPORAL_TLS", "true").lower() not in _SWITCH:
        raise Misconfigured(f"Invalid TEMPORAL_TLS {variables['TEMPORAL_TLS']!r}.", remedy="Set it to true or false.")
    if is_loopback(options["target_host"].rpartition(":")[0]):
        # The SDK compresses by default, which only costs time between two processes of one machine.
        options["grpc_compression"] = GrpcCompression.NONE
    return options


async def connect(options: dict[str, Any], *, lazy: bool, runtime: Runtime | None = None) -> Client:
    """Connect a client with our plugin. A `lazy` client connects at its first call, and cannot serve a worker.

    Raises `Unavailable` if Temporal does not answer.
    """
    plugins = [*options.get("plugins", []), OrchestratorPlugin()]
    try:
        return await Client.connect(**{**options, "plugins": plugins, "lazy": lazy, "runtime": runtime})
    except RuntimeError as error:
        sentence, remedy = connection_fault(error)
        raise Unavailable(f"Temporal does not answer at {options['target_host']}: {sentence}", remedy=remedy) from error


async def connect_within(seconds: float, *, address: str | None) -> Client:
    """Connect a client to an address, or to the configured one. Raises `Unavailable` after so many seconds."""
    options = connect_options(address=address)
    try:
        async with asyncio.timeout(seconds):
            return await connect(options, lazy=False)
    except TimeoutError:
        raise Unavailable(
            f"Temporal does not answer at {options['target_host']}: no answer within {seconds:.0f} s",
            remedy="Start the server, or correct TEMPORAL_ADDRESS.",
        ) from None


@contextmanager
def rpc_errors(subject: str, **details: Any) -> Iterator[None]:
    """Turn Temporal's errors into domain errors.

    An unknown subject is `NotFound`, and a request that can never succeed is `InvalidInput`. Every other status is a
    fault of the server or its configuration that may end: `Unavailable`.
    """
    try:
        yield
    except RPCError as error:
        raise _domain_error(error, subject, details) from error
    except RPCTimeoutOrCancelledError as error:  # The SDK raises this for the deadline of an update or a query.
        raise Unavailable("Temporal does not answer (deadline_exceeded)", **details) from error
    except RuntimeError as error:  # The SDK raises this for a lazy client that cannot connect.
        raise Unavailable("Temporal does not answer (not connected)", **details) from error
    except WorkflowAlreadyStartedError as error:
        raise InvalidInput(f"{subject} exists already", field="job_id", provided=error.workflow_id) from error


def _domain_error(error: RPCError, subject: str, details: dict[str, Any]) -> OrchestratorError:
    match error.status:
        case RPCStatusCode.NOT_FOUND:
            return NotFound(f"Unknown {subject}", **details)
        case RPCStatusCode.INVALID_ARGUMENT:
            return InvalidInput(f"Temporal refused {subject}: {error.message}", **details)
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            return Unavailable("Temporal refuses this installation's credentials", **details)
        case status:
            return Unavailable(f"Temporal does not answer ({status.name.lower()})", **details)
