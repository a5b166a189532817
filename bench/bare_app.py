"""`python -m bench.bare_app`: worker and client of the bare Temporal SDK, with the plan of eighteen agents by hand.

It reads one JSON request a line, such as `{"plan": 5}`, runs so many jobs at once, and prints the seconds of each.
"""

import argparse
import asyncio
import uuid
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bench.agent_calls import INPUT, STEPS, Answer, Call, ask, client, turn, warm
    from bench.agent_names import ASSISTANT
    from bench.raw import RawWorkflow, Text, first, second, third
    from bench.timed_runs import serve_runs
    from orchestrator.commandline.terminal.exits import leave

QUEUE: Final = "bench-bare"
_TIMEOUT: Final = timedelta(minutes=5)


class Job(BaseModel):
    """The input of a job."""

    input: dict[str, Any]


class Result(BaseModel):
    """The answers of a job."""

    answers: list[Answer]


class Messages(BaseModel):
    """The messages of an agent with tools so far."""

    messages: list[dict[str, Any]]


class Message(BaseModel):
    """One message of the model."""

    message: dict[str, Any]


class Lookup(BaseModel):
    """The arguments of the tool, as the model wrote them."""

    arguments: str


class Item(BaseModel):
    """What the tool returns."""

    text: str


@workflow.defn
class BarePlan:
    """Every step runs its agents at once, as soon as the steps before it are done."""

    @workflow.run
    async def run(self, job: Job) -> Result:
        """Return all answers."""
        done: dict[str, asyncio.Task[list[Answer]]] = {}

        async def run_step(step: Any) -> list[Answer]:
            context = [answer for need in step.needs for answer in await done[need]]
            calls = [
                Call(
                    step=step.id,
                    title=step.name,
                    instruction=step.instruction,
                    agent=agent,
                    input=job.input,
                    context=context,
                )
                for agent in step.agents
            ]
            answers = (
                workflow.execute_activity(call_agent, call, start_to_close_timeout=_TIMEOUT, summary=call.title)
                for call in calls
            )
            return list(await asyncio.gather(*answers))

        for step in STEPS:
            done[step.id] = asyncio.create_task(run_step(step))
        return Result(answers=[answer for step in STEPS for answer in await done[step.id]])


@workflow.defn
class BareTools:
    """An agent with a tool: an activity for each turn of the model and for each call of the tool."""

    @workflow.run
    async def run(self, job: Job) -> Message:
        """Return the last message."""
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": ASSISTANT},
            {"role": "user", "content": str(job.input)},
        ]
        while True:
            reply = await workflow.execute_activity(
                ask_model, Messages(messages=messages), start_to_close_timeout=_TIMEOUT
            )
            call = reply.message["tool_calls"][0]
            if call["function"]["name"] == "answer":
                return reply
            item = await workflow.execute_activity(
                look_up, Lookup(arguments=call["function"]["arguments"]), start_to_close_timeout=_TIMEOUT
            )
            messages += [reply.message, {"role": "tool", "tool_call_id": call["id"], "content": item.text}]


class Activities:
    """The activities, on one client of the model server."""

    def __init__(self, url: str) -> None:
        self._client = client(url)

    @activity.defn
    async def call_agent(self, call: Call) -> Answer:
        """Run one agent."""
        return await ask(self._client, call)

    @activity.defn
    async def ask_model(self, messages: Messages) -> Message:
        """Run one turn of the agent with a tool."""
        return Message(message=await turn(self._client, messages.messages))

    @activity.defn
    async def look_up(self, lookup: Lookup) -> Item:
        """Return at once."""
        return Item(text=f"Found: {lookup.arguments}")


call_agent = Activities.call_agent
ask_model = Activities.ask_model
look_up = Activities.look_up


async def main(address: str, url: str) -> None:
    """Run the worker, and answer requests until the input ends."""
    warm()
    temporal = await Client.connect(address, data_converter=pydantic_data_converter)
    activities = Activities(url)

    async def run(flow: Any, argument: BaseModel) -> None:
        handle = await temporal.start_workflow(
            flow.run,
            argument,
            id=f"bare-{uuid.uuid4().hex}",
            task_queue=QUEUE,
            request_eager_start=True,
        )
        await handle.result()

    worker = Worker(
        temporal,
        task_queue=QUEUE,
        workflows=[BarePlan, BareTools, RawWorkflow],
        activities=[first, second, third, activities.call_agent, activities.ask_model, activities.look_up],
        max_concurrent_activities=1000,  # They wait for the model.
    )
    job = Job(input=INPUT)
    async with worker:
        await serve_runs(
            {
                "plan": partial(run, BarePlan, job),
                "tools": partial(run, BareTools, job),
                "j3": partial(run, RawWorkflow, Text(text="x" * 200)),
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--model-url", required=True)
    options = parser.parse_args()
    asyncio.run(main(options.address, options.model_url))
    leave(0)
