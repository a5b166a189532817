"""Programs that a test runs to their end, beside the server in its own process."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.sdks.runners import neutral_environment


@dataclass(frozen=True)
class Finished:
    """What a program wrote, and how it ended."""

    code: int
    output: str
    errors: str

    def succeeded(self) -> str:
        """The output. Fails the test with everything that was written unless the program ended well."""
        assert self.code == 0, f"exit code {self.code}\n{self.output}\n{self.errors}"
        return self.output


async def run(*command: str, cwd: Path, stdin: str | None = None, seconds: float = 120, **environment: str) -> Finished:
    """Run a program; `environment` is added to one without settings of the libraries."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**neutral_environment(), **environment},
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(None if stdin is None else stdin.encode())
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), errors.decode())
