"""Connects to Temporal: its own environment and configuration file name the place (section 7)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from orchestrator.domain.errors import InvalidInput, NotFound, OrchestratorError, Unavailable
from orchestrator.engine.plugin import OrchestratorPlugin


def connect_options(environment: Mapping[str, str] | None = None, address: str | None = None) -> dict[str, Any]:
    """What `Client.connect` needs, from `TEMPORAL_*` and temporal.toml; `address` wins over both."""
    override = dict(environment) if environment is not None else None
    options: dict[str, Any] = dict(ClientConfig.load_client_connect_config(override_env_vars=override))
    options.setdefault("target_host", "127.0.0.1:7233")
    if address:
        options["target_host"] = address
    if _on_this_machine(options["target_host"]):
        # The SDK compresses by default, which between two processes of one machine only costs time.
        options["grpc_compression"] = GrpcCompression.NONE
    return options


def _on_this_machine(target_host: str) -> bool:
    host = target_host.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def connect(options: dict[str, Any], *, lazy: bool, runtime: Runtime | None = None) -> Client:
    """A client with our plugin. `lazy` ones connect at the first call and cannot serve a worker.

    Raises `Unavailable` when Temporal does not answer.
    """
    plugins = [*options.get("plugins", []), OrchestratorPlugin()]
    try:
        return await Client.connect(**{**options, "plugins": plugins, "lazy": lazy, "runtime": runtime})
    except RuntimeError as error:
        raise Unavailable(f"Temporal does not answer at {options['target_host']}: {error}") from error


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
