"""Connects to Temporal: its own environment and configuration file name the place (section 7)."""

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
_SETTINGS: Final = "Correct the variables TEMPORAL_* or the file that TEMPORAL_CONFIG_FILE names."


def connect_options(environment: Mapping[str, str] | None = None, address: str | None = None) -> dict[str, Any]:
    """What `Client.connect` needs, from `TEMPORAL_*` and temporal.toml; `address` wins over both.

    A variable that is empty counts as unset: to the SDK an empty key or switch would mean TLS. Raises `Misconfigured`.
    """
    stripped = {name: value.strip() for name, value in (os.environ if environment is None else environment).items()}
    given = {name: value for name, value in stripped.items() if value}
    try:
        options: dict[str, Any] = dict(ClientConfig.load_client_connect_config(override_env_vars=given))
    except (RuntimeError, OSError) as error:
        raise Misconfigured(f"The settings of Temporal cannot be read: {error}.", remedy=_SETTINGS) from error
    options.setdefault("target_host", "127.0.0.1:7233")
    if address:
        options["target_host"] = address
    found = _ADDRESS.fullmatch(options["target_host"])
    if found is None or not 0 < int(found[2]) <= _LAST_PORT:
        raise Misconfigured(
            f"TEMPORAL_ADDRESS is {options['target_host']!r}.",
            remedy="It takes HOST:PORT, such as 127.0.0.1:7233, with a port from 1 to 65535.",
        )
    if given.get("TEMPORAL_TLS", "true").lower() not in _SWITCH:
        raise Misconfigured(f"TEMPORAL_TLS is {given['TEMPORAL_TLS']!r}.", remedy="It takes true or false.")
    if is_loopback(options["target_host"].rpartition(":")[0]):
        # The SDK compresses by default, which between two processes of one machine only costs time.
        options["grpc_compression"] = GrpcCompression.NONE
    return options


async def connect(options: dict[str, Any], *, lazy: bool, runtime: Runtime | None = None) -> Client:
    """A client with our plugin. `lazy` ones connect at the first call and cannot serve a worker.

    Raises `Unavailable` when Temporal does not answer.
    """
    plugins = [*options.get("plugins", []), OrchestratorPlugin()]
    try:
        return await Client.connect(**{**options, "plugins": plugins, "lazy": lazy, "runtime": runtime})
    except RuntimeError as error:
        sentence, remedy = connection_fault(error)
        raise Unavailable(f"Temporal does not answer at {options['target_host']}: {sentence}", remedy=remedy) from error


async def connect_within(seconds: float, *, address: str | None) -> Client:
    """A connected client at an address, or at the configured one. Raises `Unavailable` when the time is over."""
    options = connect_options(address=address)
    try:
        async with asyncio.timeout(seconds):
            return await connect(options, lazy=False)
    except TimeoutError:
        raise Unavailable(
            f"Temporal does not answer at {options['target_host']}: no answer within {seconds:.0f} s",
            remedy="Start that server, or correct TEMPORAL_ADDRESS.",
        ) from None


@contextmanager
def rpc_errors(subject: str, **details: Any) -> Iterator[None]:
    """Turns Temporal's errors into domain errors.

    An unknown subject is `NotFound`, a request that can never succeed is `InvalidInput`. Every other status is the
    server's fault or its configuration's, and passes: `Unavailable`.
    """
    try:
        yield
    except RPCError as error:
        raise _domain_error(error, subject, details) from error
    except RPCTimeoutOrCancelledError as error:  # what the SDK makes of the deadline of an update or a query
        raise Unavailable("Temporal does not answer (deadline_exceeded)", **details) from error
    except RuntimeError as error:  # a lazy client that cannot connect says no more than this
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
