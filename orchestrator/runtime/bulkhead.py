"""Runs the code of authors where a block, an exit or an endless loop cannot reach the caller's event loop (0017).

A plain function runs in a thread of its own. Coroutine functions of one agent share an event loop in a thread, so that
a client that the author keeps between calls stays on one loop.
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

log = structlog.get_logger(__name__)

BLOCK_LIMIT: Final = 5.0
# A loop counts as blocked after as many looks without an answer: a stalled process makes no looks, and blames nobody.
_LOOKS: Final = 5
# What a cancelled coroutine may take to clean up.
_CLEAN_UP: Final = 30.0
# Threads of one agent that are given up and still run. Each holds memory, and perhaps a processor.
_MOST_GIVEN_UP: Final = 20
T = TypeVar("T")


class Bulkhead:
    """Runs functions of authors for the callers of one event loop."""

    def __init__(self, block_limit: float = BLOCK_LIMIT) -> None:
        self._block_limit = block_limit
        self._loops: dict[str, AuthorLoop] = {}
        self._watches: dict[AuthorLoop, asyncio.Task[None]] = {}
        self._given_up: dict[str, set[Thread]] = defaultdict(set)

    async def call(self, agent: str, function: Callable[..., Any], *arguments: Any, finish: Callable[[Any], T]) -> T:
        """What `finish`, which runs there, too, makes of what a function of an agent returns, awaited if need be.

        An `Exception` passes through. Raises `AgentError` under the name of a `BaseException` such as `SystemExit`, not
        retryable; and of kind `agent_blocked` when a coroutine keeps its event loop from running for `block_limit`
        seconds. A cancelled coroutine gets time to clean up; a cancelled thread is given up.
        """
        self._check_given_up(agent)
        call = AuthorCall(agent, function, arguments, finish)
        value = await (self._in_loop if is_coroutine_function(function) else self._in_thread)(call)
        if inspect.isawaitable(value):  # of a lambda around a coroutine function, for one
            value = await self._in_loop(AuthorCall(agent, lambda: value, (), finish))
        result: T = value
        return result

    async def watch(self, agent: str, function: Callable[[], T]) -> T:
        """What a function returns that runs an author's code, such as validators, and is not to take long.

        It runs in the agent's event loop, and raises as `call` does.
        """

        async def run() -> T:
            return function()

        return await self.call(agent, partial(run), finish=lambda value: value)

    def close(self) -> None:
        """Let every event loop end once its calls have ended."""
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
            self._give_up(call.agent, thread)
            log.warning("author_thread_abandoned", **_facts(call), at=place(thread, call.function))
            raise
        return _outcome(call)

    async def _in_loop(self, call: AuthorCall) -> Any:
        loop = self._loops.get(call.agent)
        if loop is None or loop.dead():
            loop = self._loops[call.agent] = AuthorLoop(call.agent)
        loop.start(call)
        if loop not in self._watches:
            # Not in the context of this call: the watch speaks of others, too.
            watch = asyncio.create_task(self._watch(loop), name=f"watch {call.agent}", context=Context())
            self._watches[loop] = watch
            watch.add_done_callback(lambda _: self._watches.pop(loop, None))
        try:
            await asyncio.wait({call.done})
        except asyncio.CancelledError:
            call.cancel_requested = True
            loop.cancel(call)
            await asyncio.wait({call.done}, timeout=_CLEAN_UP)
            if not call.done.done():
                log.warning("author_code_ignores_cancellation", **_facts(call))
                raise
        finally:
            loop.release(call)
        return _outcome(call)

    async def _watch(self, loop: AuthorLoop) -> None:
        """Look after a loop while it has calls."""
        unanswered = 0
        while loop.calls:
            loop.ping()
            await asyncio.sleep(self._block_limit / _LOOKS)
            if loop.dead():
                self._closed(loop)
                return
            unanswered = unanswered + 1 if loop.silent_for() else 0
            if unanswered == _LOOKS:
                self._blocked(loop)
            elif unanswered == 2 * _LOOKS:
                _fail(loop.calls, AGENT_HELD_UP, "another call blocks the event loop that this one runs in", again=True)
                return

    def _blocked(self, loop: AuthorLoop) -> None:
        """Fail the call that blocks a loop. Its others may go on if that ends soon; new ones get another loop."""
        seconds = loop.silent_for()
        running = loop.running()
        at = place(loop.thread, running.function if running else None)
        facts = _facts(running) if running else {"agent": loop.agent}
        log.error("author_code_blocks", **facts, blocked_seconds=round(seconds, 1), at=at, frames=frames(loop.thread))
        self._replace(loop)
        self._give_up(loop.agent, loop.thread)
        if running in loop.calls:
            what = f"its code blocked the event loop for {seconds:.0f} seconds ({at}); let a plain `def` block instead"
            _fail({running}, AGENT_BLOCKED, what, again=False)

    def _closed(self, loop: AuthorLoop) -> None:
        """Fail the calls of a loop that an author's code has closed. Alone in it, a call has closed it itself."""
        log.error("author_loop_closed", agent=loop.agent, jobs=sorted({call.job for call in loop.calls}))
        self._replace(loop)
        again = len(loop.calls) > 1
        _fail(
            loop.calls,
            "agent_loop_closed",
            "the event loop that it runs in was closed by the agent's code",
            again=again,
        )

    def _replace(self, loop: AuthorLoop) -> None:
        if self._loops.get(loop.agent) is loop:
            del self._loops[loop.agent]
        loop.retire()

    def _give_up(self, agent: str, thread: Thread) -> None:
        self._given_up[agent].add(thread)
        interrupt(thread)

    def _check_given_up(self, agent: str) -> None:
        if agent not in self._given_up:
            return
        alive = {thread for thread in self._given_up[agent] if thread.is_alive()}
        self._given_up[agent] = alive
        if len(alive) >= _MOST_GIVEN_UP:
            message = f"{len(alive)} earlier calls of agent {agent} still block a thread of this worker"
            raise AgentError(message, kind=AGENT_BLOCKED, retryable=True)


def _fail(calls: Iterable[AuthorCall], kind: str, what: str, *, again: bool) -> None:
    for call in list(calls):
        error = AgentError(f"{call.agent} was stopped: {what}.", kind=kind, retryable=again)
        call.settle(error=asyncio.CancelledError() if call.cancel_requested else error)


def _outcome(call: AuthorCall) -> Any:
    error, call.error = call.error, None  # A call that kept its error would be kept by it, through its traceback.
    if error is not None:
        raise error
    return call.value


def _facts(call: AuthorCall) -> dict[str, Any]:
    return {**call.facts, "agent": call.agent, "seconds": round(call.seconds(), 1)}
