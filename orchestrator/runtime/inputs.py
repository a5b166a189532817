"""Validates inputs with a time limit, in separate threads: large inputs take long, and validators are author code."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.model_check import validated
from orchestrator.runtime.author_loop import interrupt
from orchestrator.runtime.plain_models import runs_no_author_code

SECONDS: Final = 10.0
_MAX_THREADS: Final = 32
# Values and characters of a small input, whose validation takes less than a millisecond.
_SMALL_VALUES: Final = 200
_SMALL_TEXT: Final = 20_000
T = TypeVar("T")


async def apply_model(
    model: type[BaseModel], data: dict[str, Any], *, as_json: bool = False, seconds: float = SECONDS
) -> dict[str, Any]:
    """Validate an input, see `validated`. Raises `InvalidInput`, also after `seconds`.

    It happens in a thread, unless the input is small and its model is plain: then the thread would cost more.
    """
    if _is_small(data) and runs_no_author_code(model):
        return validated(model, data, as_json=as_json)
    return await in_thread(partial(validated, model, data, as_json=as_json), seconds=seconds)


async def in_thread(check: Callable[[], T], *, seconds: float = SECONDS) -> T:
    """Run a check in a thread and return its result. Raises `InvalidInput` if it takes longer than `seconds`."""
    return await _CHECKS.run(check, seconds)


class _Check(Generic[T]):
    """A check that can be interrupted while it runs."""

    def __init__(self, check: Callable[[], T]) -> None:
        self._check = check
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self) -> T:
        self._thread = threading.current_thread()
        try:
            return self._check()
        finally:
            with self._lock:
                self._thread = None

    def interrupt(self) -> None:
        """End the check at its next line of Python: an endless loop would use a processor for ever."""
        with self._lock:  # The lock ensures that the thread still runs this check, not the next one.
            if self._thread is not None:
                interrupt(self._thread)


class _Checks:
    """A thread pool for checks. After a timeout, the pool is replaced, because the check may never return."""

    def __init__(self) -> None:
        self._threads = self._new()

    async def run(self, check: Callable[[], T], seconds: float) -> T:
        threads, running = self._threads, _Check(check)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(threads, running.run)
        except TimeoutError:
            running.interrupt()
            if self._threads is threads:
                self._threads = self._new()
                threads.shutdown(wait=False)
            message = f"The validation of the input did not end within {seconds:g} seconds"
            raise InvalidInput(message, field="input", expected="an input that is validated faster") from None

    @staticmethod
    def _new() -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=_MAX_THREADS, thread_name_prefix="input")


_CHECKS: Final = _Checks()


def _is_small(data: Any) -> bool:
    """Whether a JSON value has few values and characters. Large ones are not read to their end."""
    values, characters, pending = 0, 0, [data]
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            values += len(value)
            if values > _SMALL_VALUES:
                return False
            pending.extend(value.values() if isinstance(value, dict) else value)
        texts = value if isinstance(value, dict) else [value] if isinstance(value, str) else []
        characters += sum(map(len, texts))
        if characters > _SMALL_TEXT:
            return False
    return True
