"""Runs programs that use a library, as its users do: processes of their own against a real server."""

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.sdks.runners import PYTHON_PATH, neutral_environment


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def code_blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in a language that no comment in the line above excepts."""
    fence = re.compile(rf"(^<!-- not run: [^\n]* -->\n)?^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [block for excepted, block in fence.findall(page.read_text()) if not excepted]


async def run_python(script: str, *, path: str = PYTHON_PATH, **environment: str) -> Ended:
    """Run a script with the libraries on its path."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**neutral_environment(), "PYTHONPATH": path, **environment},
        cwd=os.path.sep,
    )
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
