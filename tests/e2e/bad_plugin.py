"""Agents that do what code of authors must never do to others: one bad thing each, and how its job ends."""

import asyncio
import gc
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.plans import Plan, RetryPolicy, Step, Timeouts, WorkflowDefinition
from tests.e2e.plugin import AnyInput

block = time.sleep


@dataclass(frozen=True)
class Bad:
    """`ends` is the error's type, None for a job that completes, `...` for one that may end in either way."""

    function: Callable[[FunctionCall], Any]
    ends: Any


BAD: dict[str, Bad] = {}


def bad(ends: Any) -> Callable[[Callable[[FunctionCall], Any]], Callable[[FunctionCall], Any]]:
    def register(function: Callable[[FunctionCall], Any]) -> Callable[[FunctionCall], Any]:
        BAD[function.__name__] = Bad(function, ends)
        return function

    return register


def done(output: str = "done") -> AgentOutput:
    return AgentOutput(summary="done", output=output)


class Anything(AgentOutput):
    value: Any = None


@bad("agent_blocked")
async def blocks(call: FunctionCall) -> AgentOutput:
    block(45)
    return done()


@bad("agent_blocked")
async def spins(call: FunctionCall) -> AgentOutput:
    while True:
        pass


@bad("agent_blocked")
async def blocks_in_a_callback(call: FunctionCall) -> AgentOutput:
    asyncio.get_running_loop().call_later(0.1, block, 20)
    await asyncio.sleep(1)
    return done()


@bad(None)
def blocks_a_thread(call: FunctionCall) -> AgentOutput:
    block(6)
    return done()


@bad("SystemExit")
async def exits_in_a_gathered_coroutine(call: FunctionCall) -> AgentOutput:
    async def leave() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    await asyncio.gather(asyncio.sleep(5), leave())
    return done()


@bad("SystemExit")
def exits_with_code_0(call: FunctionCall) -> AgentOutput:
    sys.exit(0)


@bad(None)
async def exits_in_a_forgotten_task(call: FunctionCall) -> AgentOutput:
    asyncio.get_running_loop().create_task(asyncio.to_thread(sys.exit, 3))
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0.1)
    return done()


@bad("KeyboardInterrupt")
async def interrupts(call: FunctionCall) -> AgentOutput:
    raise KeyboardInterrupt


@bad("GeneratorExit")
async def closes_itself(call: FunctionCall) -> AgentOutput:
    raise GeneratorExit


@bad("RecursionError")
async def recurses(call: FunctionCall) -> AgentOutput:
    return await recurses(call)


@bad(None)
def takes_a_gigabyte(call: FunctionCall) -> AgentOutput:
    kept = [b"x" * 2**20 for _ in range(2**10)]
    return done(str(len(kept)))


@bad("ValueError")
async def says_a_million_words(call: FunctionCall) -> AgentOutput:
    raise ValueError("words " * 1_000_000)


@bad("Wordless")
async def has_no_words(call: FunctionCall) -> AgentOutput:
    class Wordless(Exception):
        def __str__(self) -> str:
            raise SystemExit(5)

    raise Wordless


@bad(None)
async def answers_what_no_one_can_decode(call: FunctionCall) -> AgentOutput:
    return done("half an emoji: \ud83d")


@bad(None)
async def answers_nan(call: FunctionCall) -> AgentOutput:
    return Anything(summary="", output="", value=[math.nan, math.inf])


@bad("malformed_output")
async def answers_a_circle(call: FunctionCall) -> AgentOutput:
    circle: list[Any] = []
    circle.append(circle)
    return Anything.model_construct(summary="", output="", deliverables=[], value=circle)


@bad("malformed_output")
async def answers_a_stranger(call: FunctionCall) -> AgentOutput:
    return Anything(summary="", output="", value=threading.Lock())


@bad(...)
async def answers_32_megabytes(call: FunctionCall) -> AgentOutput:
    return done("x" * 32 * 1024 * 1024)


@bad("malformed_output")
async def answers_nonsense(call: FunctionCall) -> Any:
    return ["nonsense"]


@bad("RuntimeError")
async def runs_a_loop_in_the_loop(call: FunctionCall) -> AgentOutput:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return done()


@bad(None)
def runs_a_loop_of_its_own(call: FunctionCall) -> AgentOutput:
    asyncio.run(asyncio.sleep(0.1))
    return done()


@bad(None)
async def leaves_a_thread(call: FunctionCall) -> AgentOutput:
    threading.Thread(target=block, args=(600,)).start()
    return done()


@bad("RuntimeError")
async def closes_its_loop(call: FunctionCall) -> AgentOutput:
    asyncio.get_running_loop().close()
    return done()


@bad("agent_loop_closed")
async def breaks_its_loop(call: FunctionCall) -> AgentOutput:
    loop: Any = asyncio.get_running_loop()
    loop._selector.close()
    await asyncio.sleep(1)
    return done()


@bad(None)
async def stops_its_loop(call: FunctionCall) -> AgentOutput:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.1)
    return done()


@bad("CancelledError")
async def cancels_all_tasks(call: FunctionCall) -> AgentOutput:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(1)
    return done()


@bad(None)
async def prints(call: FunctionCall) -> AgentOutput:
    for number in range(10_000):
        sys.stdout.write(f"ready or not {number}\n")
    sys.stderr.write("orchestrator: not me\n")
    return done()


@bad(None)
async def moves(call: FunctionCall) -> AgentOutput:
    os.chdir("/")
    os.umask(0o777)
    os.environ["ORCHESTRATOR_DATABASE_URL"] = "sqlite:////nowhere/index.sqlite3"
    os.environ["TEMPORAL_ADDRESS"] = "127.0.0.1:1"
    return done()


@bad("ValueError")
async def sets_a_signal_handler(call: FunctionCall) -> AgentOutput:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return done()


@bad(None)
async def exits_in_a_finalizer(call: FunctionCall) -> AgentOutput:
    class Last:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            sys.exit(7)

    Last()
    gc.collect()
    return done()


@bad("BrokenProcessPool")
async def breaks_its_pool(call: FunctionCall) -> AgentOutput:
    raise BrokenProcessPool("a child was killed")


def _agent(name: str, function: Callable[[FunctionCall], Any]) -> Agent:
    return Agent(
        id=f"b_{name}",
        name=name,
        squad="testing",
        description="Does one thing",
        capabilities=("testing",),
        input_model=AnyInput,
        output_model=Anything,
        function=function,
        source="tests/e2e",
    )


async def work(call: FunctionCall) -> AgentOutput:
    """What an innocent agent does."""
    await asyncio.sleep(call.input["seconds"])
    return done()


INNOCENT = tuple(f"b_innocent_{number}" for number in range(3))


def _workflow(name: str, *agents: str) -> WorkflowDefinition:
    step = Step(
        id="step",
        name="Step",
        squad="testing",
        agents=agents,
        retry=RetryPolicy(initial_interval=0.1, maximum_attempts=2),
        timeouts=Timeouts(heartbeat=8),
    )
    return WorkflowDefinition(
        id=f"w_{name}",
        name=name,
        description="For tests with code that harms",
        estimated_time="1-5 seconds",
        estimated_cost="$0.00-$0.00",
        input_schema={"type": "object"},
        output_schema={"type": "object"},
        plan=Plan(steps=(step,)),
        source="tests/e2e",
    )


plugin = Plugin(
    name="bad",
    agents=(
        *(_agent(name, one.function) for name, one in BAD.items()),
        *(_agent(agent.removeprefix("b_"), work) for agent in INNOCENT),
    ),
    workflows=(*(_workflow(name, f"b_{name}") for name in BAD), _workflow("innocent", *INNOCENT)),
)
