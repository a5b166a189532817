"""Threads and event loops for author code: how they run, are watched, are interrupted and are abandoned."""

import asyncio
import contextlib
import contextvars
import ctypes
import inspect
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from types import WrapperDescriptorType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

import structlog

from orchestrator.domain.errors import AgentError, OrchestratorError
from orchestrator.domain.names import AGENT_HELD_UP
from orchestrator.domain.text import MAX_CAUSES, cause_of, cut, error_message, error_name

log = structlog.get_logger(__name__)

_CLONE_FS: Final = 0x200
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None
_STACK: Final = 12
_PLAIN: Final = frozenset({str, bytes, int, float, bool, type(None)})
# The call of a task. A weak reference, because the call contains the context.
_CALL: contextvars.ContextVar["ref[AuthorCall]"] = contextvars.ContextVar("author_call")


class Interrupted(BaseException):
    """Raised in an abandoned thread, so that it ends at its next line of Python."""


class AuthorCall:
    """One call of an author's function, with its outcome for the event loop that waits for it."""

    def __init__(
        self, agent: str, function: Callable[..., Any], arguments: tuple[Any, ...], finish: Callable[[Any], Any]
    ) -> None:
        self.agent = agent
        self.function = function
        self.arguments = arguments
        self.finish = finish
        self.context = contextvars.copy_context()
        self.context.run(_CALL.set, ref(self))
        self.facts = structlog.contextvars.get_contextvars()
        self._began = time.monotonic()
        self.cancel_requested = False
        self.task: asyncio.Task[Any] | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self._waiting = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._waiting.create_future()

    @property
    def job(self) -> str:
        """The id of its job; empty outside a job."""
        return str(self.facts.get("job_id", ""))

    def seconds(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._began

    def deliver(self, value: Any = None, error: BaseException | None = None) -> None:
        """Set the outcome from another thread."""
        with contextlib.suppress(RuntimeError):  # The waiting loop is closed: no caller is left.
            self._waiting.call_soon_threadsafe(self.settle, value, error)

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Set the outcome in the loop that waits for it. Only the first outcome counts."""
        if not self.done.done():
            self.value, self.error = value, error
            self.done.set_result(None)


class AuthorThread:
    """A thread for one call of a plain function. It is a daemon thread, because it may never end."""

    def __init__(self, call: AuthorCall) -> None:
        self._call = call
        self.thread = threading.Thread(target=self._run, name=f"agent {call.agent}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        call = self._call
        try:
            _unshare_directory()
            value = call.context.run(call.function, *call.arguments)
            if not inspect.isawaitable(value):
                value = call.context.run(call.finish, value)
        except BaseException as error:  # noqa: BLE001 - the edge of author code: an exit ends the call alone
            call.deliver(error=call.context.run(_for_caller, call, error))
        else:
            call.deliver(value)


class AuthorLoop:
    """An event loop in a daemon thread for the coroutines of one agent. It continues after exits and `loop.stop()`."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.calls: set[AuthorCall] = set()
        self.retired = False
        self._broken = False
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], ref[AuthorCall]] = WeakKeyDictionary()
        self._unanswered: float | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._new_task)
        self.thread = threading.Thread(target=self._run, name=f"agents {agent}", daemon=True)
        self.thread.start()

    def start(self, call: AuthorCall) -> None:
        """Start a call, which is also a ping. The call is in flight until it is released."""
        self.calls.add(call)
        if self._unanswered is None:
            self._unanswered = time.monotonic()
        self._schedule(self._start, call)

    def release(self, call: AuthorCall) -> None:
        """Release a call that no caller waits for."""
        self.calls.discard(call)
        if self.retired and not self.calls:
            self._schedule(self._loop.stop)

    def cancel(self, call: AuthorCall) -> None:
        """Cancel the coroutine of a call."""
        self._schedule(self._cancel, call)

    def ping(self) -> None:
        """Send a ping to the loop, unless the last one has no answer yet."""
        if self._unanswered is None:
            self._unanswered = time.monotonic()
            self._schedule(self._pong)

    def silent_for(self) -> float:
        """Seconds since the ping without an answer, or 0 if every ping was answered."""
        ping_at = self._unanswered
        return 0.0 if ping_at is None else time.monotonic() - ping_at

    def dead(self) -> bool:
        """Whether the loop can run nothing, because author code has broken or closed it."""
        return self._broken or self._loop.is_closed() or not self.thread.is_alive()

    def running(self) -> AuthorCall | None:
        """The call whose code runs now, even if the call has ended. None if that is not known."""
        task = asyncio.current_task(self._loop)
        if task is not None:
            call = self._tasks.get(task)
            return call() if call else None
        # A callback runs, which has no task.
        return next(iter(self.calls)) if len(self.calls) == 1 else None

    def retire(self) -> None:
        """End the loop after the calls in flight."""
        self.retired = True
        if not self.calls:
            self._schedule(self._loop.stop)

    def _schedule(self, callback: Callable[..., object], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # Author code has closed the loop. `dead` reports that.
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _pong(self) -> None:
        self._unanswered = None

    def _start(self, call: AuthorCall) -> None:
        self._pong()
        call.task = task = _CallTask(call, self._loop)
        self._tasks[task] = ref(call)
        task.add_done_callback(lambda _: self._deliver_outcome(task, call))

    @staticmethod
    def _cancel(call: AuthorCall) -> None:
        if call.task is not None:
            call.task.cancel()

    def _deliver_outcome(self, task: asyncio.Task[tuple[Any, BaseException | None]], call: AuthorCall) -> None:
        if task.cancelled():
            call.deliver(error=asyncio.CancelledError())
        elif task.exception() is not None:  # Before `_perform` began to catch, or after it ended.
            call.deliver(error=_interrupted(call))
        else:
            call.deliver(*task.result())

    def _new_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Create a task and record which call it belongs to."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        context = options.get("context")
        call = _CALL.get(None) if context is None else context.get(_CALL)
        if call is not None:
            self._tasks[task] = call
        return task

    def _run(self) -> None:
        _unshare_directory()
        asyncio.set_event_loop(self._loop)
        while not (self._loop.is_closed() or (self.retired and not self.calls)):
            try:
                self._loop.run_forever()
            except Exception as error:  # noqa: BLE001 - an error of the loop itself: author code may have closed its selector
                self._broken = True
                log.warning(
                    "author_loop_failed", agent=self.agent, error=f"{error_name(error)}: {error_message(error)}"
                )
                break
            except BaseException as error:  # noqa: BLE001 - the edge of author code: the loop continues after an exit
                # A task or callback raised it. The code that awaits the task gets it too.
                log.warning("author_task_raised", agent=self.agent, type=error_name(error))
        with contextlib.suppress(Exception):  # Closing a broken loop may fail.
            self._loop.close()


class _CallTask(asyncio.Task[Any]):
    """The task of a call. Its own code and the worker can cancel it.

    Other calls of the agent cannot, although `asyncio.all_tasks` shows it to them.
    """

    def __init__(self, call: AuthorCall, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_perform(call), loop=loop, context=call.context)
        self._call = ref(call)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the call, unless another call requests it."""
        canceller, call = _CALL.get(None), self._call()
        if canceller is None or call is None or canceller() is call:
            return super().cancel(msg)
        log.warning("cancellation_by_another_call_ignored", agent=call.agent, job_of_other=call.job)
        return False


async def _perform(call: AuthorCall) -> tuple[Any, BaseException | None]:
    """Run a call and return its outcome. Exceptions are returned, because a raised `SystemExit` would stop the loop."""
    try:
        value = call.function(*call.arguments)
        return call.finish(await value if inspect.isawaitable(value) else value), None
    except BaseException as error:  # noqa: BLE001 - the edge of author code
        return None, _for_caller(call, error)


def _for_caller(call: AuthorCall, error: BaseException) -> BaseException:
    """Convert an error for the caller, in the author's thread, because `__str__` of the error is author code too."""
    if isinstance(error, OrchestratorError) or (isinstance(error, asyncio.CancelledError) and call.cancel_requested):
        return error
    if isinstance(
        error, Interrupted
    ):  # It was meant for the call that blocked, which has failed already, but it can hit another call.
        return _interrupted(call)
    name, text = error_name(error), _text(error)
    # Not a BrokenExecutor of the author's pool, which would end the worker. `activities.errors` cuts long texts.
    if isinstance(error, Exception) and not isinstance(error, BrokenExecutor) and text:
        return error if _is_plain(error) else _plain_copy(error, MAX_CAUSES)
    log.warning("author_code_raised", agent=call.agent, type=name, traceback=traceback.format_tb(error.__traceback__))
    message = f"The code of {call.agent} raised {name}: {cut(text)}".removesuffix(": ")
    # Another call of the agent may have cancelled a task that this one awaits, found in `asyncio.all_tasks`.
    retryable = isinstance(error, Exception | asyncio.CancelledError)
    return AgentError(message, kind=name, retryable=retryable)


def _is_plain(error: BaseException | None) -> bool:
    """Whether an error and its causes can be converted to text without author code."""
    for _ in range(MAX_CAUSES + 1):
        if error is None:
            break
        has_plain_text = isinstance(type(error).__str__, WrapperDescriptorType)
        if not has_plain_text or not all(type(argument) in _PLAIN for argument in error.args):
            return False
        error = cause_of(error)
    return True


def _plain_copy(error: BaseException, causes: int) -> BaseException:
    """An error with the same name and text, but without author code."""
    if type(error).__module__.startswith(
        "temporalio."
    ):  # It keeps its text and its instructions to Temporal, such as the next retry delay.
        copy = error
    else:
        copy = type(error_name(error), (Exception,), {})(error_message(error))
        copy.__traceback__ = error.__traceback__
    cause = cause_of(error)
    copy.__cause__ = None if cause is None or not causes else _plain_copy(cause, causes - 1)
    return copy


def _interrupted(call: AuthorCall) -> AgentError:
    message = f"The code of {call.agent} was interrupted, because another of its calls blocked."
    return AgentError(message, kind=AGENT_HELD_UP, retryable=True)


def _text(error: BaseException) -> str:
    try:
        return str(error) or repr(error)
    except BaseException:  # noqa: BLE001 - the edge of author code
        return ""


def interrupt(thread: threading.Thread) -> None:
    """Raise `Interrupted` in a thread, at its next line of Python.

    Not while the thread writes to the log: it could leave the lock of the log locked for all threads.
    """
    logs = any(frame.filename == logging.__file__ for frame in _frames(thread))
    if thread.ident is not None and thread.is_alive() and not logs:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted))


def place(thread: threading.Thread, function: Callable[..., Any] | None) -> str:
    """The current line of a thread: the innermost one in the file of `function`, else the innermost one."""
    innermost_last = _frames(thread)
    code = getattr(inspect.unwrap(function), "__code__", None) if function else None
    own_frames = [frame for frame in innermost_last if code is not None and frame.filename == code.co_filename]
    innermost = (own_frames or innermost_last)[-1:]
    return "".join(f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}" for frame in innermost)


def frames(thread: threading.Thread) -> list[str]:
    """The innermost frames of a thread's stack, outermost first."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in _frames(thread)[-_STACK:]]


def _frames(thread: threading.Thread) -> list[traceback.FrameSummary]:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the documented way to read another thread's stack
    return traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)[::-1] if frame else []


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a call returns a coroutine, also through `functools.wraps`, `partial` and `__call__`."""
    unwrapped = inspect.unwrap(function)
    return inspect.iscoroutinefunction(unwrapped) or inspect.iscoroutinefunction(type(unwrapped).__call__)


def _unshare_directory() -> None:
    """Give this thread its own working directory and umask, if the system can (Linux, unless forbidden)."""
    if _LIBC is not None:
        _LIBC.unshare(_CLONE_FS)
