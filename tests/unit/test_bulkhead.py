"""Author code in threads of its own: what it does reaches neither the loop that waits for it nor other agents."""

import asyncio
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ClassVar

import pytest
import pytest_asyncio
import structlog
from structlog.testing import capture_logs

from orchestrator.domain.errors import AgentError
from orchestrator.runtime.author_loop import Interrupted
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.testing import eventually

LIMIT = 0.5


@pytest_asyncio.fixture
async def bulkhead() -> AsyncIterator[Bulkhead]:
    running = Bulkhead(LIMIT)
    yield running
    running.close()


async def call(bulkhead: Bulkhead, function: Callable[..., Any], *arguments: Any, agent: str = "acme") -> Any:
    return await bulkhead.call(agent, function, *arguments, finish=lambda value: value)


async def error_of(bulkhead: Bulkhead, function: Callable[..., Any], *arguments: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await call(bulkhead, function, *arguments)
    return caught.value


async def echo(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


block = time.sleep


async def ident() -> int:
    return threading.get_ident()


class _Talks(Exception):
    """Runs code wherever it is put into words."""

    spoke_in: ClassVar[set[int]] = set()

    def __str__(self) -> str:
        self.spoke_in.add(threading.get_ident())
        return "words of its own"


def _raises_it() -> None:
    raise _Talks


def _raises_because_of_it() -> None:
    raise ValueError("outer") from _Talks()


@pytest.mark.parametrize(("function", "name"), [(_raises_it, "_Talks"), (_raises_because_of_it, "ValueError")])
async def test_an_error_is_put_into_words_where_its_author_is(
    bulkhead: Bulkhead, function: Callable[[], None], name: str
) -> None:
    _Talks.spoke_in.clear()
    with pytest.raises(Exception, match=r"words of its own|outer") as caught:
        await call(bulkhead, function)
    assert type(caught.value).__name__ == name
    assert "words of its own" in f"{caught.value}{caught.value.__cause__}"
    assert threading.get_ident() not in _Talks.spoke_in


async def test_a_coroutine_and_a_plain_function_answer(bulkhead: Bulkhead) -> None:
    class Echo:
        async def __call__(self, value: str) -> str:
            return await echo(value)

    @functools.wraps(echo)
    def wrapped(value: str) -> Any:
        return echo(value)

    for function in (echo, Echo(), functools.partial(echo), wrapped, str, lambda value: echo(value + "")):
        assert await call(bulkhead, function, "said") == "said"


async def test_finish_runs_beside_the_function(bulkhead: Bulkhead) -> None:
    here = threading.get_ident()
    for function in (echo, str, lambda value: echo(value + 1)):
        assert await bulkhead.call("acme", function, 1, finish=lambda _: threading.get_ident()) != here


async def test_calls_of_an_agent_share_a_loop_and_agents_do_not(bulkhead: Bulkhead) -> None:
    """A client that an author keeps in a module stays on one loop."""
    threads = [await call(bulkhead, ident, agent=agent) for agent in ("acme", "acme", "other")]
    assert threads[0] == threads[1] != threads[2]
    assert threading.get_ident() not in threads


async def test_the_context_of_the_call_goes_along(bulkhead: Bulkhead) -> None:
    async def asked() -> dict[str, Any]:
        return structlog.contextvars.get_contextvars()

    with structlog.contextvars.bound_contextvars(job_id="wf_job_1"):
        for function in (asked, structlog.contextvars.get_contextvars):
            assert await call(bulkhead, function) == {"job_id": "wf_job_1"}


async def test_an_exception_passes_through(bulkhead: Bulkhead) -> None:
    async def fails() -> None:
        raise KeyError("token")

    def plainly() -> None:
        raise KeyError("token")

    for function in (fails, plainly):
        with pytest.raises(KeyError, match="token"):
            await call(bulkhead, function)


class Stop(BaseException):
    """What no `except Exception` catches."""

    def __str__(self) -> str:
        raise SystemExit(9)


async def test_an_error_that_cannot_be_printed_keeps_its_name(bulkhead: Bulkhead) -> None:
    class Silent(ValueError):
        def __str__(self) -> str:
            raise SystemExit(9)

    def fails() -> None:
        raise Silent

    caught = await error_of(bulkhead, fails)
    assert (caught.kind, caught.retryable) == ("Silent", True)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Stop()])
async def test_an_exit_is_an_error_under_its_own_name(bulkhead: Bulkhead, error: BaseException) -> None:
    async def leave() -> None:
        await asyncio.sleep(0)
        raise error

    async def gathers() -> None:
        await asyncio.gather(asyncio.sleep(10), leave())

    async def groups() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
            await asyncio.sleep(10)

    def plainly() -> None:
        raise error

    for function in (leave, gathers, plainly):
        caught = await error_of(bulkhead, function)
        assert (caught.kind, caught.retryable) == (type(error).__name__, False)
    assert (await error_of(bulkhead, groups)).retryable is False
    assert await call(bulkhead, echo, "on") == "on"


async def test_an_exit_in_a_forgotten_task_harms_nobody(bulkhead: Bulkhead) -> None:
    async def forgets() -> int:
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        asyncio.get_running_loop().create_task(leave())
        await asyncio.sleep(0.01)
        return threading.get_ident()

    async def leave() -> None:
        sys.exit(3)

    assert await call(bulkhead, forgets) == await call(bulkhead, ident)


async def test_a_loop_that_is_stopped_goes_on(bulkhead: Bulkhead) -> None:
    async def stops() -> int:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        return threading.get_ident()

    assert await call(bulkhead, stops) == await call(bulkhead, ident)


async def test_a_loop_that_breaks_fails_its_call_and_is_replaced(bulkhead: Bulkhead) -> None:
    async def breaks() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(RuntimeError):
            loop.close()
        broken.append((loop, loop._selector))
        loop._selector = None
        await asyncio.sleep(60)

    broken: list[tuple[Any, Any]] = []
    caught = await error_of(bulkhead, breaks)
    assert (caught.kind, caught.retryable) == ("agent_loop_closed", False)
    assert await call(bulkhead, echo, "on") == "on"
    for loop, selector in broken:
        loop._selector = selector
        loop.close()


async def test_a_block_fails_its_own_call_and_names_where(bulkhead: Bulkhead) -> None:
    async def blocks() -> None:
        block(4 * LIMIT)

    with structlog.contextvars.bound_contextvars(job_id="wf_job_1"), capture_logs() as lines:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        turning = asyncio.create_task(turn())
        caught = await error_of(bulkhead, blocks)
        turning.cancel()
    assert (caught.kind, caught.retryable) == ("agent_blocked", False)
    assert "test_bulkhead.py, line " in caught.message
    assert "in blocks" in caught.message
    assert turns > 5
    [line] = [line for line in lines if line["event"] == "author_code_blocks"]
    assert (line["agent"], line["job_id"]) == ("acme", "wf_job_1")
    assert line["blocked_seconds"] >= LIMIT
    assert "in blocks" in line["at"]
    assert await call(bulkhead, echo, "on") == "on"


async def test_a_block_in_a_task_of_a_call_is_its_own(bulkhead: Bulkhead) -> None:
    waiting = asyncio.create_task(call(bulkhead, asyncio.sleep, 2 * LIMIT, "slept"))

    async def later() -> None:
        block(1.5 * LIMIT)

    async def gathers() -> None:
        await asyncio.gather(asyncio.sleep(60), later())

    assert (await error_of(bulkhead, gathers)).retryable is False
    assert await waiting == "slept"


async def test_calls_beside_a_block_that_does_not_end_are_tried_again(bulkhead: Bulkhead) -> None:
    waiting = asyncio.create_task(call(bulkhead, asyncio.sleep, 0.1, "slept"))
    let = threading.Event()

    async def blocks() -> None:
        let.wait()

    await asyncio.sleep(0)
    assert (await error_of(bulkhead, blocks)).retryable is False
    with pytest.raises(AgentError) as caught:
        await waiting
    let.set()
    assert (caught.value.kind, caught.value.retryable) == ("agent_held_up", True)
    assert await call(bulkhead, echo, "on") == "on"


async def test_an_endless_loop_is_interrupted(bulkhead: Bulkhead) -> None:
    ended = threading.Event()

    async def spins() -> None:
        try:
            while True:
                pass
        finally:
            ended.set()

    assert (await error_of(bulkhead, spins)).kind == "agent_blocked"
    assert await asyncio.to_thread(ended.wait, 30)


async def test_an_interruption_that_meets_another_call_lets_it_be_tried_again(bulkhead: Bulkhead) -> None:
    async def meets() -> None:
        raise Interrupted

    caught = await error_of(bulkhead, meets)
    assert (caught.kind, caught.retryable) == ("agent_held_up", True)


async def test_an_error_of_the_products_own_keeps_its_kind(bulkhead: Bulkhead) -> None:
    async def refuses() -> None:
        raise AgentError("no " * 10_000, kind="site_refused", retryable=False)

    caught = await error_of(bulkhead, refuses)
    assert (caught.kind, caught.retryable) == ("site_refused", False)


async def test_a_thread_may_block(bulkhead: Bulkhead) -> None:
    def blocks() -> str:
        time.sleep(3 * LIMIT)
        return "slept"

    assert await call(bulkhead, blocks) == "slept"


async def test_a_cancelled_coroutine_cleans_up(bulkhead: Bulkhead) -> None:
    began, cleaned = threading.Event(), threading.Event()

    async def works() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.set()

    running = asyncio.create_task(call(bulkhead, works))
    assert await asyncio.to_thread(began.wait, 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned.is_set()


async def test_a_cancelled_thread_is_given_up_and_reported(bulkhead: Bulkhead) -> None:
    began, ended = threading.Event(), threading.Event()

    def works() -> None:
        try:
            began.set()
            while True:
                time.sleep(0.01)
        finally:
            ended.set()

    running = asyncio.create_task(call(bulkhead, works))
    assert await asyncio.to_thread(began.wait, 30)
    with capture_logs() as lines:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [line["agent"] for line in lines if line["event"] == "author_thread_abandoned"] == ["acme"]
    assert await asyncio.to_thread(ended.wait, 30)


async def test_a_blocked_call_that_is_cancelled_counts_as_cancelled(bulkhead: Bulkhead) -> None:
    began = threading.Event()

    async def blocks() -> None:
        began.set()
        block(3 * LIMIT)

    running = asyncio.create_task(call(bulkhead, blocks))
    assert await asyncio.to_thread(began.wait, 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_call_that_cancels_all_tasks_harms_its_own_agent_alone(bulkhead: Bulkhead) -> None:
    other = asyncio.create_task(call(bulkhead, asyncio.sleep, 0.2, "slept", agent="other"))

    async def cancels() -> None:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(60)

    caught = await error_of(bulkhead, cancels)
    assert (caught.kind, caught.retryable) == ("CancelledError", True)
    assert await other == "slept"


async def test_a_call_cancels_no_other_call_of_its_agent_and_the_worker_still_does(bulkhead: Bulkhead) -> None:
    began, freed, cancelled = asyncio.Event(), threading.Event(), threading.Event()
    outer = asyncio.get_running_loop()

    async def innocent() -> str:
        outer.call_soon_threadsafe(began.set)
        try:
            while not freed.is_set():  # noqa: ASYNC110 - set in another loop
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "whole"

    async def cancels() -> None:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(60)

    for end in (freed.set, None):
        began.clear()
        freed.clear()
        other = asyncio.create_task(call(bulkhead, innocent))
        await began.wait()
        assert (await error_of(bulkhead, cancels)).kind == "CancelledError"
        assert not cancelled.is_set()
        if end is not None:
            end()
            assert await other == "whole"
        else:
            other.cancel()
            with pytest.raises(asyncio.CancelledError):
                await other
            assert cancelled.is_set()


async def test_a_broken_pool_of_the_author_is_no_broken_pool_of_ours(bulkhead: Bulkhead) -> None:
    """The SDK ends a worker whose activity raises `BrokenExecutor`."""

    def breaks() -> None:
        raise BrokenProcessPool("a child was killed")

    caught = await error_of(bulkhead, breaks)
    assert (caught.kind, caught.retryable) == ("BrokenProcessPool", True)


async def test_signal_handlers_cannot_be_set(bulkhead: Bulkhead) -> None:
    async def sets() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def adds() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

    before = signal.getsignal(signal.SIGTERM)
    for function in (sets, adds):
        with pytest.raises((ValueError, RuntimeError)):
            await call(bulkhead, function)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform != "linux", reason="threads share their working directory elsewhere")
async def test_a_changed_directory_is_its_agents_own(bulkhead: Bulkhead) -> None:
    async def moves() -> str:
        os.chdir("/")
        return os.getcwd()

    here = os.getcwd()
    assert await call(bulkhead, moves) == "/"
    assert os.getcwd() == here
    assert await call(bulkhead, os.getcwd, agent="other") == here


async def test_an_agent_that_keeps_many_threads_blocked_gets_no_more(bulkhead: Bulkhead) -> None:
    let, began = threading.Event(), threading.Semaphore(0)

    def blocks() -> None:
        began.release()
        let.wait()

    try:
        for _ in range(20):
            running = asyncio.create_task(call(bulkhead, blocks))
            assert await asyncio.to_thread(began.acquire, timeout=30)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        caught = await error_of(bulkhead, blocks)
        assert (caught.kind, caught.retryable) == ("agent_blocked", True)
        assert await call(bulkhead, echo, "on", agent="other") == "on"
    finally:
        let.set()

    async def again() -> Any:
        try:
            return await call(bulkhead, lambda: "on")
        except AgentError:
            return None

    assert await eventually(again, lambda said: said == "on") == "on"


async def test_loops_end_when_they_are_closed() -> None:
    bulkhead = Bulkhead(LIMIT)
    await call(bulkhead, ident, agent="ending")
    [thread] = [thread for thread in threading.enumerate() if thread.name == "agents ending"]
    bulkhead.close()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
