"""`python -m bench.peers.prefect_app`: the jobs of the benchmark on Prefect. Results of tasks are stored in files."""

import argparse
import asyncio
from typing import Any

from prefect import flow, task

from bench.agent_calls import INPUT, Call, ask, client, warm
from bench.peers.waves import call_of, waves
from bench.timed_runs import serve_runs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model-url", required=True)
options = parser.parse_args()
models = client(options.model_url)


@task(persist_result=True)
async def call_agent(call: dict[str, Any]) -> dict[str, Any]:
    """Run one agent."""
    return (await ask(models, Call.model_validate(call))).model_dump()


@flow(persist_result=True)
async def plan(input: dict[str, Any]) -> list[dict[str, Any]]:
    """Run all waves."""
    answers: list[dict[str, Any]] = []
    for wave in waves():
        answers += await asyncio.gather(*(call_agent(call_of(*place, input, answers)) for place in wave))
    return answers


@task(persist_result=True)
async def answer(text: str) -> str:
    """Return at once."""
    return text


@flow(persist_result=True)
async def j3(text: str) -> str:
    """Three tasks in sequence."""
    for _ in range(3):
        text = await answer(text)
    return text


async def run_plan() -> None:
    """Run a job."""
    await plan(INPUT)


async def run_j3() -> None:
    """Run a job."""
    await j3("x" * 200)


async def main() -> None:
    """Answer requests until the input ends."""
    warm()
    await serve_runs({"plan": run_plan, "j3": run_j3})


if __name__ == "__main__":
    asyncio.run(main())
