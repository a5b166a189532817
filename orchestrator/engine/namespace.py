"""Sets up a Temporal namespace: its retention of closed jobs and our search attributes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.domain.errors import InvalidInput, Misconfigured, NotFound, Unavailable
from orchestrator.engine.connect import rpc_errors

_TIMEOUT_SECONDS: Final = 20.0
_PAUSE: Final = 0.5
_QUICK_PAUSE: Final = 0.1
_QUICK: Final = timedelta(seconds=5)
_FINAL: Final = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.INVALID_ARGUMENT)


async def ensure_namespace(client: Client, *, retention_days: int, attributes: Mapping[str, str]) -> None:
    """Set the retention and the search attributes (name to type, e.g. `Keyword`) of the client's namespace.

    It changes only what differs, so every process may call it at its start. It waits for a new namespace, for the
    change of another process, and until the server accepts new attributes. Raises `Misconfigured` for an unknown
    namespace, and `Unavailable` if the server refuses or an attribute exists with another type.
    """
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    while True:
        try:
            await _ensure_retention(client, timedelta(days=retention_days))
            added = await _ensure_attributes(client, attributes)
            await _until_accepted(client, added, deadline)
        except RPCError as fault:
            if fault.status in _FINAL or asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"namespace {client.namespace!r} could not be prepared: {fault.message}") from fault
            await asyncio.sleep(_PAUSE)
        else:
            return


async def create_namespace(client: Client, *, retention_days: int) -> None:
    """Register the client's namespace, unless it exists. Raises `Unavailable`."""
    registration = RegisterNamespaceRequest(namespace=client.namespace)
    registration.workflow_execution_retention_period.FromTimedelta(timedelta(days=retention_days))
    try:
        await client.workflow_service.register_namespace(registration)
    except RPCError as fault:
        if fault.status is not RPCStatusCode.ALREADY_EXISTS:
            raise Unavailable(f"namespace {client.namespace!r} could not be created: {fault.message}") from fault
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    while True:
        try:
            await namespace_id(client)
        except Misconfigured:  # The server has not loaded it yet.
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return


async def namespace_id(client: Client) -> str:
    """The id of the client's namespace, unique across installations of Temporal.

    Raises `Misconfigured` if the server has no such namespace, and `Unavailable`.
    """
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        with rpc_errors(f"namespace: {client.namespace}"):
            response = await client.workflow_service.describe_namespace(request, timeout=_QUICK)
    except (NotFound, InvalidInput) as fault:
        raise unknown_namespace(client) from fault
    return response.namespace_info.id


def unknown_namespace(client: Client) -> Misconfigured:
    """The error for a namespace that does not exist."""
    address = client.service_client.config.target_host
    return Misconfigured(
        f"Temporal at {address} has no namespace {client.namespace!r}.",
        remedy="Correct TEMPORAL_NAMESPACE or TEMPORAL_ADDRESS, or create it with temporal/setup-namespace.sh or "
        "`orchestrator worker --create-namespace`.",
    )


async def _ensure_retention(client: Client, retention: timedelta) -> None:
    service = client.workflow_service
    try:
        response = await service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as fault:
        if fault.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise unknown_namespace(client) from fault
    if response.config.workflow_execution_retention_ttl.ToTimedelta() != retention:
        change = UpdateNamespaceRequest(namespace=client.namespace)
        change.config.workflow_execution_retention_ttl.FromTimedelta(retention)
        await service.update_namespace(change)


async def _ensure_attributes(client: Client, attributes: Mapping[str, str]) -> list[str]:
    """Add the attributes that are missing, and return their names."""
    service = client.operator_service
    existing = (
        await service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    ).custom_attributes
    types = {name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}") for name, kind in attributes.items()}
    for name, kind in types.items():
        if existing.get(name, kind) != kind:
            raise Unavailable(
                f"search attribute {name} of namespace {client.namespace!r} has another type than {attributes[name]}"
            )
    missing = {name: kind for name, kind in types.items() if name not in existing}
    if missing:
        await service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    return list(missing)


async def _until_accepted(client: Client, attributes: Sequence[str], deadline: float) -> None:
    """Wait until the server has loaded new search attributes. It does so every few seconds, and refuses them before."""
    while attributes and not await _accepts(client, attributes):
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"namespace {client.namespace!r} does not accept its new search attributes")
        await asyncio.sleep(_QUICK_PAUSE)


async def _accepts(client: Client, attributes: Sequence[str]) -> bool:
    condition = " AND ".join(f"{name} IS NOT NULL" for name in attributes)
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=1, query=condition)
    try:
        await client.workflow_service.list_workflow_executions(request)
    except RPCError as fault:
        if fault.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        return False
    return True
