"""Runs a framework in a separate environment: one child process for each call, JSON lines on its pipes (O-018).

The child reads from standard input: first `{"task": …}`, then `{"answer": …}` for each of its questions.
The child writes to standard output: any number of `{"progress": 120}` and `{"ask": …}`, one at a time, and at the end
`{"result": …}` or `{"error": {"message": …, "kind": …, "retryable": …}}`. Standard error is the worker's.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.errors import AgentError
from orchestrator.domain.frameworks import FrameworkResult, FrameworkTask, Question
from orchestrator.frameworks import FrameworkCall
from orchestrator.runtime.answer_json import sound_escapes
from orchestrator.runtime.masking import scrub

# One line contains a whole answer with its files.
_LINE_LIMIT: Final = 32 * 1024 * 1024
_GRACE: Final = 3.0
# The variables that any program needs to run and to use the network. None is a secret: an adapter names its secrets.
_INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
_INHERITED_PREFIX: Final = "LC_"


class ChildFault(BaseModel):
    """The error of a child."""

    message: str
    kind: str = Field(default="framework_failed", pattern=r"^[a-z][a-z0-9_]{0,62}$")
    retryable: bool = True


class ChildLine(BaseModel):
    """One line of a child: exactly one of these fields."""

    model_config = ConfigDict(extra="forbid")

    progress: int | None = Field(default=None, ge=0)
    ask: Question | None = None
    result: FrameworkResult | None = None
    error: ChildFault | None = None


class ProcessAdapter:
    """The adapter of a framework that runs in another program: one child process for each call.

    `command` is the program and its arguments, without a shell. The child inherits the variables that any program needs
    and those in `variables`, such as `OPENAI_API_KEY`; `environment` is added.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        variables: Collection[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._command = tuple(command)
        self._inherited = _INHERITED | frozenset(variables)
        self._environment = dict(environment or {})

    @property
    def name(self) -> str:
        """The framework's name."""
        return self._name

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        """Make one attempt in a child process. Raises `AgentError`: the child's own error, `framework_failed`, or
        `framework_misconfigured` if the program cannot be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                env=self._variables(),
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        except OSError as error:
            message = f"The program of {self._name} cannot be started: {error.strerror}: {self._command[0]}"
            raise AgentError(message, kind="framework_misconfigured", retryable=False) from None
        child = _Child(self._name, process)
        try:
            return await _converse(child, task, call)
        finally:
            await asyncio.shield(child.end())

    def _variables(self) -> dict[str, str]:
        names = self._inherited
        inherited = {
            name: value for name, value in os.environ.items() if name in names or name.startswith(_INHERITED_PREFIX)
        }
        return {**inherited, **self._environment}


class _Child:
    """One running program and the two ends of its pipes."""

    def __init__(self, name: str, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        self._name = name
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    async def send(self, message: dict[str, Any]) -> None:
        """Write one line. If the child stopped reading, its output or its exit code says why."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._input.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
            await self._input.drain()

    async def receive(self) -> ChildLine:
        """The next line. Raises `AgentError` at the end of the output, and for a line outside the protocol."""
        try:
            text = await self._output.readline()
            if not text:
                raise self._failed(f"ended with code {await self._process.wait()} and gave no result")
            return ChildLine.model_validate_json(sound_escapes(text.decode(errors="replace")))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "line"
            raise self._failed(f"wrote a line outside the protocol ({where}: {fault['msg']})") from None
        except ValueError:
            raise self._failed(f"wrote a line of more than {_LINE_LIMIT} bytes") from None

    async def end(self) -> None:
        """End the child and its own children: SIGTERM first, SIGKILL after three seconds."""
        self._input.close()
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _GRACE)
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the child's session, also to processes that outlive the child."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _failed(self, fault: str) -> AgentError:
        return AgentError(f"The program of {self._name} {fault}.", kind="framework_failed", retryable=True)


async def _converse(child: _Child, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
    await child.send({"task": task.model_dump(mode="json")})
    while True:
        line = await child.receive()
        if line.error is not None:
            raise AgentError(scrub(line.error.message), kind=line.error.kind, retryable=line.error.retryable)
        if line.result is not None:
            return line.result
        if line.ask is not None:
            answer = await call.ask(line.ask)
            await child.send({"answer": answer.model_dump(mode="json")})
        elif line.progress is not None:
            call.progress(line.progress)
