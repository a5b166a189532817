"""Lists jobs in Temporal's visibility store: running ones, stuck ones, and those that were terminated."""

from datetime import datetime, timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client

from orchestrator.domain import names
from orchestrator.engine.connect import rpc_errors

_PAGE: Final = 1000  # The largest page that a server with default settings returns.
_LIST: Final = timedelta(seconds=20)


class Visibility:
    """The reconciler's lists of jobs. Every method raises `Unavailable`, and `InvalidInput` as noted."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def running(self) -> dict[str, str]:
        """The run id of each running job with our search attributes, in pages of a thousand.

        The visibility store is updated with a delay, and after a fault with a longer one: conclude nothing from this
        list alone. Raises `InvalidInput` if the namespace lacks the search attributes.
        """
        return await self._runs('ExecutionStatus = "Running"')

    async def reported_problems(self) -> dict[str, str]:
        """The run id of each running job that the server reports because its workflow tasks fail repeatedly.

        Raises the same errors as `running`, and `InvalidInput` for a server that does not report this.
        """
        return await self._runs(f'ExecutionStatus = "Running" AND {names.ATTRIBUTE_PROBLEMS} IS NOT NULL')

    async def ended_by_force(self, *, since: datetime) -> dict[str, str]:
        """The newest run of each job that was terminated or timed out since a time: its workflow recorded no end.

        Raises the same errors as `running`.
        """
        ends = 'ExecutionStatus IN ("Terminated", "TimedOut")'
        return await self._runs(f'{ends} AND CloseTime > "{since.isoformat()}"')

    async def _runs(self, condition: str) -> dict[str, str]:
        runs: dict[str, str] = {}
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=self._client.namespace,
                page_size=_PAGE,
                next_page_token=token,
                query=f"{condition} AND {names.ATTRIBUTE_KIND} IS NOT NULL",
            )
            # Not the client's own method, which decodes the memo and the attributes of every job.
            with rpc_errors("visibility"):
                response = await self._client.workflow_service.list_workflow_executions(request, timeout=_LIST)
            for execution in response.executions:  # Newest first.
                runs.setdefault(execution.execution.workflow_id, execution.execution.run_id)
            token = response.next_page_token
            if not token:
                return runs
