"""The floor: the same job written against the bare Temporal SDK, worker and client in one process."""

from datetime import timedelta
from typing import Final

from pydantic import BaseModel
from temporalio import activity, workflow

QUEUE: Final = "bench-raw"


class Text(BaseModel):
    """200 bytes of payload, in and out."""

    text: str


@activity.defn
async def first(given: Text) -> Text:
    """Answer at once."""
    return given


@activity.defn
async def second(given: Text) -> Text:
    """Answer at once."""
    return given


@activity.defn
async def third(given: Text) -> Text:
    """Answer at once."""
    return given


@workflow.defn
class RawWorkflow:
    """Three activities, one after another."""

    @workflow.run
    async def run(self, given: Text) -> Text:
        """The answer of the last."""
        for step in (first, second, third):
            given = await workflow.execute_activity(step, given, start_to_close_timeout=timedelta(seconds=30))
        return given
