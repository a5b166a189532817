"""Validates inputs in separate threads with a time limit: large inputs take long, and validators are author code."""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.schemas import expected_of, field_at, shown
from orchestrator.runtime.author_loop import interrupt

SECONDS: Final = 10.0
_MAX_THREADS: Final = 32
_MAX_LENGTH: Final = 300
_PYDANTIC_PREFIX: Final = re.compile(r"^(Value error|Assertion failed), ")
_EXPECTED: Final = "Input should be "
T = TypeVar("T")


async def apply_model(
    model: type[BaseModel], data: dict[str, Any], *, as_json: bool = False, seconds: float = SECONDS
) -> dict[str, Any]:
    """Validate an input in a thread, see `validated`. Raises `InvalidInput`, also after `seconds`."""
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


def validated(model: type[BaseModel], data: dict[str, Any], *, as_json: bool = False) -> dict[str, Any]:
    """Validate an input: convert values, add defaults, and name keys as in the JSON Schema of the model.

    Unknown keys stay. With `as_json` the result contains only JSON values, and no defaults that are null. Raises
    `InvalidInput` for the first fault, also if a validator raises any other error.
    """
    try:
        value = model.model_validate_json(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
        mode = "json" if as_json else "python"
        fields = value.model_dump(mode=mode, by_alias=True, exclude_none=as_json, warnings=False)
    except ValidationError as error:
        raise _invalid(model, error) from None
    except BaseException as error:  # The edge of author code. `Interrupted` from the timeout arrives here too.
        fault = _cut(f"{type(error).__name__}: {error}")
        message = f"The input model {model.__name__} failed on this input: {fault}"
        raise InvalidInput(message, field="input", expected=f"an input that {model.__name__} can read") from error
    return {**data, **fields} if isinstance(fields, dict) else data


def _invalid(model: type[BaseModel], error: ValidationError) -> InvalidInput:
    first = error.errors(include_url=False, include_context=False)[0]
    schema = model.model_json_schema()
    place, property_schema = field_at(schema, first["loc"])
    field = ".".join(map(str, place)) or "input"
    value, problem = first["input"], _cut(_PYDANTIC_PREFIX.sub("", first["msg"]))
    text = shown(value)
    provided = text if text.endswith("…") else value
    if first["type"] == "missing":
        return InvalidInput(
            f"Missing required field: {field}", field=field, expected=expected_of(schema, property_schema)
        )
    if problem.startswith(_EXPECTED):
        expected = problem.removeprefix(_EXPECTED)
        message = f"Invalid value for field {field}: got {text}, expected {expected}"
        return InvalidInput(message, field=field, provided=provided, expected=expected)
    message = f"Invalid value for field {field}: got {text}. {problem}"
    return InvalidInput(message, field=field, provided=provided, expected=problem)


def _cut(text: str) -> str:
    return text.encode(errors="replace").decode()[:_MAX_LENGTH]
