"""The baseline: the same job with the bare Temporal SDK, worker and client in one process."""

from datetime import timedelta
from typing import Final

from pydantic import BaseModel
from temporalio import activity, workflow

QUEUE: Final = "bench-raw"


class Text(BaseModel):
    """A payload of 200 bytes, as input and output."""

    text: str


@activity.defn
async def first(value: Text) -> Text:
    """Return at once."""
    return value


@activity.defn
async def second(value: Text) -> Text:
    """Return at once."""
    return value


@activity.defn
async def third(value: Text) -> Text:
    """Return at once."""
    return value


@workflow.defn
class RawWorkflow:
    """Three activities in sequence."""

    @workflow.run
    async def run(self, value: Text) -> Text:
        """Return the result of the last activity."""
        for step in (first, second, third):
            value = await workflow.execute_activity(step, value, start_to_close_timeout=timedelta(seconds=30))
        return value


@workflow.defn
class RawLocalWorkflow:
    """Three local activities in sequence."""

    @workflow.run
    async def run(self, value: Text) -> Text:
        """Return the result of the last activity."""
        for step in (first, second, third):
            value = await workflow.execute_local_activity(step, value, start_to_close_timeout=timedelta(seconds=30))
        return value
