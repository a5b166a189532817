"""`python -m bench.peers.dbos_app`: the jobs on DBOS. A step's result is stored before the next step."""

import argparse
import asyncio
from typing import Any

from dbos import DBOS, DBOSConfig

from bench.agent_calls import INPUT, Call, ask, client, warm
from bench.peers.waves import call_of, waves
from bench.timed_runs import serve_runs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--database-url", required=True)
parser.add_argument("--model-url", required=True)
options = parser.parse_args()
config: DBOSConfig = {
    "name": "bench",
    "system_database_url": options.database_url,
    "log_level": "ERROR",
    "run_admin_server": False,  # type: ignore[typeddict-unknown-key]
}
DBOS(config=config)
models = client(options.model_url)


@DBOS.step()
async def call_agent(call: dict[str, Any]) -> dict[str, Any]:
    """Run one agent."""
    return (await ask(models, Call.model_validate(call))).model_dump()


@DBOS.workflow()
async def plan(input: dict[str, Any]) -> list[dict[str, Any]]:
    """Run all waves."""
    answers: list[dict[str, Any]] = []
    for wave in waves():
        answers += await asyncio.gather(*(call_agent(call_of(*place, input, answers)) for place in wave))
    return answers


@DBOS.step()
async def answer(text: str) -> str:
    """Return at once."""
    return text


@DBOS.workflow()
async def j3(text: str) -> str:
    """Three steps in sequence."""
    for _ in range(3):
        text = await answer(text)
    return text


async def run_plan() -> None:
    """Start a job and wait for its result."""
    await (await DBOS.start_workflow_async(plan, INPUT)).get_result()


async def run_j3() -> None:
    """Start a job and wait for its result."""
    await (await DBOS.start_workflow_async(j3, "x" * 200)).get_result()


async def main() -> None:
    """Answer requests until the input ends."""
    warm()
    DBOS.launch()
    await serve_runs({"plan": run_plan, "j3": run_j3})
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
