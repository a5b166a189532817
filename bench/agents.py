"""Eighteen agents with a model server that answers after a second: the product against the bare SDK, in turns."""

from statistics import median
from typing import Any, Final

from bench.agent_calls import CALLS, INPUT, PATH, WORKFLOW
from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_most
from bench.plugin import J3
from bench.processes import BenchFailed
from bench.programs import ProcessorTime, Program
from bench.timed_runs import timed

AT_ONCE: Final = {1: 1.05, 5: 1.10, 20: 1.20}
_CPU: Final = 1.6
_SECONDS: Final = 1.0  # of an answer of the model


def bare_app(at: Embedded) -> Program:
    """The same jobs by hand, on the same Temporal server and model server."""
    return Program("bench.bare_app", "--address", at.address, "--model-url", at.models.url)


async def run_job(connection: Connection, workflow: str, input: dict[str, Any]) -> dict[str, Any]:
    """Start a job, then read it with `?wait` until it has ended. Raises `BenchFailed` if it did not complete."""
    started = await connection.call("POST", f"/v1/workflows/{workflow}/run", {"input": input, "async": True})
    while True:
        job: dict[str, Any] = await connection.call("GET", f"/v1/jobs/{started['job_id']}?wait=30&until=end")
        if job["completed_at"] is not None:
            break
    if job["status"] != "completed":
        raise BenchFailed(f"a job did not complete: {job}")
    return job


class Product:
    """Runs jobs through the product's API, each on its own connection."""

    def __init__(self, port: int, key: str) -> None:
        self._connections = [Connection(port, key) for _ in range(max(AT_ONCE))]

    async def request(
        self, *, plan: int = 0, j3: int = 0, lanes: int | None = None, within: int | None = None
    ) -> dict[str, Any]:
        """Run so many jobs, as the bare app does: by default all at once."""
        free = list(self._connections)
        workflow, input = (WORKFLOW, INPUT) if plan else (J3, {"text": "x" * 200})

        async def run() -> None:
            connection = free.pop()
            await run_job(connection, workflow, input)
            free.append(connection)

        return (await timed(run, plan or j3, lanes or plan, within=within))._asdict()

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            await connection.close()


async def measure(at: Embedded) -> list[Figure]:
    """Times over the critical path, and processor time of each call, as ratios to the bare app in the same run."""
    product = Product(at.port, at.key)
    async with bare_app(at) as bare:
        sides: dict[str, tuple[Any, list[int]]] = {
            "product": (product, at.pids),
            "bare": (bare, [bare.pid, at.temporal]),
        }
        for side, _ in sides.values():
            await side.request(plan=1)  # warm-up
        path: dict[tuple[str, int], list[float]] = {}
        cost: dict[tuple[str, int], list[float]] = {}
        for _ in range(1 if at.quick else 3):
            for count in AT_ONCE:
                for name, (side, pids) in sides.items():
                    used = ProcessorTime(pids)
                    times = await side.request(plan=count)
                    cost.setdefault((name, count), []).append(used.seconds() * 1000 / count / CALLS)
                    path.setdefault((name, count), []).append(median(times["seconds"]) / PATH / _SECONDS)
    await product.close()
    return _figures(path, cost)


def _figures(path: dict[tuple[str, int], list[float]], cost: dict[tuple[str, int], list[float]]) -> list[Figure]:
    figures = []
    for count, limit in AT_ONCE.items():
        ours, bare = path["product", count], path["bare", count]
        name = f"{CALLS} agents, {count} job{'s' if count > 1 else ''} at once, median ÷ bare SDK"
        note = f"{median(ours):.2f} ÷ {median(bare):.2f} critical paths"
        figures.append(at_most(name, limit, median(ours) / median(bare), "×", note))
    for count in AT_ONCE:
        ours, bare = cost["product", count], cost["bare", count]
        name = f"  processor time of an agent call, {count} at once, ÷ bare SDK"
        note = f"{median(ours):.1f} ms ÷ {median(bare):.1f} ms"
        figures.append(at_most(name, _CPU, median(ours) / median(bare), "×", note))
    return figures
