"""An agent with ten tool calls: the product against the bare SDK's own activities, in turns."""

from statistics import median
from typing import Final

from bench.agent_names import TOOL_CALLS
from bench.agents import bare_app, run_job
from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_most
from bench.plugin import TOOLS
from bench.programs import ProcessorTime
from bench.timed_runs import timed

_JOBS: Final = 8


async def measure(at: Embedded) -> list[Figure]:
    """The time of a job whose model answers at once, and its processor time."""
    connection = Connection(at.port, at.key)

    async def run() -> None:
        await run_job(connection, TOOLS, {})

    times: dict[str, list[float]] = {"product": [], "bare": []}
    cost: dict[str, list[float]] = {"product": [], "bare": []}
    async with bare_app(at) as bare:
        await timed(run, 1, 1)  # warm-up
        await bare.request(tools=1)
        for _ in range(1 if at.quick else 3):
            used = ProcessorTime(at.pids)
            times["product"] += (await timed(run, _JOBS, 1)).seconds
            cost["product"].append(used.seconds() * 1000 / _JOBS)
            used = ProcessorTime([bare.pid, at.temporal])
            times["bare"] += (await bare.request(tools=_JOBS, lanes=1))["seconds"]
            cost["bare"].append(used.seconds() * 1000 / _JOBS)
    await connection.close()
    ours, floor = (median(seconds) * 1000 for seconds in times.values())
    used_by_ours, used_by_floor = (median(milliseconds) for milliseconds in cost.values())
    name = f"an agent with {TOOL_CALLS} tool calls, p50 ÷ bare SDK"
    return [
        at_most(name, 1.3, ours / floor, "×", f"{ours:.0f} ÷ {floor:.0f} ms"),
        Figure(
            "  processor time ÷ bare SDK",
            used_by_ours / used_by_floor,
            "×",
            note=f"{used_by_ours:.0f} ÷ {used_by_floor:.0f} ms",
        ),
    ]
