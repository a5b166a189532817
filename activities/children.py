"""The activities of child jobs: the row before the start, and the end with its cost."""

from temporalio import activity

from activities.errors import temporal_errors
from orchestrator.domain import names
from orchestrator.domain.children import ChildClosing, ChildEnd, ChildRequest
from orchestrator.domain.commands import JobInput
from orchestrator.domain.ports import ChildJobs


class ChildActivities:
    """Local activities over the port `ChildJobs`: their markers are facts of the parent's history."""

    def __init__(self, children: ChildJobs) -> None:
        self._children = children

    @activity.defn(name=names.ACTIVITY_OPEN_CHILD)
    async def open_child(self, request: ChildRequest) -> JobInput:
        """Check the input of a child and write its row. Fails with the code of the error, non-retryable."""
        with temporal_errors():
            return await self._children.open(request)

    @activity.defn(name=names.ACTIVITY_CLOSE_CHILD)
    async def close_child(self, closing: ChildClosing) -> ChildEnd:
        """The end of a child, from its history."""
        with temporal_errors():
            return await self._children.close(closing)
