"""Which jobs Temporal runs, and which were ended by force, all at once."""

from datetime import datetime, timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client

from orchestrator.domain import names
from orchestrator.engine.connect import rpc_errors

_PAGE: Final = 1000  # The most that a server with stock settings returns.
_LIST: Final = timedelta(seconds=20)


class Visibility:
    """What the reconciler asks of Temporal about jobs. Raises `Unavailable`, and `InvalidInput` as noted."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def running(self) -> dict[str, str]:
        """The run id of each running job that carries our search attributes: one request for each thousand.

        The visibility store lags behind by moments, and after a fault by more: nothing follows from this list alone.
        Raises `InvalidInput` if the namespace lacks the search attributes.
        """
        return await self._runs('ExecutionStatus = "Running"')

    async def reported_problems(self) -> dict[str, str]:
        """The run of each running job whose workflow tasks fail again and again, as the server says itself.

        Raises as `running` does; `InvalidInput` also from a server that does not say so.
        """
        return await self._runs(f'ExecutionStatus = "Running" AND {names.ATTRIBUTE_PROBLEMS} IS NOT NULL')

    async def ended_by_force(self, *, since: datetime) -> dict[str, str]:
        """The newest run of each job that was terminated or ran out of time since then: its workflow could say nothing.

        Raises as `running` does.
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
            # The raw call: the client's own one decodes the memo and attributes of each.
            with rpc_errors("visibility"):
                answer = await self._client.workflow_service.list_workflow_executions(request, timeout=_LIST)
            for each in answer.executions:  # the newest first
                runs.setdefault(each.execution.workflow_id, each.execution.run_id)
            token = answer.next_page_token
            if not token:
                return runs
