"""Reads the state of a Temporal server, for `orchestrator doctor` and the start of a worker."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client

from orchestrator.engine.connect import rpc_errors

_QUICK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """The state of our namespace. `attributes` maps the name of a search attribute to its type, e.g. `Keyword`."""

    id: str
    retention: timedelta
    attributes: dict[str, str]
    pollers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Poller:
    """A worker that polls a task queue. `version` is its build, empty if it has none."""

    identity: str
    seen_at: datetime
    activities: bool
    version: str


async def server_version(client: Client) -> str:
    """The version of a client's server. Raises `Unavailable`."""
    with rpc_errors("server"):
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=_QUICK)
    return info.server_version


async def inspect_namespace(client: Client, task_queue: str) -> NamespaceState:
    """The state of a client's namespace. Raises `NotFound`, `Unavailable`."""
    service = client.workflow_service
    with rpc_errors(f"namespace: {client.namespace}"):
        namespace = await service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=_QUICK
        )
        attributes = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=_QUICK
        )
    return NamespaceState(
        id=namespace.namespace_info.id,
        retention=namespace.config.workflow_execution_retention_ttl.ToTimedelta(),
        attributes={name: _type_name(kind) for name, kind in attributes.custom_attributes.items()},
        pollers=await pollers(client, task_queue),
    )


async def pollers(client: Client, task_queue: str, *, activities: bool = False) -> frozenset[str]:
    """The identities of the workers that poll a queue for workflow tasks, or for activities. Raises `Unavailable`."""
    kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if activities else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    with rpc_errors(f"task queue: {task_queue}"):
        response = await client.workflow_service.describe_task_queue(request, timeout=_QUICK)
    return frozenset(poller.identity for poller in response.pollers)


async def poller_states(client: Client, task_queue: str) -> list[Poller]:
    """The workers that poll a queue, for workflow tasks and for activities. Raises `Unavailable`."""
    states: list[Poller] = []
    for activities in (False, True):
        kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if activities else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
        )
        with rpc_errors(f"task queue: {task_queue}"):
            response = await client.workflow_service.describe_task_queue(request, timeout=_QUICK)
        for poller in response.pollers:
            seen_at = poller.last_access_time.ToDatetime(UTC)
            version = poller.deployment_options.build_id or poller.worker_version_capabilities.build_id
            states.append(Poller(poller.identity, seen_at, activities, version))
    return states


def _type_name(kind: IndexedValueType.ValueType) -> str:
    parts = IndexedValueType.Name(kind).removeprefix("INDEXED_VALUE_TYPE_").split("_")
    return "".join(part.capitalize() for part in parts)
