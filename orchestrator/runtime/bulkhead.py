"""Runs author code so that a block, an exit or an endless loop does not affect the caller's event loop (decision 0017).

A plain function runs in its own thread. Coroutine functions of one agent share an event loop in a thread, so that a
client that the author keeps between calls stays on one loop.
"""

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

import structlog
from pydantic import BaseModel

from orchestrator.domain.errors import AgentError
from orchestrator.domain.names import AGENT_BLOCKED, AGENT_HELD_UP
from orchestrator.runtime.author_loop import (
    AuthorCall,
    AuthorLoop,
    AuthorThread,
    frames,
    interrupt,
    is_coroutine_function,
    place,
)
from orchestrator.runtime.plain_models import runs_no_author_code

log = structlog.get_logger(__name__)

BLOCK_LIMIT: Final = 5.0
# A loop is blocked after so many pings without an answer. A stalled process sends no pings, so it blames no call.
_PINGS: Final = 5
# Seconds that a cancelled coroutine has to clean up.
_CLEAN_UP_SECONDS: Final = 30.0
# Abandoned threads of one agent that still run. Each uses memory, and perhaps a processor.
_MAX_ABANDONED: Final = 20
T = TypeVar("T")


class Bulkhead:
    """Runs author functions for callers of one event loop."""

    def __init__(self, block_limit: float = BLOCK_LIMIT) -> None:
        self._block_limit = block_limit
        self._loops: dict[str, AuthorLoop] = {}
        self._watches: dict[AuthorLoop, asyncio.Task[None]] = {}
        self._abandoned: dict[str, set[Thread]] = defaultdict(set)

    async def call(self, agent: str, function: Callable[..., Any], *arguments: Any, finish: Callable[[Any], T]) -> T:
        """Call a function of an agent and return its result, converted by `finish`, which runs in the same place.

        An awaitable result is awaited. An `Exception` passes through. Raises `AgentError`: with the name of a
        `BaseException` such as `SystemExit`, not retryable; and of kind `agent_blocked` if a coroutine blocks its event
        loop for `block_limit` seconds. A cancelled coroutine gets time to clean up; a cancelled thread is abandoned.
        """
        self._check_abandoned(agent)
        call = AuthorCall(agent, function, arguments, finish)
        value = await (self._in_loop if is_coroutine_function(function) else self._in_thread)(call)
        if inspect.isawaitable(value):  # For example from a lambda around a coroutine function.
            value = await self._in_loop(AuthorCall(agent, lambda: value, (), finish))
        result: T = value
        return result

    async def watch(self, agent: str, function: Callable[[], T], *, model: type[BaseModel] | None) -> T:
        """Call a short function that runs author code, such as the validators of `model`, in the agent's event loop.

        It is called at once if the model is plain: a thread costs more than its validation. Raises the same errors as
        `call`.
        """
        if model is not None and runs_no_author_code(model):
            return function()

        async def run() -> T:
            return function()

        return await self.call(agent, partial(run), finish=lambda value: value)

    def close(self) -> None:
        """End every event loop after its calls."""
        for watch in self._watches.values():
            watch.cancel()
        for loop in self._loops.values():
            loop.retire()
        self._loops.clear()

    async def _in_thread(self, call: AuthorCall) -> Any:
        thread = AuthorThread(call).thread
        try:
            await asyncio.wait({call.done})
        except asyncio.CancelledError:
            self._abandon(call.agent, thread)
            log.warning("author_thread_abandoned", **_facts(call), at=place(thread, call.function))
            raise
        return _outcome(call)

    async def _in_loop(self, call: AuthorCall) -> Any:
        loop = self._loops.get(call.agent)
        if loop is None or loop.dead():
            loop = self._loops[call.agent] = AuthorLoop(call.agent)
        loop.start(call)
        if loop not in self._watches:
            # Not in the context of this call, because the watch also logs about other calls.
            watch = asyncio.create_task(self._watch(loop), name=f"watch {call.agent}", context=Context())
            self._watches[loop] = watch
            watch.add_done_callback(lambda _: self._watches.pop(loop, None))
        try:
            await asyncio.wait({call.done})
        except asyncio.CancelledError:
            call.cancel_requested = True
            loop.cancel(call)
            await asyncio.wait({call.done}, timeout=_CLEAN_UP_SECONDS)
            if not call.done.done():
                log.warning("author_code_ignores_cancellation", **_facts(call))
                raise
        finally:
            loop.release(call)
        return _outcome(call)

    async def _watch(self, loop: AuthorLoop) -> None:
        """Watch a loop while it has calls."""
        unanswered = 0
        while loop.calls:
            await asyncio.sleep(self._block_limit / _PINGS)
            if loop.dead():
                self._fail_calls_of_closed_loop(loop)
                return
            unanswered = unanswered + 1 if loop.silent_for() else 0
            loop.ping()
            if unanswered == _PINGS:
                self._fail_blocking_call(loop)
            elif unanswered == 2 * _PINGS:
                _fail(loop.calls, AGENT_HELD_UP, "another call blocks its event loop", retryable=True)
                return

    def _fail_blocking_call(self, loop: AuthorLoop) -> None:
        """Fail the call that blocks a loop. Other calls continue if the block ends soon; new ones get another loop."""
        seconds = loop.silent_for()
        running = loop.running()
        at = place(loop.thread, running.function if running else None)
        facts = _facts(running) if running else {"agent": loop.agent}
        log.error("author_code_blocks", **facts, blocked_seconds=round(seconds, 1), at=at, frames=frames(loop.thread))
        self._replace(loop)
        self._abandon(loop.agent, loop.thread)
        if running in loop.calls:
            problem = (
                f"its code blocked the event loop for {seconds:.0f} seconds ({at}); "
                "run blocking code with `asyncio.to_thread`"
            )
            _fail({running}, AGENT_BLOCKED, problem, retryable=False)

    def _fail_calls_of_closed_loop(self, loop: AuthorLoop) -> None:
        """Fail the calls of a loop that author code has closed. A single call has closed it itself: no retry."""
        log.error("author_loop_closed", agent=loop.agent, jobs=sorted({call.job for call in loop.calls}))
        self._replace(loop)
        retryable = len(loop.calls) > 1
        _fail(
            loop.calls,
            "agent_loop_closed",
            "the agent's code closed its event loop",
            retryable=retryable,
        )

    def _replace(self, loop: AuthorLoop) -> None:
        if self._loops.get(loop.agent) is loop:
            del self._loops[loop.agent]
        loop.retire()

    def _abandon(self, agent: str, thread: Thread) -> None:
        self._abandoned[agent].add(thread)
        interrupt(thread)

    def _check_abandoned(self, agent: str) -> None:
        if agent not in self._abandoned:
            return
        alive = {thread for thread in self._abandoned[agent] if thread.is_alive()}
        self._abandoned[agent] = alive
        if len(alive) >= _MAX_ABANDONED:
            message = f"{len(alive)} earlier calls of agent {agent} still block a thread of this worker"
            raise AgentError(message, kind=AGENT_BLOCKED, retryable=True)


def _fail(calls: Iterable[AuthorCall], kind: str, problem: str, *, retryable: bool) -> None:
    for call in list(calls):
        error = AgentError(f"{call.agent} was stopped: {problem}.", kind=kind, retryable=retryable)
        call.settle(error=asyncio.CancelledError() if call.cancel_requested else error)


def _outcome(call: AuthorCall) -> Any:
    error, call.error = call.error, None  # Cleared, because the traceback of the error references the call.
    if error is not None:
        raise error
    return call.value


def _facts(call: AuthorCall) -> dict[str, Any]:
    return {**call.facts, "agent": call.agent, "seconds": round(call.seconds(), 1)}
