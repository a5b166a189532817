"""Which jobs Temporal holds as running, all at once."""

from datetime import timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client

from orchestrator.domain import names
from orchestrator.engine.connect import rpc_errors

_PAGE: Final = 1000  # The most that a server with stock settings returns.
_LIST: Final = timedelta(seconds=20)
_RUNNING: Final = f'ExecutionStatus = "Running" AND {names.ATTRIBUTE_KIND} IS NOT NULL'


class Visibility:
    """What the reconciler asks of Temporal about jobs. Raises `Unavailable`, and `InvalidInput` as noted."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def running(self) -> dict[str, str]:
        """The run id of each running job that carries our search attributes: one request for each thousand.

        The visibility store lags behind by moments, and after a fault by more: nothing follows from this list alone.
        Raises `InvalidInput` if the namespace lacks the search attributes.
        """
        runs: dict[str, str] = {}
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=self._client.namespace, page_size=_PAGE, next_page_token=token, query=_RUNNING
            )
            # The raw call: the client's own one decodes the memo and attributes of each.
            with rpc_errors("visibility"):
                answer = await self._client.workflow_service.list_workflow_executions(request, timeout=_LIST)
            runs |= {each.execution.workflow_id: each.execution.run_id for each in answer.executions}
            token = answer.next_page_token
            if not token:
                return runs
