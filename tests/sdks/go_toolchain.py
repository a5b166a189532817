"""The Go toolchain, as the tests of the Go library use it: without a network."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "sdks" / "go"
RUNNER = ROOT / "build" / "sdks" / "go-conformance"
# Neither a module nor another toolchain is downloaded.
ENVIRONMENT = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": ""}


def missing_go() -> str | None:
    """Why the tests cannot run here."""
    return None if shutil.which("go") else "not on the path: go"


def build_runner() -> str | None:
    """Build the runner of `sdks/conformance`. Returns the reason why it cannot be built here."""
    if (reason := missing_go()) is not None:
        return reason
    RUNNER.parent.mkdir(parents=True, exist_ok=True)
    built = RUNNER.with_name(f"{RUNNER.name}-{os.getpid()}")  # another test process may run the one that is there
    subprocess.run(
        ["go", "build", "-o", str(built), "./internal/conformance"],
        cwd=MODULE,
        env=go_environment(),
        check=True,
    )
    built.replace(RUNNER)
    return None


def go_environment(**more: str) -> dict[str, str]:
    """This process's, without what the library would read of it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DEVORA_")}
    return {**own, **ENVIRONMENT, **more}


async def run(*command: str, cwd: Path = MODULE, **environment: str) -> str:
    """What a program writes; fails the test when it fails. The server of the test goes on meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=go_environment(**environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}:\n{text[-6000:]}"
    return text
